package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Closing says which stretches of rules with peak are to be closed. A stretch is
// closed if everything was read that stood in the logs when its lines were no longer
// awaited. It is closed in any case if it ended after From and not after Over.
type Closing struct {
	Now        time.Time
	Read       time.Time // everything that stood in the logs then was read
	From, Over time.Time
	Interval   time.Duration // of windows
	Rules      []*meter.Rule // as they are now
}

// ClosePeaks closes stretches: the largest line of each key counts, as an event of
// the last second of its stretch. It returns how many stretches it closed. It
// closes none while what was counted earlier may be another machine's.
func (l *Ledger) ClosePeaks(ctx context.Context, c Closing) (n int, err error) {
	l.binding.Lock()
	defer l.binding.Unlock()
	if l.doubt != nil {
		return 0, nil
	}
	over, err := l.stretchesOver(ctx, c)
	if err != nil || len(over) == 0 {
		return 0, err
	}
	err = l.update(ctx, "close peaks", func(tx *transaction) error {
		n, err = (&closer{tx, c}).closeAll(over)
		return err
	})
	return n, err
}

// NextClosing returns when the next stretch may be closed, and zero if none is open.
func (r *Reader) NextClosing(ctx context.Context) (time.Time, error) {
	var closes sql.NullInt64
	if err := r.db.QueryRowContext(ctx, `SELECT min(closes) FROM peak_stretches WHERE closed = 0`).Scan(&closes); err != nil {
		return time.Time{}, fmt.Errorf("ledger: next closing: %w", err)
	}
	if !closes.Valid {
		return time.Time{}, nil
	}
	return time.Unix(closes.Int64, 0), nil
}

// closingStretch is a part of a stretch that is over.
type closingStretch struct {
	id         int64
	rule, form string
	meter.Window
}

// sameStretch reports whether two are parts of one stretch.
func (s closingStretch) sameStretch(other closingStretch) bool {
	return s.rule == other.rule && s.form == other.form && s.Window == other.Window
}

const stretchColumns = `id, rule, form, start, start + length`

func scanStretch(rows *sql.Rows) (s closingStretch, err error) {
	err = rows.Scan(&s.id, &s.rule, &s.form, &s.Start, &s.End)
	return s, err
}

// stretchesOver returns the stretches that c closes, the parts of each side by
// side.
func (l *Ledger) stretchesOver(ctx context.Context, c Closing) ([]closingStretch, error) {
	return query(ctx, l.db, "peaks", scanStretch, `SELECT `+stretchColumns+` FROM peak_stretches WHERE closed = 0
		AND (closes <= ? OR start + length > ? AND start + length <= ?) ORDER BY start + length, rule, form, start, part`,
		seconds1970(c.Read), seconds1970(c.From), seconds1970(c.Over))
}

// seconds1970 returns a time in seconds since 1970. The zero time is before all
// others.
func seconds1970(t time.Time) int64 {
	if t.IsZero() {
		return math.MinInt64
	}
	return t.Unix()
}

// closer is the work of ClosePeaks.
type closer struct {
	*transaction
	Closing
}

func (w *closer) closeAll(over []closingStretch) (n int, err error) {
	for len(over) > 0 {
		parts := 1
		for parts < len(over) && over[parts].sameStretch(over[0]) {
			parts++
		}
		if err := w.join(over[:parts]); err != nil {
			return n, err
		}
		if err := w.close(over[0]); err != nil {
			return n, fmt.Errorf("rule %s: %w", over[0].rule, err)
		}
		over, n = over[parts:], n+1
	}
	return n, nil
}

// join moves the peaks of all parts of a stretch to the first. Of each key the
// largest stays.
func (t *transaction) join(parts []closingStretch) error {
	for _, part := range parts[1:] {
		rows, err := t.peaksOf(part.id)
		if err != nil {
			return err
		}
		if err := t.raise(parts[0].id, rows); err != nil {
			return err
		}
		if err := t.forgetStretch(part.id); err != nil {
			return err
		}
	}
	return nil
}

// forgetStretch deletes a stretch with its peaks.
func (t *transaction) forgetStretch(id int64) error {
	if _, err := t.exec(`DELETE FROM peaks WHERE stretch_id = ?`, id); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM peak_stretches WHERE id = ?`, id)
	return err
}

// peaksOf returns the peaks of a stretch in the order of their keys.
func (t *transaction) peaksOf(stretch int64) (all []peakRow, err error) {
	err = t.each(`SELECT hash, amount, decimals, bill_id, generation_id, start_offset, end_offset
		FROM peaks JOIN peak_bills ON id = bill_id WHERE stretch_id = ? ORDER BY hash`, func(rows *sql.Rows) error {
		var p peakRow
		err := rows.Scan((*keyHash)(&p.hash), &p.amount, (*places)(&p.decimals), &p.bill, &p.generation, &p.start, &p.end)
		all = append(all, p)
		return err
	}, stretch)
	return all, err
}

// peakSum is what the peaks of a stretch come to in one generation for one bill.
type peakSum struct {
	bill, generation int64
	meter.Count
	hashes []meter.KeyHash
}

// sumPeaks adds up the peaks of a stretch. A sum that no int64 holds is in parts.
func sumPeaks(rows []peakRow) (sums []*peakSum) {
	type place struct{ bill, generation int64 }
	current := make(map[place]*peakSum)
	for _, row := range rows {
		at := place{row.bill, row.generation}
		s := current[at]
		if s == nil || s.Amount > math.MaxInt64-row.amount {
			s = &peakSum{bill: row.bill, generation: row.generation, Count: meter.Count{Start: row.start, End: row.end}}
			current[at], sums = s, append(sums, s)
		}
		s.Lines++
		s.Amount += row.amount
		s.Start, s.End = min(s.Start, row.start), max(s.End, row.end)
		s.hashes = append(s.hashes, row.hash)
	}
	return sums
}

// close counts the peaks of a stretch.
func (w *closer) close(s closingStretch) error {
	rows, err := w.peaksOf(s.id)
	if err != nil {
		return err
	}
	for _, sum := range sumPeaks(rows) {
		record, err := w.count(s, sum)
		if err != nil {
			return err
		}
		for _, hash := range sum.hashes {
			if _, err := w.exec(`UPDATE peaks SET record_id = ? WHERE stretch_id = ? AND hash = ?`, record, s.id, hash[:]); err != nil {
				return err
			}
		}
	}
	_, err = w.exec(`UPDATE peak_stretches SET closed = ? WHERE id = ?`, max(1, w.Now.Unix()), s.id)
	return err
}

// count adds a sum of peaks to a record, and returns the record. A source with
// `late: read` has peaks that are too old for the API count now.
func (w *closer) count(s closingStretch, sum *peakSum) (record int64, err error) {
	bill, err := w.peakBill(sum.bill)
	if err != nil {
		return 0, err
	}
	rule := &meter.Rule{Name: s.rule, ProductID: bill.product, SKU: bill.sku, Per: bill.per, Decimals: bill.decimals, Unit: bill.madeWith}
	key := meter.CountKey{Rule: rule, Generation: sum.generation}
	key.Window, sum.Last = meter.LastSecond(s.Window, w.Interval)
	if bill.lateRead != "" && w.Now.Sub(time.Unix(sum.Last, 0)) > meter.LateAfter {
		late := meter.Anomaly{Count: sum.Lines, Example: "the peak is of the stretch that ended at " + s.EndTime().Format(windowLayout)}
		if err := w.addAnomaly(meter.AnomalyKey{Kind: meter.LateEvent, Subject: bill.lateRead}, &late, w.Now); err != nil {
			return 0, err
		}
		key.Window, sum.Last = meter.WindowAt(w.Now, w.Interval), w.Now.Unix()
	}
	if rule.Per > 1 && w.differs(rule) {
		return w.countApart(key, &sum.Count, w.Now, func(units int64) (int64, error) { return w.bill(key, units, sum.Last, w.Now) })
	}
	return w.addCount(key, &sum.Count, w.Now)
}

// peakBill returns what a peak bills.
func (t *transaction) peakBill(id int64) (b peakBill, err error) {
	err = t.scan(`SELECT product_id, sku_id, per, decimals, made_with, late_read FROM peak_bills WHERE id = ?`, []any{id},
		&b.product, &b.sku, &b.per, (*places)(&b.decimals), &b.madeWith, &b.lateRead)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("bill %d of its peaks is missing", id)
	}
	if err == nil && b.per < 1 {
		err = fmt.Errorf("bill %d of its peaks is damaged: per is %d", id, b.per)
	}
	return b, err
}

// differs reports whether the rule reads otherwise now than when it read a peak.
// Then what is left over of the two must not be mixed.
func (w *closer) differs(then *meter.Rule) bool {
	return slices.ContainsFunc(w.Rules, func(now *meter.Rule) bool {
		return now.Name == then.Name && now.SKU == then.SKU && (now.Unit != then.Unit || now.Decimals != then.Decimals)
	})
}

// countApart counts whole units without the remainder that the rule has. bill
// returns the record for them. What is left over is set aside.
func (t *transaction) countApart(key meter.CountKey, count *meter.Count, now time.Time, bill func(units int64) (int64, error)) (record int64, err error) {
	units, rest := count.Amount/key.Rule.Per, count.Amount%key.Rule.Per
	waiting := rest
	if units > 0 {
		waiting = 0
		if record, err = bill(units); err != nil {
			return 0, err
		}
		if err := t.contribute(record, key, count); err != nil {
			return 0, err
		}
		if err := t.share(record, key.Rule, -rest, units); err != nil {
			return 0, err
		}
	}
	if rest == 0 {
		return record, nil
	}
	return record, t.noteAside(key.Rule, rest, waiting, now)
}

// noteAside notes less than a unit that no record will count. waiting is the part of
// it whose lines no record has.
func (t *transaction) noteAside(rule *meter.Rule, rest, waiting int64, now time.Time) error {
	if _, err := t.exec(`INSERT INTO set_aside (rule, sku_id, made_with, remainder, decimals, waiting, at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		rule.Name, rule.SKU, rule.Unit, rest, rule.Decimals, waiting, instant(now)); err != nil {
		return err
	}
	a := meter.Anomaly{Count: 1, Example: fmt.Sprintf("%s, less than one unit of %s, was left of a peak of %s", rule.Text(rest), rule.SKU, rule.Unit)}
	return t.addAnomaly(meter.AnomalyKey{Kind: meter.StaleRemainder, Subject: rule.Name}, &a, now)
}
