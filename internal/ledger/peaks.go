package ledger

import (
	"bytes"
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// peakBill is a row of the table peak_bills: what a rule bills.
type peakBill struct {
	product, sku string
	per          int64
	decimals     int
	madeWith     string
	lateRead     string
}

// peakRow is a row of the table peaks, with its bill.
type peakRow struct {
	hash       meter.KeyHash
	amount     int64
	decimals   int
	bill       int64 // its id
	generation int64
	start, end int64
}

// openStretch is a row of the table peak_stretches.
type openStretch struct {
	id, closes int64
	closed     bool
}

// peakKeeper is the work of putPeaks.
type peakKeeper struct {
	*transaction
	bills     map[peakBill]int64
	stretches map[stretchKey]openStretch
}

// putPeaks keeps samples that are larger than what the ledger has of their stretch
// and key. It returns the lines that came after their stretch was closed.
func (t *transaction) putPeaks(tops map[meter.PeakRef]*meter.Top) (late meter.Tally, err error) {
	k := peakKeeper{t, make(map[peakBill]int64), make(map[stretchKey]openStretch)}
	var rows []peakRow // of one stretch
	last := int64(0)
	for _, ref := range peakOrder(tops) {
		top := tops[ref]
		s, err := k.stretch(ref)
		if err != nil {
			return late, err
		}
		if s.closed {
			key := meter.AnomalyKey{Kind: meter.LatePeak, Subject: ref.Peak.Rule}
			late.AddAnomaly(key, 0, fmt.Sprintf("a line of the stretch from %s came after the stretch was closed", ref.Stretch.StartTime().Format(windowLayout)))
			late.Anomalies[key].Count += top.Lines - 1
			continue
		}
		bill, err := k.bill(top)
		if err != nil {
			return late, err
		}
		if s.id != last {
			if err := t.raise(last, rows); err != nil {
				return late, err
			}
			last, rows = s.id, rows[:0]
		}
		rows = append(rows, peakRow{ref.Hash, top.Amount, top.Rule.Decimals, bill, top.Generation, top.Start, top.End})
	}
	return late, t.raise(last, rows)
}

// peakOrder sorts samples in the order of the tables.
func peakOrder(tops map[meter.PeakRef]*meter.Top) []meter.PeakRef {
	refs := make([]meter.PeakRef, 0, len(tops))
	for ref := range tops {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b meter.PeakRef) int {
		return cmp.Or(cmp.Compare(a.Peak.Rule, b.Peak.Rule), cmp.Compare(a.Peak.Form, b.Peak.Form),
			cmp.Compare(a.Stretch.Start, b.Stretch.Start), bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	return refs
}

// stretch returns the row of a stretch. It makes one if there is none. While what
// was counted earlier may be another machine's, it makes one apart.
func (k *peakKeeper) stretch(ref meter.PeakRef) (s openStretch, err error) {
	key := stretchKey{ref.Peak.Rule, ref.Peak.Form, ref.Stretch.Start}
	s, known := k.stretches[key]
	if known {
		return s, nil
	}
	part := int64(-1)
	err = k.scan(`SELECT id, part, closes, closed > 0 FROM peak_stretches WHERE rule = ? AND form = ? AND start = ? ORDER BY part DESC LIMIT 1`,
		[]any{key.rule, key.form, key.start}, &s.id, &part, &s.closes, &s.closed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s, err
	}
	closes := ref.Stretch.End + int64(ref.Peak.Wait/time.Second)
	switch {
	case part < 0, !s.closed && k.doubt.hasStretch(s.id):
		s.closes = closes
		err = k.scan(`INSERT INTO peak_stretches (rule, form, start, length, part, closes) VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
			[]any{key.rule, key.form, key.start, ref.Stretch.End - ref.Stretch.Start, part + 1, closes}, &s.id)
		k.changed = true
	case !s.closed && s.closes < closes: // its rule has another source now
		s.closes = closes
		_, err = k.exec(`UPDATE peak_stretches SET closes = ? WHERE id = ?`, closes, s.id)
	default:
		err = nil
	}
	k.stretches[key] = s
	return s, err
}

// bill returns the id of what a sample bills.
func (k *peakKeeper) bill(top *meter.Top) (id int64, err error) {
	r := top.Rule
	bill := peakBill{r.ProductID, r.SKU, r.Per, r.Decimals, r.Unit, top.LateRead}
	if id = k.bills[bill]; id != 0 {
		return id, nil
	}
	const same = `product_id = ? AND sku_id = ? AND per = ? AND decimals = ? AND made_with = ? AND late_read = ?`
	values := []any{bill.product, bill.sku, bill.per, bill.decimals, bill.madeWith, bill.lateRead}
	err = k.scan(`SELECT id FROM peak_bills WHERE `+same, values, &id)
	if errors.Is(err, sql.ErrNoRows) {
		err = k.scan(`INSERT INTO peak_bills (product_id, sku_id, per, decimals, made_with, late_read) VALUES (?, ?, ?, ?, ?, ?) RETURNING id`, values, &id)
		k.changed = true
	}
	k.bills[bill] = id
	return id, err
}

// peaksAtOnce is how many peaks one statement raises.
const peaksAtOnce = 64

// raise keeps peaks of a stretch that are larger than those that it has of their
// keys. The amounts of two numbers of decimals are compared by what is before and
// behind the point.
func (t *transaction) raise(stretch int64, rows []peakRow) error {
	for chunk := range slices.Chunk(rows, peaksAtOnce) {
		args := make([]any, 0, 8*len(chunk))
		for _, r := range chunk {
			args = append(args, stretch, r.hash[:], r.amount, meter.One(r.decimals), r.bill, r.generation, r.start, r.end)
		}
		if _, err := t.exec(`INSERT INTO peaks (stretch_id, hash, amount, one, bill_id, generation_id, start_offset, end_offset)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`+strings.Repeat(`, (?, ?, ?, ?, ?, ?, ?, ?)`, len(chunk)-1)+`
			ON CONFLICT DO UPDATE SET amount = excluded.amount, one = excluded.one, bill_id = excluded.bill_id,
				generation_id = excluded.generation_id, start_offset = excluded.start_offset, end_offset = excluded.end_offset
			WHERE (excluded.amount / excluded.one, excluded.amount % excluded.one * (1000000000 / excluded.one))
				> (amount / one, amount % one * (1000000000 / one))`, args...); err != nil {
			return err
		}
	}
	return nil
}
