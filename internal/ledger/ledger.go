package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go
)

// FileName is the name of the database in the state folder.
const FileName = "ledger.db"

const (
	instantLayout = "2006-01-02T15:04:05.000Z"
	windowLayout  = "2006-01-02T15:04:05Z"
)

// CorruptError is returned when the database is damaged, or is not the one that
// the state folder held. meterlog never begins a new one by itself: it would
// bill everything again.
type CorruptError struct {
	Path   string
	Detail string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("ledger: %s is damaged: %s: restore a backup of it, or set the file aside and decide with `start_at: end` where counting begins again; then remove the file %s beside it, which remembers the old one", e.Path, e.Detail, lockName)
}

// Ledger is the open accounting book. Make one with Open; Close it.
type Ledger struct {
	Reader
	folder *folder // nil beside another process that has the folder; see Requeue
	made   bool
	sealed chan struct{}

	attaching sync.Mutex                   // guards folder
	damage    atomic.Pointer[CorruptError] // that Check has found

	binding sync.Mutex // keeps Commit and BindInstance apart; guards doubt
	doubt   *doubt     // what was counted before, until BindInstance; nil where that is known to be of this machine
}

// Open locks the folder dir, which is made if need be, and opens the ledger in
// it; a missing one is created. It returns a *LockedError when another process
// has it, and a *CorruptError when it is damaged.
//
// Open checks a small ledger whole. For a large one it checks what costs
// nothing, and Check does the rest.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	held, err := takeFolder(dir)
	if err != nil {
		return nil, err
	}
	l := &Ledger{folder: held, sealed: make(chan struct{}, 1)}
	if err := l.open(ctx); err != nil {
		if l.db != nil {
			l.db.Close()
		}
		held.release()
		return nil, err
	}
	return l, nil
}

// open finds or makes the database and opens it.
func (l *Ledger) open(ctx context.Context) (err error) {
	path := l.folder.path()
	if l.made, err = l.folder.prepare(ctx); err != nil {
		return err
	}
	if err := l.folder.lockBook(); err != nil {
		return err
	}
	if err := l.folder.inspect(ctx); err != nil {
		return err
	}
	if l.db, err = connect(path, "rw"); err != nil {
		return err
	}
	if err := migrate(ctx, l.db); err != nil {
		return explain(path, err)
	}
	if err := l.enter(ctx); err != nil {
		return err
	}
	removeDraft(path) // an earlier edition may have left its journal
	return nil
}

// Made reports whether Open created the ledger.
func (l *Ledger) Made() bool { return l.made }

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

// syncPath waits until a file or a folder has reached the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
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

// Close marks the clean end, ends the use of the ledger and frees its lock.
func (l *Ledger) Close() error {
	if l.folder == nil {
		return l.db.Close()
	}
	l.leave()
	// The lock's own descriptor of the database must outlive those of SQLite:
	// to close any of them ends this process's locks on the file.
	return errors.Join(l.db.Close(), l.folder.release())
}

// update runs f in one transaction, which is durable when update returns nil.
// It refuses where the state folder no longer holds what is open.
func (l *Ledger) update(ctx context.Context, operation string, f func(*transaction) error) error {
	err := l.Attached(ctx)
	if err == nil {
		err = l.transact(ctx, f)
	}
	if err != nil {
		return fmt.Errorf("ledger: %s: %w", operation, err)
	}
	return nil
}

func (l *Ledger) transact(ctx context.Context, f func(*transaction) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	t := &transaction{ctx: ctx, tx: tx, statements: make(map[string]*sql.Stmt)}
	if err := f(t); err != nil {
		return err
	}
	commits, err := t.number()
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if l.folder != nil && commits > 0 {
		l.folder.remember(commits)
	}
	return nil
}

// transaction runs statements, each prepared once, that end with it.
type transaction struct {
	ctx        context.Context // that of the call of update
	doubt      *doubt          // the ledger's, for Commit
	tx         *sql.Tx
	changed    bool // a statement of exec has changed rows
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
	n, err := result.RowsAffected()
	t.changed = t.changed || n > 0
	return n, err
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
