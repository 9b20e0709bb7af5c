package ledger

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
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go
)

// FileName is the name of the database in the state folder.
const FileName = "ledger.db"

const (
	instantLayout = "2006-01-02T15:04:05.000Z"
	windowLayout  = "2006-01-02T15:04:05Z"
)

// CorruptError is returned by Open when the database is damaged. meterlog
// never begins a new one by itself: it would bill everything again.
type CorruptError struct {
	Path   string
	Detail string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("ledger: %s is damaged: %s: restore a backup of it, or set the file aside and decide with `start_at: end` where counting begins anew", e.Path, e.Detail)
}

// Ledger is the open accounting book. Make one with Open; Close it.
type Ledger struct {
	Reader
	lock   *os.File // nil beside another process that has it; see Requeue
	sealed chan struct{}

	binding sync.Mutex // keeps Commit and BindInstance apart; guards doubt
	doubt   *doubt     // what was counted before, until BindInstance; nil where that is known to be of this machine
}

// Open locks the folder dir, which is made if need be, and opens the ledger in
// it; a missing one is created. It returns a *LockedError when another process
// has it, and a *CorruptError when it is damaged.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	lockFile, err := lock(dir)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, dir)
	if err != nil {
		lockFile.Close()
		return nil, err
	}
	return &Ledger{Reader: Reader{db}, lock: lockFile, sealed: make(chan struct{}, 1)}, nil
}

func openDatabase(ctx context.Context, dir string) (*sql.DB, error) {
	path := filepath.Join(dir, FileName)
	exists, err := present(path)
	if err == nil && !exists {
		if err = create(ctx, path); err != nil {
			err = fmt.Errorf("ledger: create %s: %w", path, err)
		}
	}
	if err != nil {
		return nil, err
	}
	if err = verify(ctx, path); err != nil {
		// What Requeue writes meanwhile in another process can look like damage
		// to who reads without the journal.
		err = verify(ctx, path)
	}
	if err != nil {
		return nil, explain(path, err)
	}
	db, err := connect(path, "rw")
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, explain(path, err)
	}
	return db, nil
}

// present reports whether there is a database. Where there is none, but should
// be, or where it can be none, it is damaged.
func present(path string) (bool, error) {
	info, err := os.Stat(path)
	damaged := func(detail string) (bool, error) { return false, &CorruptError{Path: path, Detail: detail} }
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil {
			return damaged("it is a symbolic link that leads nowhere: is its disk mounted?")
		}
		for _, suffix := range []string{"-wal", "-shm", "-journal"} {
			if _, err := os.Stat(path + suffix); err == nil {
				return damaged("it is missing, though its " + FileName + suffix + " is there")
			}
		}
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ledger: %w", err)
	case !info.Mode().IsRegular():
		return damaged("it is no regular file")
	case info.Size() == 0:
		return damaged("it is empty")
	}
	return true, nil
}

// create makes the database under another name and renames it, so that a
// ledger that exists has always been whole.
func create(ctx context.Context, path string) error {
	draft := path + ".new"
	for _, leftover := range []string{draft, draft + "-wal", draft + "-shm", draft + "-journal"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	db, err := connect(draft, "rwc")
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	if err := migrate(ctx, db); err != nil {
		return err
	}
	if err := db.Close(); err != nil { // folds the journal into the file
		return err
	}
	if err := syncPath(draft); err != nil {
		return err
	}
	if err := os.Chmod(draft, 0o640); err != nil {
		return err
	}
	if err := handOver(draft); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// immutable is the mode of a connection to a database that has no journal and
// that nobody writes.
const immutable = "immutable"

func connect(path, mode string) (*sql.DB, error) {
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

// verify refuses what is no ledger, or a damaged one, and changes nothing: a
// connection that may write would set the journal's mode when it opens, and
// fold the journal into the damaged file when it closes.
func verify(ctx context.Context, path string) error {
	mode := "ro"
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		mode = immutable // "ro" would make an empty journal
	}
	db, err := connect(path, mode)
	if err != nil {
		return err
	}
	defer db.Close()
	var id int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if id != applicationID {
		return errors.New("malformed: it is not a ledger of meterlog")
	}
	var finding string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&finding); err != nil {
		return err
	}
	if finding != "ok" {
		return errors.New("malformed: " + strings.Join(strings.Fields(finding), " "))
	}
	var pageSize int64
	if err := db.QueryRowContext(ctx, "PRAGMA page_size").Scan(&pageSize); err != nil {
		return err
	}
	if info, err := os.Stat(path); mode == immutable && (err != nil || info.Size()%pageSize != 0) {
		return errors.New("malformed: its last page is cut")
	}
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'generations', 'records')").Scan(&tables); err != nil {
		return err
	}
	if tables != 3 {
		return errors.New("malformed: it has lost its tables")
	}
	return nil
}

// explain tells damage from other failures to open the database.
func explain(path string, err error) error {
	text := err.Error()
	for _, sign := range []string{"malformed", "not a database", "corrupt"} {
		if strings.Contains(text, sign) {
			return &CorruptError{Path: path, Detail: strings.TrimPrefix(text, "malformed: ")}
		}
	}
	return fmt.Errorf("ledger: open %s: %w", path, err)
}

// Sealed has a value after records were sealed that were not looked for since.
// It is for one reader.
func (l *Ledger) Sealed() <-chan struct{} { return l.sealed }

// Close ends the use of the ledger and frees its lock.
func (l *Ledger) Close() error {
	err := l.db.Close()
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

// update runs f in one transaction, which is durable when update returns nil.
func (l *Ledger) update(ctx context.Context, operation string, f func(*transaction) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("ledger: %s: %w", operation, err)
	}
	defer tx.Rollback()
	if err := f(&transaction{ctx: ctx, tx: tx, statements: make(map[string]*sql.Stmt)}); err != nil {
		return fmt.Errorf("ledger: %s: %w", operation, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("ledger: %s: %w", operation, err)
	}
	return nil
}

// transaction runs statements, each prepared once, that end with it.
type transaction struct {
	ctx        context.Context // that of the call of update
	doubt      *doubt          // the ledger's, for Commit
	tx         *sql.Tx
	statements map[string]*sql.Stmt
}

func (t *transaction) prepare(query string) (*sql.Stmt, error) {
	if s, ok := t.statements[query]; ok {
		return s, nil
	}
	s, err := t.tx.PrepareContext(t.ctx, query)
	if err == nil {
		t.statements[query] = s
	}
	return s, err
}

// exec returns the number of rows that the statement changed.
func (t *transaction) exec(query string, args ...any) (int64, error) {
	s, err := t.prepare(query)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// scan reads the one row that the query gives; sql.ErrNoRows where there is none.
func (t *transaction) scan(query string, args []any, into ...any) error {
	s, err := t.prepare(query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(t.ctx, args...).Scan(into...)
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(instantLayout)
}

func parseInstant(text string) time.Time {
	t, err := time.Parse(instantLayout, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
