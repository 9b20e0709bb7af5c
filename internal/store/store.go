// Package store keeps one SQLite database in a folder of its own, so that nothing
// outside can lose it unnoticed: it makes, locks, checks and opens it, compares
// the folder with what is open, and numbers what is written. The tables are the
// caller's, except the table meta.
//
// A new database is made in memory, written under another name and renamed. The
// file "lock" and the database itself are locked. "lock" also remembers the
// newest commit, and the database whether it came to a clean end. So an older
// state of it, or one without its journal, is refused.
//
// What somebody removes under a running process, the process puts back.
//
// A Store may be used concurrently.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// FileName is the name of the database in the folder.
const FileName = "ledger.db"

// Schema says what the database is.
type Schema struct {
	ApplicationID int64
	Tables        []string                             // some that a whole database has, beside meta (key, value)
	Migrate       func(context.Context, *sql.DB) error // brings it to the newest version
}

// Keys of the table meta that are the store's.
const (
	idKey      = "ledger"  // the id of this database
	commitsKey = "commits" // how many it has had
	runningKey = "running" // the birthmark of the file while a process writes it
)

// CorruptError is returned when the database is damaged, or when the state folder
// held another one before. meterlog never makes a new one then: it would bill
// everything again.
type CorruptError struct {
	Path   string
	Detail string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("ledger: %s is damaged: %s: restore a backup of it, or set the file aside and decide with `start_at: end` where counting begins again; then remove the file %s beside it, which remembers the old one", e.Path, e.Detail, LockName)
}

// Store is an open database. Make one with Open or Beside; Close it.
type Store struct {
	*sql.DB
	Made bool // Open has created it

	schema    Schema
	attaching sync.Mutex                   // guards folder
	folder    *folder                      // nil of Beside
	damage    atomic.Pointer[CorruptError] // that Check has found
	restored  atomic.Pointer[string]       // see Restored
}

// Open locks the folder dir, which is made if need be, and opens the database in
// it; a missing one is created. It returns a *LockedError when another process
// has it, and a *CorruptError when it is damaged.
//
// Open checks a small database whole. For a large one it checks what costs
// nothing, and Check does the rest.
func Open(ctx context.Context, dir string, schema Schema) (*Store, error) {
	if err := makeFolder(dir); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	held, err := takeFolder(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{folder: held, schema: schema}
	if err := s.open(ctx); err != nil {
		if s.DB != nil {
			s.DB.Close()
		}
		held.release()
		return nil, err
	}
	return s, nil
}

// makeFolder makes the folder, if it is missing, and waits until its name has
// reached the disk.
func makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, 0o750) // which says what else dir may be
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return syncPath(filepath.Dir(filepath.Clean(dir)))
}

// open finds or makes the database and opens it.
func (s *Store) open(ctx context.Context) (err error) {
	path := s.folder.path()
	if s.Made, err = s.folder.prepare(ctx, s.schema); err != nil {
		return err
	}
	if err := s.folder.lockBook(); err != nil {
		return err
	}
	if err := s.folder.inspect(ctx, s.schema); err != nil {
		return err
	}
	if s.DB, err = Connect(path, "rw"); err != nil {
		return err
	}
	if err := s.schema.Migrate(ctx, s.DB); err != nil {
		return Explain(path, err)
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	removeDraft(path) // an earlier edition may have left its journal
	return nil
}

// Beside opens a database for writing that another process has locked.
func Beside(dir string) (*Store, error) {
	path := filepath.Join(dir, FileName)
	if _, err := Present(path); err != nil {
		return nil, err
	}
	db, err := Connect(path, "rw")
	if err != nil {
		return nil, err
	}
	return &Store{DB: db}, nil
}

// Close marks the clean end and frees the lock.
func (s *Store) Close() error {
	if s.folder == nil {
		return s.DB.Close()
	}
	s.leave()
	// The lock's own descriptor of the database must outlive SQLite's: to close
	// any descriptor ends this process's locks on the file.
	return errors.Join(s.DB.Close(), s.folder.release())
}

// Transact runs f in one transaction, which is durable when Transact returns
// nil. f reports whether it has changed anything. Transact refuses where the
// folder no longer holds what is open.
func (s *Store) Transact(ctx context.Context, f func(*sql.Tx) (changed bool, err error)) error {
	if err := s.Attached(ctx); err != nil {
		return err
	}
	return s.transact(ctx, f)
}

func (s *Store) transact(ctx context.Context, f func(*sql.Tx) (changed bool, err error)) error {
	tx, err := s.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	changed, err := f(tx)
	if err != nil {
		return err
	}
	commits := int64(0)
	if changed {
		err = tx.QueryRowContext(ctx, `INSERT INTO meta (key, value) VALUES (?, 1)
			ON CONFLICT DO UPDATE SET value = value + 1 RETURNING CAST(value AS INTEGER)`, commitsKey).Scan(&commits)
		if err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if changed && s.folder != nil {
		s.folder.remember(commits)
	}
	return nil
}

func setMeta(ctx context.Context, tx *sql.Tx, key, value string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value`, key, value)
	return err
}

// immutable is the mode of a connection to a database without a journal, which
// nobody writes.
const immutable = "immutable"

// Connect opens a database for one connection at a time. The mode is "ro", "rw",
// "rwc" (which makes a missing one) or immutable.
func Connect(path, mode string) (*sql.DB, error) {
	query := url.Values{"mode": {mode}, "_pragma": {"busy_timeout(5000)", "foreign_keys(1)"}}
	switch mode {
	case immutable:
		query["mode"], query["immutable"] = []string{"ro"}, []string{"1"}
	case "ro":
	default:
		query["_txlock"] = []string{"immediate"}
		query["_pragma"] = append(query["_pragma"], "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-1024)", "journal_size_limit(8388608)")
	}
	name := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	if !filepath.IsAbs(path) {
		name.Path, name.Opaque = "", (&url.URL{Path: path}).EscapedPath()
	}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("ledger: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// syncPath waits until a file or a folder has reached the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Explain distinguishes damage from other failures to open the database.
func Explain(path string, err error) error {
	text := err.Error()
	for _, sign := range []string{"malformed", "not a database", "corrupt"} {
		if strings.Contains(text, sign) {
			return &CorruptError{Path: path, Detail: strings.TrimPrefix(text, "malformed: ")}
		}
	}
	return fmt.Errorf("ledger: open %s: %w", path, err)
}
