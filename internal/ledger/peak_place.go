package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// PeakPlace says which line is the largest of a stretch and key.
type PeakPlace struct {
	Known      bool   // the ledger knows it
	Open       bool   // its stretch is open, so a larger line may still come
	Generation int64  // of that line
	Offset     int64  // where that line begins
	UUID       string // its record; "" while it is open, while its amount waits for a unit, or if the record is gone
}

// PeakPlace returns which line is the largest of a stretch and key.
func (r *Reader) PeakPlace(ctx context.Context, ref meter.PeakRef) (p PeakPlace, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT generation_id, start_offset, closed = 0, coalesce(uuid, '')
		FROM peak_stretches AS s JOIN peaks ON stretch_id = s.id LEFT JOIN records ON records.id = record_id
		WHERE rule = ? AND form = ? AND start = ? AND hash = ? ORDER BY part DESC LIMIT 1`,
		ref.Peak.Rule, ref.Peak.Form, ref.Stretch.Start, ref.Hash[:]).Scan(&p.Generation, &p.Offset, &p.Open, &p.UUID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return p, nil
	case err != nil:
		return p, fmt.Errorf("ledger: peak: %w", err)
	}
	p.Known = true
	return p, nil
}

// PeaksIn returns the lines in a range of a generation that have counted as the
// largest of their stretch and key, by their offsets, with their records. The record
// is "" where its amount waited for a unit, or if the record is gone.
func (r *Reader) PeaksIn(ctx context.Context, rule string, generation, start, end int64) (map[int64]string, error) {
	records := make(map[int64]string)
	_, err := query(ctx, r.db, "peaks", func(rows *sql.Rows) (none struct{}, err error) {
		var offset int64
		var uuid string
		err = rows.Scan(&offset, &uuid)
		records[offset] = uuid
		return none, err
	}, `SELECT start_offset, coalesce(uuid, '') FROM peak_stretches AS s JOIN peaks ON stretch_id = s.id LEFT JOIN records ON records.id = record_id
		WHERE s.rule = ? AND closed > 0 AND generation_id = ? AND start_offset >= ? AND end_offset <= ?`, rule, generation, start, end)
	return records, err
}

// OpenPeaks is what an open stretch of a rule has come to for one SKU.
type OpenPeaks struct {
	Rule, ProductID, SKU string
	Stretch              meter.Window
	Closes               time.Time // not before
	Peaks                int64     // one for each key
	Amount               *big.Int  // their sum
	Decimals             int       // places of the amount
}

// Text returns the amount as it is written.
func (p OpenPeaks) Text() string { return meter.BigDecimal(p.Amount, p.Decimals) }

// OpenPeaks returns the stretches that are open, in the order of their ends.
func (r *Reader) OpenPeaks(ctx context.Context) (all []OpenPeaks, err error) {
	type place struct{ stretch, bill int64 }
	sums := make(map[place]*OpenPeaks)
	_, err = query(ctx, r.db, "open peaks", func(rows *sql.Rows) (none struct{}, err error) {
		var at place
		var amount int64
		err = rows.Scan(&at.stretch, &at.bill, &amount)
		if sums[at] == nil {
			sums[at] = &OpenPeaks{Amount: new(big.Int)}
		}
		sums[at].Peaks++
		sums[at].Amount.Add(sums[at].Amount, big.NewInt(amount))
		return none, err
	}, `SELECT stretch_id, bill_id, amount FROM peak_stretches JOIN peaks ON stretch_id = id WHERE closed = 0`)
	if err != nil || len(sums) == 0 {
		return nil, err
	}
	_, err = query(ctx, r.db, "open peaks", func(rows *sql.Rows) (none struct{}, err error) {
		var at place
		var p OpenPeaks
		var closes int64
		err = rows.Scan(&at.stretch, &at.bill, &p.Rule, &p.ProductID, &p.SKU, &p.Stretch.Start, &p.Stretch.End, &closes, (*places)(&p.Decimals))
		if sum := sums[at]; sum != nil {
			p.Peaks, p.Amount, p.Closes = sum.Peaks, sum.Amount, time.Unix(closes, 0).UTC()
			all = append(all, p)
		}
		return none, err
	}, `SELECT s.id, b.id, rule, product_id, sku_id, start, start + length, closes, decimals FROM peak_stretches AS s, peak_bills AS b
		WHERE closed = 0 ORDER BY start + length, rule, sku_id, s.id, b.id`)
	return all, err
}

// peaksPruned is how many peaks are deleted in one transaction.
const peaksPruned = 5000

// PrunePeaks deletes some peaks whose records were pruned, and stretches without
// peaks, that were closed before the given time. It returns how many peaks it deleted:
// until that is 0, there may be more.
func (l *Ledger) PrunePeaks(ctx context.Context, before time.Time) (n int, err error) {
	return l.inSlices(ctx, "prune peaks", peaksPruned, func(tx *transaction) (int64, error) { return tx.prunePeaks(before.Unix()) })
}

func (t *transaction) prunePeaks(before int64) (deleted int64, err error) {
	deleted, err = t.exec(`DELETE FROM peaks WHERE (stretch_id, hash) IN (
		SELECT stretch_id, hash FROM peak_stretches AS s JOIN peaks ON stretch_id = s.id WHERE closed > 0 AND closed < ?
		AND NOT EXISTS (SELECT 1 FROM records WHERE records.id = record_id) LIMIT ?)`, before, peaksPruned)
	if err != nil || deleted == peaksPruned {
		return deleted, err
	}
	_, err = t.exec(`DELETE FROM peak_stretches WHERE closed > 0 AND closed < ? AND NOT EXISTS (SELECT 1 FROM peaks WHERE stretch_id = id)`, before)
	return deleted, err
}
