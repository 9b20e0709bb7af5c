package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/store"
)

// FileName is the name of the database in the state folder.
const FileName = store.FileName

// Errors of opening and of writing.
type (
	CorruptError = store.CorruptError
	GoneError    = store.GoneError
	LockedError  = store.LockedError
)

// Owner returns the pid of the process that writes the ledger in dir, and
// whether there is one. The pid is 0 if it is unknown.
func Owner(dir string) (pid int, running bool) { return store.Owner(dir) }

// ActAsOwner gives up root's rights for the rest of the process, and takes the
// rights of the folder's owner.
func ActAsOwner(dir string) error { return store.ActAsOwner(dir) }

const (
	instantLayout = "2006-01-02T15:04:05.000Z"
	windowLayout  = "2006-01-02T15:04:05Z"
)

// Ledger is the open accounting book. Make one with Open; Close it.
type Ledger struct {
	Reader
	store  *store.Store
	sealed chan struct{}

	binding sync.Mutex // keeps Commit and BindInstance apart; guards what follows
	filters keyFilters
	doubt   *doubt // what was counted before, until BindInstance; nil where that is known to be of this machine

	bootCompared bool
	sameBoot     bool // the machine was not started again since the process before this one
}

// Open locks the folder dir, which is made if need be, and opens the ledger in
// it; a missing one is created. It returns a *LockedError when another process
// has it, and a *CorruptError when it is damaged.
//
// Open checks a small ledger whole. For a large one it checks what costs
// nothing, and Check does the rest.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	s, err := store.Open(ctx, dir, schema)
	if err != nil {
		return nil, err
	}
	return &Ledger{Reader: Reader{s.DB}, store: s, sealed: make(chan struct{}, 1)}, nil
}

// Made reports whether Open created the ledger.
func (l *Ledger) Made() bool { return l.store.Made }

// Attached reports what keeps the ledger from being written: a *CorruptError
// where Check has found damage, a *GoneError where the state folder does not
// hold what is open. It brings back what was removed.
func (l *Ledger) Attached(ctx context.Context) error { return l.store.Attached(ctx) }

// Restored returns the name of the file that was last taken away and brought
// back. It returns each name once, and "" otherwise.
func (l *Ledger) Restored() string { return l.store.Restored() }

// Check reads the whole ledger beside the work, where Open has not done so. If
// it is damaged, Check returns a *CorruptError, and nothing is written any more.
func (l *Ledger) Check(ctx context.Context) error { return l.store.Check(ctx) }

// Sealed has a value after records were sealed that were not looked for since.
// It is for one reader.
func (l *Ledger) Sealed() <-chan struct{} { return l.sealed }

// Close marks the clean end, ends the use of the ledger and frees its lock.
func (l *Ledger) Close() error { return l.store.Close() }

// update runs f in one transaction, which is durable when update returns nil.
// It refuses where the state folder no longer holds what is open.
func (l *Ledger) update(ctx context.Context, operation string, f func(*transaction) error) error {
	err := l.store.Transact(ctx, func(tx *sql.Tx) (changed bool, err error) {
		t := &transaction{ctx: ctx, tx: tx, statements: make(map[string]*sql.Stmt)}
		err = f(t)
		return t.changed, err
	})
	if err != nil {
		return fmt.Errorf("ledger: %s: %w", operation, err)
	}
	return nil
}

// transaction runs statements, each prepared once, that end with it.
type transaction struct {
	ctx        context.Context // of the call of update
	doubt      *doubt          // the ledger's, for Commit
	filters    *keyFilters     // the ledger's, for Commit
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

// scan reads the one row of the query's answer. If the answer is empty, the error
// is sql.ErrNoRows.
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

// places is a number of decimal places as a row of the ledger holds it.
type places int

// Scan copies the number. It returns an error if no rule can have so many places.
func (p *places) Scan(value any) error {
	n, ok := value.(int64)
	if !ok || n < 0 || n > meter.MaxDecimals {
		return fmt.Errorf("%v is no number of decimal places", value)
	}
	*p = places(n)
	return nil
}
