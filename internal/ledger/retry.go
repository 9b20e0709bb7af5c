package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/store"
)

// Retry is what became of one record that was to be delivered again.
type Retry struct {
	meter.Record        // the refused record, which stays as it is
	Heir         string // the uuid under which its usage is queued; "" where it is not
	HeirState    meter.State
	Queued       bool // by this call; otherwise there was an heir before, or the record is not refused
}

// Requeue queues the usage of refused records, by uuid in lower case, for
// another delivery under new uuids, in one transaction: quantities and windows
// stay. What is not refused, or was queued again before, is left as it is; an
// unknown uuid is an error.
//
// It works whether or not an agent has the folder's lock. Beside one it writes
// without the lock, which protects what an agent keeps in memory about open
// records, positions and remainders. Requeue touches none of these: it adds
// sealed records, which the send loop finds at its next look, in a transaction
// of its own that SQLite keeps apart from the agent's.
func Requeue(ctx context.Context, dir string, uuids []string, now time.Time) (retries []Retry, err error) {
	l, err := openToRequeue(ctx, dir)
	if err != nil {
		return nil, err
	}
	err = l.update(ctx, "queue again", func(tx *transaction) error {
		for _, uuid := range uuids {
			retry, err := tx.requeue(uuid, now)
			if errors.Is(err, sql.ErrNoRows) {
				err = errors.New("it is not in the ledger")
			}
			if err != nil {
				return fmt.Errorf("record %s: %w", uuid, err)
			}
			retries = append(retries, retry)
		}
		return nil
	})
	return retries, errors.Join(err, l.Close())
}

// openToRequeue opens an existing ledger, with its lock where that is free.
func openToRequeue(ctx context.Context, dir string) (*Ledger, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("ledger: %s: %w", dir, ErrNone)
	} else if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l, err := Open(ctx, dir)
	if locked := new(LockedError); !errors.As(err, &locked) {
		return l, err
	}
	beside, err := store.Beside(dir)
	if err != nil {
		return nil, err
	}
	l = &Ledger{Reader: Reader{beside.DB}, store: beside}
	if err := l.knowsSchema(ctx); err != nil {
		l.Close()
		return nil, store.Explain(path, err)
	}
	return l, nil
}

func (t *transaction) requeue(uuid string, now time.Time) (retry Retry, err error) {
	if retry.Record, err = t.record(`uuid = ?`, uuid); err != nil {
		return retry, err
	}
	if retry.Heir, retry.HeirState, err = t.heir(uuid); err != nil || retry.Heir != "" || retry.State != meter.Refused {
		return retry, err
	}
	if err := t.reissue(uuid, now); err != nil {
		return retry, err
	}
	retry.Queued = true
	retry.Heir, retry.HeirState, err = t.heir(uuid)
	return retry, err
}

func (t *transaction) heir(uuid string) (heir string, state meter.State, err error) {
	err = t.scan(heirQuery, []any{uuid}, &heir, &state)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return heir, state, err
}

const heirQuery = `SELECT heir.uuid, heir.state FROM records AS heir JOIN records AS old ON heir.reissue_of = old.id WHERE old.uuid = ?`

// Heir returns the uuid under which the usage of a refused record was queued
// again, and its state; "" where it was not.
func (r *Reader) Heir(ctx context.Context, uuid string) (heir string, state meter.State, err error) {
	err = r.db.QueryRowContext(ctx, heirQuery, uuid).Scan(&heir, &state)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("ledger: record %s: %w", uuid, err)
	}
	return heir, state, err
}
