package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/store"
)

// Retry is what became of one record that was to be delivered again.
type Retry struct {
	meter.Record                // the refused record, which stays as it is
	Reissues     []meter.Record // the records that replace it; none if it was not queued
	Queued       bool           // by this call; otherwise there were reissues before, or the record is not refused
}

// Assign returns the new product and SKU for the share of a rule in a refused record.
// If the rule chooses its SKU by a table, values are the values that have led to the
// record's SKU.
type Assign func(r meter.Record, rule string, values []string) (productID, sku string)

// Requeue queues the usage of refused records, by uuid in lower case, for
// another delivery under new uuids, in one transaction. Quantities, windows and
// timestamps stay; assign says the product and the SKU of each rule's share, nil
// leaves them. Shares that differ in these part a record, each share once. What
// is not refused, or was queued again before, is left as it is; an unknown uuid
// is an error.
//
// It works whether or not an agent has the folder's lock. Beside one it writes
// without the lock, which protects what an agent keeps in memory about open
// records, positions and remainders. Requeue leaves these alone: it adds
// sealed records, which the send loop finds at its next look, in a transaction
// of its own that SQLite keeps apart from the agent's.
func Requeue(ctx context.Context, dir string, uuids []string, assign Assign, now time.Time) (retries []Retry, err error) {
	l, err := openToRequeue(ctx, dir)
	if err != nil {
		return nil, err
	}
	if assign == nil {
		assign = func(r meter.Record, _ string, _ []string) (productID, sku string) { return r.ProductID, r.SKU }
	}
	err = l.update(ctx, "queue again", func(tx *transaction) error {
		for _, uuid := range uuids {
			retry, err := tx.requeue(uuid, assign, now)
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

func (t *transaction) requeue(uuid string, assign Assign, now time.Time) (retry Retry, err error) {
	if retry.Record, err = t.record(`uuid = ?`, uuid); err != nil {
		return retry, err
	}
	if retry.Reissues, err = t.reissues(uuid); err != nil || len(retry.Reissues) > 0 || retry.State != meter.Refused {
		return retry, err
	}
	shares, err := t.sharesOf(uuid)
	if err != nil {
		return retry, err
	}
	values := make(map[string][]string)
	for rule := range shares {
		if values[rule], err = t.valuesOf(rule, retry.SKU); err != nil {
			return retry, err
		}
	}
	named := func(r meter.Record, rule string) (productID, sku string) { return assign(r, rule, values[rule]) }
	for _, p := range parts(retry.Record, shares, named) {
		reissue, err := t.reissue(uuid, p, now)
		if err != nil {
			return retry, err
		}
		retry.Reissues = append(retry.Reissues, reissue)
	}
	retry.Queued = true
	return retry, nil
}

// parts divides a record by the product and SKU that its shares get. Units that
// no share explains keep the record's own.
func parts(r meter.Record, shares map[string]int64, assign func(r meter.Record, rule string) (productID, sku string)) (list []part) {
	add := func(productID, sku, rule string, units int64) {
		if units <= 0 {
			return
		}
		i := slices.IndexFunc(list, func(p part) bool { return p.productID == productID && p.sku == sku })
		if i < 0 {
			i = len(list)
			list = append(list, part{productID: productID, sku: sku, shares: make(map[string]int64)})
		}
		list[i].quantity += units
		if rule != "" {
			list[i].shares[rule] += units
		}
	}
	left := r.Quantity
	for _, rule := range slices.Sorted(maps.Keys(shares)) {
		units := min(shares[rule], left)
		productID, sku := assign(r, rule)
		add(productID, sku, rule, units)
		left -= units
	}
	add(r.ProductID, r.SKU, "", left)
	return list
}

// sharesOf returns the units that each rule gave to a record, or to the refused
// record that it issues again.
func (t *transaction) sharesOf(uuid string) (map[string]int64, error) {
	shares := make(map[string]int64)
	for len(shares) == 0 && uuid != "" {
		err := t.each(`SELECT rule, units FROM shares JOIN records ON id = record_id WHERE uuid = @uuid
			UNION ALL SELECT rule, units FROM reissued_shares JOIN records ON id = record_id WHERE uuid = @uuid`, func(rows *sql.Rows) error {
			var rule string
			var units int64
			err := rows.Scan(&rule, &units)
			shares[rule] = units
			return err
		}, sql.Named("uuid", uuid))
		if err != nil {
			return nil, err
		}
		older, err := t.record(`id = (SELECT reissue_of FROM records WHERE uuid = ?)`, uuid)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		uuid = older.UUID
	}
	return shares, nil
}

// reissues returns the records that replaced a refused one.
func (t *transaction) reissues(uuid string) (list []meter.Record, err error) {
	err = t.each(`SELECT `+recordColumns+` FROM records WHERE reissue_of = (SELECT id FROM records WHERE uuid = ?) ORDER BY id`, func(rows *sql.Rows) error {
		r, err := scanRecord(rows)
		list = append(list, r)
		return err
	}, uuid)
	return list, err
}
