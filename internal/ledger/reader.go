package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/store"
)

// Reader reads a ledger. One that another process may be writing is opened
// with OpenReader; Close it.
type Reader struct {
	db *sql.DB
}

// ErrNone is returned by OpenReader where the folder holds no ledger.
var ErrNone = errors.New("there is no ledger yet: `meterlog run` makes it")

// OpenReader opens the ledger in dir for reading, without its lock.
func OpenReader(dir string) (*Reader, error) {
	path := filepath.Join(dir, FileName)
	if exists, err := store.Present(path); err != nil {
		return nil, err
	} else if !exists {
		return nil, fmt.Errorf("ledger: %s: %w", dir, ErrNone)
	}
	db, err := store.Connect(path, "ro")
	if err != nil {
		return nil, err
	}
	r := &Reader{db}
	if err := r.knowsSchema(context.Background()); err != nil {
		r.Close()
		return nil, store.Explain(path, err)
	}
	return r, nil
}

// knowsSchema refuses a ledger of another version of meterlog.
func (r *Reader) knowsSchema(ctx context.Context) error {
	var version int
	if err := r.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version < len(migrations):
		return fmt.Errorf("its schema version is %d and this meterlog knows %d: it is brought up when the agent is started again", version, len(migrations))
	case version > len(migrations):
		return newerSchema(version)
	}
	return nil
}

// Close ends the reading.
func (r *Reader) Close() error { return r.db.Close() }

// Filter chooses records. Its zero value chooses all.
type Filter struct {
	Since time.Time     // windows that begin then or later
	Until time.Time     // windows that begin before
	State []meter.State // any of these
	SKU   string
	UUID  string // lower case; its beginning is enough

	ProductID string

	NotReissued bool // only records that were not queued again
}

// Records calls each for the records that the filter chooses, in the order of
// their windows, until it returns an error.
func (r *Reader) Records(ctx context.Context, f Filter, each func(meter.Record) error) error {
	where, args := f.where()
	rows, err := r.db.QueryContext(ctx, `SELECT `+recordColumns+` FROM records WHERE `+where+` ORDER BY window_start, id`, args...)
	if err != nil {
		return fmt.Errorf("ledger: records: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		record, err := scanRecord(rows)
		if err != nil {
			return fmt.Errorf("ledger: records: %w", err)
		}
		if err := each(record); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("ledger: records: %w", err)
	}
	return nil
}

// Latest returns the records that were opened last, at most n, the newest first.
func (r *Reader) Latest(ctx context.Context, n int) ([]meter.Record, error) {
	return query(ctx, r.db, "latest records", scanRecord, `SELECT `+recordColumns+` FROM records ORDER BY id DESC LIMIT ?`, n)
}

func (f Filter) where() (string, []any) {
	conditions, args := []string{"true"}, []any{}
	if !f.Since.IsZero() {
		conditions, args = append(conditions, "window_start >= ?"), append(args, f.Since.UTC().Format(windowLayout))
	}
	if !f.Until.IsZero() {
		conditions, args = append(conditions, "window_start < ?"), append(args, f.Until.UTC().Format(windowLayout))
	}
	if len(f.State) > 0 {
		conditions = append(conditions, "state IN (?"+strings.Repeat(", ?", len(f.State)-1)+")")
		for _, s := range f.State {
			args = append(args, string(s))
		}
	}
	if f.SKU != "" {
		conditions, args = append(conditions, "sku_id = ?"), append(args, f.SKU)
	}
	if f.ProductID != "" {
		conditions, args = append(conditions, "product_id = ?"), append(args, f.ProductID)
	}
	if f.UUID != "" {
		conditions, args = append(conditions, "uuid >= ? AND uuid < ?"), append(args, f.UUID, f.UUID+"g") // g is above every digit
	}
	if f.NotReissued {
		conditions = append(conditions, "NOT EXISTS (SELECT 1 FROM records AS reissue WHERE reissue.reissue_of = records.id)")
	}
	return strings.Join(conditions, " AND "), args
}
