package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Sum is what the records of one product, SKU and stretch of time come to. Its
// numbers cannot overflow.
type Sum struct {
	ProductID, SKU string
	Period         time.Time // the stretch's beginning; zero where all time is one
	Records        int

	Accepted    *big.Int // the API has them
	Waiting     *big.Int // open or sealed
	InDoubt     *big.Int // the API may have them
	NotBillable *big.Int // refused and not queued again, expired, or of another machine
}

// Period is a stretch of UTC time over which records are summed.
type Period string

const (
	Always   Period = "all"
	Minutely Period = "minute"
	Hourly   Period = "hour"
	Daily    Period = "day"
	Monthly  Period = "month"
)

// periods says how much of a time's text names the period, and what completes
// that to a time.
var periods = map[Period]struct {
	length int
	rest   string
}{Always: {0, ""}, Minutely: {16, ":00Z"}, Hourly: {13, ":00:00Z"}, Daily: {10, "T00:00:00Z"}, Monthly: {7, "-01T00:00:00Z"}}

// Sums returns what the records in the ledger come to whose timestamps are at
// since or later and before until; zero times set no bound.
func (r *Reader) Sums(ctx context.Context, by Period, since, until time.Time) ([]Sum, error) {
	period, ok := periods[by]
	if !ok {
		return nil, fmt.Errorf("ledger: sums: %q is no period", by)
	}
	from, earliest, to := "", "", "9999" // earliest: no window that begins before reaches from
	if !since.IsZero() {
		from, earliest = since.UTC().Format(windowLayout), since.Add(-meter.LongestWindow).UTC().Format(windowLayout)
	}
	if !until.IsZero() {
		to = until.UTC().Format(windowLayout)
	}
	type row struct {
		product, sku, period string
		state                meter.State
		records              int
		high, low            int64
	}
	rows, err := query(ctx, r.db, "sums", func(rows *sql.Rows) (s row, err error) {
		err = rows.Scan(&s.product, &s.sku, &s.period, &s.state, &s.records, &s.high, &s.low)
		return s, err
	}, `SELECT product_id, sku_id, substr(`+timestampColumn+`, 1, ?) AS period, state, count(*), `+sumOfQuantities+` FROM records
		WHERE `+timestampColumn+` >= ? AND `+timestampColumn+` < ? AND window_start >= ? AND window_start < ?
		AND NOT (state = 'refused' AND EXISTS (SELECT 1 FROM records AS reissue WHERE reissue.reissue_of = records.id))
		GROUP BY product_id, sku_id, period, state ORDER BY product_id, sku_id, period`, period.length, from, to, earliest, to)
	if err != nil {
		return nil, err
	}
	var sums []Sum
	var last row
	for i, row := range rows {
		if i == 0 || row.product != last.product || row.sku != last.sku || row.period != last.period {
			s := Sum{ProductID: row.product, SKU: row.sku, Accepted: new(big.Int), Waiting: new(big.Int), InDoubt: new(big.Int), NotBillable: new(big.Int)}
			if by != Always {
				if s.Period, err = time.Parse(windowLayout, row.period+period.rest); err != nil {
					return nil, fmt.Errorf("ledger: sums: %w", err)
				}
			}
			sums = append(sums, s)
		}
		last = row
		sums[len(sums)-1].add(row.state, row.records, row.high, row.low)
	}
	return sums, nil
}

func (s *Sum) add(state meter.State, records int, high, low int64) {
	units := new(big.Int).Lsh(big.NewInt(high), 32)
	units.Add(units, big.NewInt(low))
	of := s.NotBillable
	switch state {
	case meter.Accepted:
		of = s.Accepted
	case meter.Open, meter.Sealed:
		of = s.Waiting
	case meter.InDoubt:
		of = s.InDoubt
	}
	of.Add(of, units)
	s.Records += records
}
