package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

var pictures = Schema{ApplicationID: 7, Tables: []string{"pictures"}, Migrate: func(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
		CREATE TABLE IF NOT EXISTS pictures (id INTEGER PRIMARY KEY, data BLOB)`)
	return err
}}

func insert(t *testing.T, s *Store, size int) error {
	t.Helper()
	return s.Transact(t.Context(), func(tx *sql.Tx) (bool, error) {
		_, err := tx.Exec(`INSERT INTO pictures (data) VALUES (?)`, bytes.Repeat([]byte{0xa5}, size))
		return true, err
	})
}

// A large database is checked beside the work, which ends where it is damaged.
func TestLargeDatabaseIsCheckedBesideTheWork(t *testing.T) {
	dir := t.TempDir()
	s := must(Open(t.Context(), dir, pictures))
	check(t, s.Transact(t.Context(), func(tx *sql.Tx) (bool, error) {
		for range checkedAtOnce/4000 + 1 { // a page each
			if _, err := tx.Exec(`INSERT INTO pictures (data) VALUES (?)`, bytes.Repeat([]byte{0xa5}, 4000)); err != nil {
				return false, err
			}
		}
		return true, nil
	}))
	check(t, s.Close())
	s = must(Open(t.Context(), dir, pictures))
	check(t, s.Check(t.Context()))
	check(t, insert(t, s, 1))
	check(t, s.Close())

	f := must(os.OpenFile(filepath.Join(dir, FileName), os.O_RDWR, 0))
	_, err := f.WriteAt(make([]byte, 4096), 4096*1000)
	check(t, errors.Join(err, f.Close()))
	s = must(Open(t.Context(), dir, pictures))
	defer s.Close()
	check(t, insert(t, s, 1))
	if err := s.Check(t.Context()); !errors.As(err, new(*CorruptError)) {
		t.Errorf("the check: %v", err)
	}
	if err := insert(t, s, 1); !errors.As(err, new(*CorruptError)) {
		t.Errorf("a commit after it: %v", err)
	}
}
