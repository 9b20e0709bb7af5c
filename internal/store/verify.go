package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// checkedAtOnce is how large a ledger may be, in bytes, to be checked whole
// before it is used. That takes some 50 ms.
const checkedAtOnce = 8 << 20

// Present reports whether there is a database. A *CorruptError says that it is
// missing although it should be there, or that it cannot be a database.
func Present(path string) (bool, error) {
	info, err := os.Lstat(path)
	damaged := func(detail string) (bool, error) { return false, &CorruptError{Path: path, Detail: detail} }
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for _, suffix := range journals {
			if _, err := os.Lstat(path + suffix); err == nil {
				return damaged("it is missing, though its " + FileName + suffix + " is there")
			}
		}
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ledger: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return damaged("it is a symbolic link, and no link is followed in the state folder: to have it on another disk, name a folder there with `state:`")
	case !info.Mode().IsRegular():
		return damaged("it is no regular file")
	case info.Size() == 0:
		return damaged("it is empty")
	}
	return true, nil
}

// state is what a database says of itself.
type state struct {
	id      string // of this ledger; "" if an earlier edition made it
	commits int64  // that it has had
	running string // birthmark of the file; "" after a clean end
}

// examine refuses a damaged database, or a file of another kind. It changes
// nothing: a
// connection that may write would set the journal's mode when it opens, and
// fold the journal into the damaged file when it closes. Only where whole is
// set does it read all of it.
func examine(ctx context.Context, path string, schema Schema, whole bool) (s state, err error) {
	mode := "ro"
	if info, err := os.Lstat(path + "-wal"); err != nil || info.Size() == 0 {
		mode = immutable // "ro" would make an empty journal
	}
	db, err := Connect(path, mode)
	if err != nil {
		return s, err
	}
	defer db.Close()
	var id int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return s, err
	}
	if id != schema.ApplicationID {
		return s, errors.New("malformed: it is not a ledger of meterlog")
	}
	if whole {
		if err := quickCheck(ctx, db); err != nil {
			return s, err
		}
	}
	var pageSize int64
	if err := db.QueryRowContext(ctx, "PRAGMA page_size").Scan(&pageSize); err != nil {
		return s, err
	}
	if info, err := os.Lstat(path); mode == immutable && (err != nil || info.Size()%pageSize != 0) {
		return s, errors.New("malformed: its last page is cut")
	}
	for _, table := range append([]string{"meta"}, schema.Tables...) {
		var there bool
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = ?", table).Scan(&there); err != nil {
			return s, err
		}
		if !there {
			return s, errors.New("malformed: it has lost its tables")
		}
	}
	err = db.QueryRowContext(ctx, `SELECT
		coalesce((SELECT value FROM meta WHERE key = ?), ''),
		coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?), 0),
		coalesce((SELECT value FROM meta WHERE key = ?), '')`, idKey, commitsKey, runningKey).Scan(&s.id, &s.commits, &s.running)
	return s, err
}

// quickCheck reads the whole database.
func quickCheck(ctx context.Context, db *sql.DB) error {
	var finding string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&finding); err != nil {
		return err
	}
	if finding != "ok" {
		return errors.New("malformed: " + strings.Join(strings.Fields(finding), " "))
	}
	return nil
}

// Check reads the whole ledger beside the work, where Open has not done so. If
// it is damaged, Check returns a *CorruptError, and nothing is written any more.
func (s *Store) Check(ctx context.Context) error {
	if s.folder == nil || s.folder.checked.Load() {
		return nil
	}
	path := s.folder.path()
	db, err := Connect(path, "ro")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := quickCheck(ctx, db); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err = Explain(path, err)
		if corrupt := new(CorruptError); errors.As(err, &corrupt) {
			s.damage.Store(corrupt)
		}
		return err
	}
	s.folder.checked.Store(true)
	return nil
}
