package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/store"
)

// Keys of the table meta.
const (
	machineKey  = "machine"  // the machine that the ledger is bound to
	instanceKey = "instance" // the cloud's name of it
	bootKey     = "boot"     // the start of the machine during which it was bound last
)

// Reasons of records that were set aside. After SameBoot no other machine
// delivers them: the machine has not been started again since they were counted,
// so its id has changed under it.
const (
	foreignReason = "counted on another machine"
	SameBoot      = "counted before this machine's id changed while it ran"
)

// Foreign is what was set aside because another machine counted it.
type Foreign struct {
	From       string // the id that it was bound to before; "" where it stays on its machine
	Open       int    // records that were open
	Sealed     int    // records that waited for delivery
	Remainders int    // rules with `per` whose last, incomplete unit was set aside
	Peaks      int    // stretches of rules with peak that were not over
	SameBoot   bool   // the machine has not been started again since
}

// BindMachine binds the ledger to the machine of this id. If it was bound to
// another, all that is unsettled in it is set aside, its files are left to the other
// machine up to their ends, and it is bound to no instance. It comes before
// Generations are read and before the first Commit.
func (l *Ledger) BindMachine(ctx context.Context, id string, now time.Time) (foreign Foreign, err error) {
	l.binding.Lock()
	defer l.binding.Unlock()
	err = l.update(ctx, "bind to the machine", func(tx *transaction) error {
		if err := l.compareBoot(tx); err != nil {
			return err
		}
		foreign, err = tx.bind(machineKey, id, nil, l.sameBoot, now)
		if err != nil || foreign.From == "" {
			return err
		}
		if _, err = tx.exec(`DELETE FROM meta WHERE key = ?`, instanceKey); err != nil {
			return err
		}
		return tx.leaveFiles()
	})
	l.bootCompared = l.bootCompared || err == nil
	return foreign, err
}

// compareBoot finds out whether the machine was started again since the ledger was
// bound last. A process does so once.
func (l *Ledger) compareBoot(t *transaction) error {
	if l.bootCompared {
		return nil
	}
	last, err := t.meta(bootKey)
	if err != nil {
		return err
	}
	boot := store.BootID()
	l.sameBoot = boot != "" && boot == last
	if boot == last {
		return nil
	}
	return t.setMeta(bootKey, boot)
}

// AwaitInstance is called before the first Commit by who will call
// BindInstance later. Until then nothing that is counted is mixed with what
// was counted before, in case that turns out to be another machine's: no
// earlier record grows, and no earlier remainder completes a unit.
func (l *Ledger) AwaitInstance(ctx context.Context) error {
	l.binding.Lock()
	defer l.binding.Unlock()
	return l.update(ctx, "await the instance", func(tx *transaction) error {
		bound, err := tx.meta(instanceKey)
		if err != nil || bound == "" { // whatever the instance is, nothing will be set aside
			return err
		}
		l.doubt, err = tx.before()
		return err
	})
}

// InstanceMatters reports whether something may yet turn out to be another
// instance's: nothing may be delivered before BindInstance was called.
func (l *Ledger) InstanceMatters() bool {
	l.binding.Lock()
	defer l.binding.Unlock()
	return l.doubt != nil
}

// BindInstance binds the ledger to the instance of this id, or leaves it as it
// is bound where the id is "". If it was bound to another, all that was
// unsettled when AwaitInstance was called is set aside. If nothing was read since
// then, the files are left to the other machine up to their ends.
func (l *Ledger) BindInstance(ctx context.Context, id string, read bool, now time.Time) (foreign Foreign, err error) {
	l.binding.Lock()
	defer l.binding.Unlock()
	if id != "" {
		err = l.update(ctx, "bind to the instance", func(tx *transaction) error {
			foreign, err = tx.bind(instanceKey, id, l.doubt, l.sameBoot, now)
			if err != nil || foreign.From == "" || read {
				return err
			}
			return tx.leaveFiles()
		})
	}
	if err == nil {
		l.doubt = nil
	}
	return foreign, err
}

// CompleteUnits bills the whole units that were kept apart in remainders while
// it was in doubt whose they are: sealed, in the window given. It comes once
// that is known.
func (l *Ledger) CompleteUnits(ctx context.Context, rules []*meter.Rule, window meter.Window, now time.Time) error {
	l.binding.Lock()
	defer l.binding.Unlock()
	if l.doubt != nil {
		return nil
	}
	billed := false
	err := l.update(ctx, "complete units", func(tx *transaction) error {
		for _, rule := range rules {
			completed, err := tx.completeUnits(rule, window, now)
			if err != nil {
				return fmt.Errorf("rule %s: %w", rule.Name, err)
			}
			billed = billed || completed
		}
		return nil
	})
	if err == nil && billed {
		l.tellSealed()
	}
	return err
}

// completeUnits bills the whole units in the rule's remainder, if there are any.
func (t *transaction) completeUnits(rule *meter.Rule, window meter.Window, now time.Time) (bool, error) {
	var remainder int64
	err := t.scan(`SELECT remainder FROM remainders WHERE rule = ? AND sku_id = ?`, []any{rule.Name, rule.SKU}, &remainder)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (rule.Per <= 1 || remainder < rule.Per) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	units, carried, err := t.carry(rule, 0)
	if err != nil {
		return false, err
	}
	record, err := t.bill(meter.CountKey{Rule: rule, Window: window}, units, now.Unix(), now)
	if err != nil {
		return false, err
	}
	waiting, err := t.adoptContributions(record, rule)
	if err != nil {
		return false, err
	}
	if err := t.share(record, rule, carried-waiting, units); err != nil {
		return false, err
	}
	_, err = t.exec(`UPDATE records SET state = 'sealed', sealed_at = ? WHERE id = ?`, instant(now), record)
	return true, err
}

// bind writes the id under the key. If another stood there, it sets aside what
// was there before; everything if before is nil.
func (t *transaction) bind(key, id string, before *doubt, sameBoot bool, now time.Time) (foreign Foreign, err error) {
	bound, err := t.meta(key)
	if err != nil || bound == id {
		return Foreign{}, err
	}
	if bound != "" {
		if before == nil {
			if before, err = t.before(); err != nil {
				return Foreign{}, err
			}
		}
		if foreign, err = t.setAside(before, sameBoot, now); err != nil {
			return Foreign{}, err
		}
		foreign.From = bound
	}
	return foreign, t.setMeta(key, id)
}

// leaveFiles has the tailer pass over what the files hold when it meets them next.
func (t *transaction) leaveFiles() error {
	_, err := t.exec(`UPDATE generations SET left_to_other = 1 WHERE state <> 'forgotten'`)
	if err == nil {
		_, err = t.exec(`UPDATE globs SET first_scan = ''`)
	}
	return err
}

func (t *transaction) setMeta(key, value string) error {
	_, err := t.exec(`INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value`, key, value)
	return err
}

func (t *transaction) meta(key string) (value string, err error) {
	err = t.scan(`SELECT value FROM meta WHERE key = ?`, []any{key}, &value)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return value, err
}

// doubt is what was unsettled before the present process began to count, while
// it is not known whether it was counted on this machine. It is kept in memory
// alone: for the next process,
// everything that this one counted is in doubt.
// A nil doubt holds nothing.
type doubt struct {
	last       int64 // the newest unsettled record; it is not pruned while in doubt, so records of this process have larger ids
	remainders map[remainderKey]int64
	waiting    []waiting

	lastStretch int64 // the newest stretch of a rule with peak
}

type remainderKey struct{ rule, sku string }

// waiting is a contribution that has not made a whole unit.
type waiting struct {
	remainderKey
	generation, end, lines, amount int64
}

// has reports whether the record is in doubt.
func (d *doubt) has(record int64) bool { return d != nil && record <= d.last }

// remainder returns the part of the rule's remainder that is in doubt.
func (d *doubt) remainder(rule *meter.Rule) int64 {
	if d == nil {
		return 0
	}
	return d.remainders[remainderKey{rule.Name, rule.SKU}]
}

// newestUnsettled reads the two indexes of unsettled records. The plus keeps
// SQLite from a search through all records, from the newest on.
const newestUnsettled = `SELECT coalesce(max(newest), 0) FROM (
	SELECT max(+id) AS newest FROM records WHERE state = 'open' UNION ALL SELECT max(+id) FROM records WHERE state = 'sealed')`

// before returns the unsettled usage of this moment.
func (t *transaction) before() (*doubt, error) {
	d := &doubt{remainders: make(map[remainderKey]int64)}
	if err := t.scan(newestUnsettled, nil, &d.last); err != nil {
		return nil, err
	}
	if err := t.scan(`SELECT coalesce(max(id), 0) FROM peak_stretches WHERE closed = 0`, nil, &d.lastStretch); err != nil {
		return nil, err
	}
	err := t.each(`SELECT rule, sku_id, remainder FROM remainders WHERE remainder > 0`, func(rows *sql.Rows) error {
		var key remainderKey
		var remainder int64
		err := rows.Scan(&key.rule, &key.sku, &remainder)
		d.remainders[key] = remainder
		return err
	})
	if err != nil {
		return nil, err
	}
	err = t.each(`SELECT rule, sku_id, generation_id, end_offset, lines, amount FROM contributions WHERE record_id = 0`, func(rows *sql.Rows) error {
		var w waiting
		err := rows.Scan(&w.rule, &w.sku, &w.generation, &w.end, &w.lines, &w.amount)
		d.waiting = append(d.waiting, w)
		return err
	})
	return d, err
}

func (t *transaction) each(query string, row func(*sql.Rows) error, args ...any) error {
	s, err := t.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// setAside makes the records in doubt foreign, and takes their part out of the
// remainders and of the contributions that wait with them.
func (t *transaction) setAside(d *doubt, sameBoot bool, now time.Time) (f Foreign, err error) {
	reason := foreignReason
	if f.SameBoot = sameBoot; sameBoot {
		reason = SameBoot
	}
	for state, n := range map[meter.State]*int{meter.Open: &f.Open, meter.Sealed: &f.Sealed} {
		changed, err := t.exec(`UPDATE records SET state = 'foreign', reason = ?, settled_at = ?,
			sealed_at = CASE sealed_at WHEN '' THEN ? ELSE sealed_at END, maybe_stored = max(maybe_stored, in_flight), in_flight = 0
			WHERE state = ? AND id <= ?`, reason, instant(now), instant(now), string(state), d.last)
		if err != nil {
			return f, err
		}
		*n = int(changed)
	}
	if f.Peaks, err = t.foreignPeaks(d, reason, now); err != nil {
		return f, err
	}
	for key, remainder := range d.remainders {
		var decimals int
		if err := t.scan(`UPDATE remainders SET remainder = remainder - ? WHERE rule = ? AND sku_id = ? RETURNING decimals`, []any{remainder, key.rule, key.sku}, (*places)(&decimals)); err != nil {
			return f, err
		}
		f.Remainders++
		a := meter.Anomaly{Count: 1, Example: fmt.Sprintf("%s, less than one unit of %s", meter.Decimal(remainder, decimals), key.sku)}
		if err := t.addAnomaly(meter.AnomalyKey{Kind: meter.ForeignRemainder, Subject: key.rule}, &a, now); err != nil {
			return f, err
		}
	}
	for _, w := range d.waiting { // in a generation what came later begins where it ended
		if _, err := t.exec(`UPDATE contributions SET lines = lines - ?, amount = amount - ?, start_offset = max(start_offset, ?)
			WHERE record_id = 0 AND rule = ? AND sku_id = ? AND generation_id = ?`, w.lines, w.amount, w.end, w.rule, w.sku, w.generation); err != nil {
			return f, err
		}
	}
	_, err = t.exec(`DELETE FROM contributions WHERE record_id = 0 AND amount = 0`)
	return f, err
}
