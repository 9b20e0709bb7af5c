package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/meter"
)

// Batch is what the meter loop has read and counted since the last commit.
type Batch struct {
	Generations []meter.Generation   // changed since the last commit
	Copies      []meter.Copy         // found since the last commit, in order
	Globs       map[string]time.Time // patterns of sources, with the time of their first scan
	Tally       *meter.Tally
	Activity    []meter.Activity // of all rules; nil if this commit does not store it
}

// Empty reports whether the batch holds nothing to commit.
func (b Batch) Empty() bool {
	return len(b.Generations) == 0 && len(b.Copies) == 0 && len(b.Globs) == 0 && len(b.Activity) == 0 && b.Tally.Empty()
}

// Commit makes positions and counts durable in one transaction. After an error
// nothing of the batch is in the ledger, and the same batch can be committed
// again. now is the time that new records get as OpenedAt. The tally's lines with
// keys are counts or repeats after it.
func (l *Ledger) Commit(ctx context.Context, b Batch, now time.Time) error {
	l.binding.Lock()
	defer l.binding.Unlock()
	var outcomes []meter.Outcome
	var late meter.Tally // lines whose stretch was closed
	err := l.update(ctx, "commit", func(tx *transaction) (err error) {
		tx.doubt, tx.filters = l.doubt, &l.filters
		tally := b.Tally
		if tally.Keyed.Len() > 0 {
			if outcomes, err = tx.decide(&tally.Keyed, now); err != nil {
				return err
			}
			tally = tally.Resolved(outcomes)
		}
		for pattern, first := range b.Globs {
			if _, err := tx.exec(`INSERT INTO globs (pattern, first_scan) VALUES (?, ?)
				ON CONFLICT DO UPDATE SET first_scan = max(first_scan, excluded.first_scan)`, pattern, instant(first)); err != nil {
				return err
			}
		}
		for _, g := range b.Generations {
			if err := tx.putGeneration(g, now); err != nil {
				return err
			}
		}
		for _, c := range b.Copies {
			if err := tx.putCopy(c); err != nil {
				return err
			}
		}
		for _, entry := range inOrder(tally.Counts) {
			if _, err := tx.addCount(entry.CountKey, entry.Count, now); err != nil {
				return fmt.Errorf("rule %s: %w", entry.Rule.Name, err)
			}
		}
		if late, err = tx.putPeaks(b.Tally.Peaks); err != nil {
			return err
		}
		for _, anomalies := range []map[meter.AnomalyKey]*meter.Anomaly{tally.Anomalies, late.Anomalies} {
			for key, a := range anomalies {
				if err := tx.addAnomaly(key, a, now); err != nil {
					return err
				}
			}
		}
		return tx.putActivity(b.Activity, now)
	})
	if err == nil {
		b.Tally.Resolve(outcomes)
		b.Tally.AddAnomalies(&late)
	}
	return err
}

type countEntry struct {
	meter.CountKey
	*meter.Count
}

// inOrder sorts counts by window, so that a remainder is carried forward in
// time, and then by what makes the order the same on every run.
func inOrder(counts map[meter.CountKey]*meter.Count) []countEntry {
	entries := make([]countEntry, 0, len(counts))
	for key, count := range counts {
		entries = append(entries, countEntry{key, count})
	}
	slices.SortFunc(entries, func(a, b countEntry) int {
		return cmp.Or(
			cmp.Compare(a.Window.Start, b.Window.Start),
			cmp.Compare(a.Rule.Name, b.Rule.Name),
			cmp.Compare(a.Rule.SKU, b.Rule.SKU),
			cmp.Compare(a.Generation, b.Generation),
			cmp.Compare(a.Count.Start, b.Count.Start),
		)
	})
	return entries
}

func (t *transaction) putGeneration(g meter.Generation, now time.Time) error {
	_, err := t.exec(`
		INSERT INTO generations (id, path, dev, ino, offset, head, mark, trail, compressed, eof_at, state, missed,
			size, mtime, ctime, born, before, carry, query, left_to_other, names, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET
			dev = excluded.dev, ino = excluded.ino, offset = excluded.offset, head = excluded.head, mark = excluded.mark, trail = excluded.trail,
			compressed = excluded.compressed, eof_at = excluded.eof_at, state = excluded.state, missed = excluded.missed,
			size = excluded.size, mtime = excluded.mtime, ctime = excluded.ctime, born = excluded.born, before = excluded.before, carry = excluded.carry,
			left_to_other = excluded.left_to_other, names = excluded.names, updated_at = excluded.updated_at`,
		g.ID, g.Path, int64(g.Dev), int64(g.Ino), g.Offset, nonNil(g.Head), nonNil(g.Mark), nonNil(g.Trail), g.Compressed, g.EOFAt, string(g.State), g.Missed,
		g.Size, g.MTime, g.CTime, g.Born, g.Before, nonNil(g.Carry), g.Query, g.Left, nameList(g.Names), instant(now))
	return err
}

// nameList is a list of file names, as the ledger keeps it.
type nameList []string

func (n nameList) Value() (driver.Value, error) {
	if len(n) == 0 {
		return "", nil
	}
	return strings.Join(n, "\x00") + "\x00", nil
}

func (n *nameList) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("file names: %T is no text", value)
	}
	*n = nil
	if text != "" {
		*n = strings.Split(strings.TrimSuffix(text, "\x00"), "\x00")
	}
	return nil
}

// putCopy stores what an inode is a copy of, or removes it.
func (t *transaction) putCopy(c meter.Copy) (err error) {
	if c.Of == 0 {
		_, err = t.exec(`DELETE FROM copies WHERE dev = ? AND ino = ?`, int64(c.Dev), int64(c.Ino))
		return err
	}
	_, err = t.exec(`INSERT OR REPLACE INTO copies (dev, ino, size, mtime, ctime, generation_id) VALUES (?, ?, ?, ?, ?, ?)`,
		int64(c.Dev), int64(c.Ino), c.Size, c.MTime, c.CTime, c.Of)
	return err
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// addCount adds a count to the open record of its SKU and window, or opens one. It
// returns the record, or 0 if the count has not made a whole unit.
func (t *transaction) addCount(key meter.CountKey, count *meter.Count, now time.Time) (record int64, err error) {
	if over := count.Amount - (math.MaxInt64 - key.Rule.Per); key.Rule.Per > 1 && over > 0 {
		// With what waits for its unit it may be more than a contribution holds.
		most := *count
		most.Amount -= over
		if _, err := t.addCount(key, &most, now); err != nil {
			return 0, err
		}
		count = &meter.Count{Amount: over, Start: count.Start, End: count.End, Last: count.Last} // its lines are counted
	}
	units, carried, err := t.carry(key.Rule, count.Amount)
	if err != nil {
		return 0, err
	}
	if units == 0 {
		return 0, t.contribute(0, key, count)
	}
	if record, err = t.bill(key, units, count.Last, now); err != nil {
		return 0, err
	}
	waiting, err := t.adoptContributions(record, key.Rule)
	if err != nil {
		return 0, err
	}
	if err := t.contribute(record, key, count); err != nil {
		return 0, err
	}
	return record, t.share(record, key.Rule, carried-waiting, units)
}

// share notes what the rule gave to the record.
func (t *transaction) share(record int64, rule *meter.Rule, carried, units int64) error {
	_, err := t.exec(`
		INSERT INTO shares (record_id, rule, per, decimals, carried, units) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET carried = carried + excluded.carried, units = units + excluded.units`,
		record, rule.Name, rule.Per, rule.Decimals, carried, units)
	return err
}

// carry turns an amount into units of the rule and keeps the rest for the
// next. carried is what the rest was before, less what it is now.
func (t *transaction) carry(rule *meter.Rule, amount int64) (units, carried int64, err error) {
	if rule.Per <= 1 {
		return amount, 0, nil
	}
	var before int64
	err = t.scan(`SELECT remainder FROM remainders WHERE rule = ? AND sku_id = ?`, []any{rule.Name, rule.SKU}, &before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, 0, err
	}
	apart := t.doubt.remainder(rule)
	before -= apart
	total := uint64(before) + uint64(amount) // two int64 ≥ 0 fit
	after := int64(total % uint64(rule.Per))
	_, err = t.exec(`
		INSERT INTO remainders (rule, sku_id, remainder, decimals, made_with) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET remainder = excluded.remainder, decimals = excluded.decimals, made_with = excluded.made_with`,
		rule.Name, rule.SKU, apart+after, rule.Decimals, rule.Unit)
	return int64(total / uint64(rule.Per)), before - after, err
}

// bill adds units to the open record of the key's product, SKU and window. A
// record is sealed, and another opened, if it cannot hold the units, is in doubt, or
// has units of another size from the rule. last is when the latest event of the units
// happened.
func (t *transaction) bill(key meter.CountKey, units, last int64, now time.Time) (record int64, err error) {
	var quantity, share, per int64
	var decimals int
	timestamp := time.Unix(min(max(last, key.Window.Start), key.Window.End-1), 0).UTC().Format(windowLayout)
	window := key.Window.StartTime().Format(windowLayout)
	err = t.scan(`SELECT id, quantity, coalesce(units, 0), coalesce(per, ?), coalesce(decimals, ?) FROM records LEFT JOIN shares ON record_id = id AND rule = ?
		WHERE product_id = ? AND sku_id = ? AND window_start = ? AND state = 'open'`,
		[]any{key.Rule.Per, key.Rule.Decimals, key.Rule.Name, key.Rule.ProductID, key.Rule.SKU, window}, &record, &quantity, &share, &per, &decimals)
	alike := per == key.Rule.Per && decimals == key.Rule.Decimals
	switch {
	case err == nil && !t.doubt.has(record) && alike && quantity <= math.MaxInt64-units && fits(share, units, key.Rule.Per):
		_, err = t.exec(`UPDATE records SET quantity = quantity + ?, timestamp = max(timestamp, ?) WHERE id = ?`, units, timestamp, record)
		return record, err
	case err == nil:
		if _, err := t.exec(`UPDATE records SET state = 'sealed', sealed_at = ? WHERE id = ?`, instant(now), record); err != nil {
			return 0, err
		}
	case !errors.Is(err, sql.ErrNoRows):
		return 0, err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return 0, err
	}
	err = t.scan(`
		INSERT INTO records (uuid, product_id, sku_id, window_start, window_end, timestamp, quantity, state, opened_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?) RETURNING id`,
		[]any{id.String(), key.Rule.ProductID, key.Rule.SKU, window, key.Window.EndTime().Format(windowLayout), timestamp, units, instant(now)}, &record)
	return record, err
}

// fits reports whether the amounts of a share stay within an int64 when units
// are added to it. They are less than one unit more than the share.
func fits(share, units, per int64) bool {
	return per <= 1 || units < math.MaxInt64/per-share
}

// addContribution widens the range of a contribution that is there already.
const addContribution = `ON CONFLICT DO UPDATE SET
	start_offset = min(start_offset, excluded.start_offset), end_offset = max(end_offset, excluded.end_offset),
	lines = lines + excluded.lines, amount = amount + excluded.amount`

// contribute notes which lines went into the record.
func (t *transaction) contribute(record int64, key meter.CountKey, count *meter.Count) error {
	_, err := t.exec(`
		INSERT INTO contributions (record_id, rule, sku_id, generation_id, start_offset, end_offset, lines, amount)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		`+addContribution,
		record, key.Rule.Name, key.Rule.SKU, key.Generation, count.Start, count.End, count.Lines, count.Amount)
	return err
}

// adoptContributions gives the record the earlier contributions of its rule that
// had not made a whole unit. It returns their amount. While earlier contributions
// are in doubt, all of them wait: the shares take account of it.
func (t *transaction) adoptContributions(record int64, rule *meter.Rule) (amount int64, err error) {
	if rule.Per <= 1 || t.doubt != nil {
		return 0, nil
	}
	err = t.scan(`SELECT coalesce(sum(amount), 0) FROM contributions WHERE record_id = 0 AND rule = ? AND sku_id = ?`,
		[]any{rule.Name, rule.SKU}, &amount)
	if err != nil {
		return 0, err
	}
	if _, err := t.exec(`
		INSERT INTO contributions (record_id, rule, sku_id, generation_id, start_offset, end_offset, lines, amount)
		SELECT ?, rule, sku_id, generation_id, start_offset, end_offset, lines, amount
		FROM contributions WHERE record_id = 0 AND rule = ? AND sku_id = ?
		`+addContribution, record, rule.Name, rule.SKU); err != nil {
		return 0, err
	}
	_, err = t.exec(`DELETE FROM contributions WHERE record_id = 0 AND rule = ? AND sku_id = ?`, rule.Name, rule.SKU)
	return amount, err
}

func (t *transaction) addAnomaly(key meter.AnomalyKey, a *meter.Anomaly, now time.Time) error {
	_, err := t.exec(`
		INSERT INTO anomalies (kind, subject, count, bytes, example, first_at, last_at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET
			count = count + excluded.count, bytes = bytes + excluded.bytes, last_at = excluded.last_at,
			example = CASE excluded.example WHEN '' THEN example ELSE excluded.example END`,
		string(key.Kind), key.Subject, a.Count, a.Bytes, a.Example, instant(now), instant(now))
	if err == nil && a.Count <= 0 { // gaps that were taken back
		_, err = t.exec(`DELETE FROM anomalies WHERE count <= 0`)
	}
	return err
}
