package ledger

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/meter"
)

// hasStretch reports whether a stretch of a rule with peak is in doubt.
func (d *doubt) hasStretch(id int64) bool { return d != nil && id <= d.lastStretch }

// foreignPeaks makes foreign records of the stretches that are open and in doubt:
// the machine that began them counts their peaks. It returns how many stretches
// there were.
func (t *transaction) foreignPeaks(d *doubt, reason string, now time.Time) (n int, err error) {
	open, err := t.openStretches(d.lastStretch)
	if err != nil {
		return 0, err
	}
	for len(open) > 0 {
		parts := 1
		for parts < len(open) && open[parts].sameStretch(open[0]) {
			parts++
		}
		if err := t.join(open[:parts]); err != nil {
			return n, err
		}
		rows, err := t.peaksOf(open[0].id)
		if err != nil {
			return n, err
		}
		for _, sum := range sumPeaks(rows) {
			if err := t.foreignPeak(open[0], sum, reason, now); err != nil {
				return n, fmt.Errorf("rule %s: %w", open[0].rule, err)
			}
		}
		if err := t.forgetStretch(open[0].id); err != nil {
			return n, err
		}
		open, n = open[parts:], n+1
	}
	return n, nil
}

// openStretches returns the open stretches up to an id, the parts of each side by
// side.
func (t *transaction) openStretches(last int64) (all []closingStretch, err error) {
	err = t.each(`SELECT `+stretchColumns+` FROM peak_stretches WHERE closed = 0 AND id <= ? ORDER BY rule, form, start, part`, func(rows *sql.Rows) error {
		s, err := scanStretch(rows)
		all = append(all, s)
		return err
	}, last)
	return all, err
}

// foreignPeak makes a foreign record of a sum of peaks. It sets aside what is less
// than a unit.
func (t *transaction) foreignPeak(s closingStretch, sum *peakSum, reason string, now time.Time) error {
	bill, err := t.peakBill(sum.bill)
	if err != nil {
		return err
	}
	rule := &meter.Rule{Name: s.rule, ProductID: bill.product, SKU: bill.sku, Per: bill.per, Decimals: bill.decimals, Unit: bill.madeWith}
	key := meter.CountKey{Rule: rule, Generation: sum.generation}
	key.Window, sum.Last = meter.LastSecond(s.Window, time.Minute)
	_, err = t.countApart(key, &sum.Count, now, func(units int64) (int64, error) {
		return t.foreignRecord(key, units, sum.Last, reason, now)
	})
	return err
}

// foreignRecord inserts a record that another machine delivers.
func (t *transaction) foreignRecord(key meter.CountKey, units, last int64, reason string, now time.Time) (record int64, err error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return 0, err
	}
	err = t.scan(`
		INSERT INTO records (uuid, product_id, sku_id, window_start, window_end, timestamp, quantity, state, reason, opened_at, sealed_at, settled_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, 'foreign', ?, ?, ?, ?) RETURNING id`,
		[]any{id.String(), key.Rule.ProductID, key.Rule.SKU, key.Window.StartTime().Format(windowLayout), key.Window.EndTime().Format(windowLayout),
			time.Unix(last, 0).UTC().Format(windowLayout), units, reason, instant(now), instant(now), instant(now)}, &record)
	return record, err
}
