package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Total is how many records of one SKU are in one state, and what they come to.
type Total struct {
	ProductID string
	SKU       string
	State     meter.State
	Records   int   // in the ledger at present
	Units     int64 // of these
	Pruned    int64 // units of those whose retention time is over
}

// Totals returns the totals of every product, SKU and state that has ever had
// any. Sums that no int64 holds are its maximum.
func (r *Reader) Totals(ctx context.Context) ([]Total, error) {
	return query(ctx, r.db, "totals", func(rows *sql.Rows) (t Total, err error) {
		var units, pruned any
		err = rows.Scan(&t.ProductID, &t.SKU, &t.State, &t.Records, &units, &pruned)
		t.Units, t.Pruned = wholeUnits(units), wholeUnits(pruned)
		return t, err
	}, `SELECT product_id, sku_id, state, records, units, pruned_units FROM totals ORDER BY product_id, sku_id, state`)
}

// wholeUnits reads a sum that turned into a floating point number when it grew
// too large.
func wholeUnits(sum any) int64 {
	if units, ok := sum.(int64); ok {
		return units
	}
	return math.MaxInt64
}

// timestampColumn holds the time that the API gets for a record.
const timestampColumn = "timestamp"

// sumOfQuantities is in two halves, which do not overflow.
const sumOfQuantities = `sum(quantity >> 32), sum(quantity & 4294967295)`

func joinHalves(high, low int64) int64 {
	high += low >> 32
	if high > math.MaxInt64>>32 {
		return math.MaxInt64
	}
	return high<<32 | low&(1<<32-1)
}

// Usage is what was counted of one SKU in one window, and is or may be billed.
type Usage struct {
	ProductID string
	SKU       string
	Window    time.Time // its start
	Units     int64
}

// Usage returns what was counted in the windows that begin at since or later.
// What was refused or expired, or is another machine's, is not in it.
func (r *Reader) Usage(ctx context.Context, since time.Time) ([]Usage, error) {
	return query(ctx, r.db, "usage", func(rows *sql.Rows) (u Usage, err error) {
		var start string
		var high, low int64
		if err := rows.Scan(&u.ProductID, &u.SKU, &start, &high, &low); err != nil {
			return u, err
		}
		u.Units = joinHalves(high, low)
		u.Window, err = time.Parse(windowLayout, start)
		return u, err
	}, `SELECT product_id, sku_id, window_start, `+sumOfQuantities+` FROM records
		WHERE window_start >= ? AND state NOT IN ('refused', 'expired', 'foreign')
		GROUP BY product_id, sku_id, window_start ORDER BY window_start, product_id, sku_id`, since.UTC().Format(windowLayout))
}

// Unbilled is usage that was set aside: it is not billed, and waits for nothing.
type Unbilled struct {
	ProductID string
	SKU       string
	State     meter.State // Refused, Expired, InDoubt or Foreign
	Reason    string      // "" where Reasons is above 1
	Reasons   int         // how many reasons are summed here
	Records   int
	Units     int64
	Latest    time.Time // when the last of them was set aside
}

// mostReasons bounds how many reasons of one SKU and state Unbilled tells apart. The
// API's words may be other ones in each answer.
const mostReasons = 20

// Unbilled returns what was set aside and is still in the ledger. Refused
// records that were queued again are left out. It sums the reasons beyond the most
// frequent ones; a reason code of the API, which is in capitals, stays apart.
func (r *Reader) Unbilled(ctx context.Context) ([]Unbilled, error) {
	return query(ctx, r.db, "unbilled", func(rows *sql.Rows) (u Unbilled, err error) {
		var high, low int64
		var latest string
		err = rows.Scan(&u.ProductID, &u.SKU, &u.State, &u.Reason, &u.Reasons, &u.Records, &high, &low, &latest)
		u.Units, u.Latest = joinHalves(high, low), parseInstant(latest)
		return u, err
	}, `WITH reasons AS (
			SELECT product_id, sku_id, state, reason, count(*) AS records, sum(quantity >> 32) AS high, sum(quantity & 4294967295) AS low, max(settled_at) AS latest
			FROM records WHERE state IN ('refused', 'expired', 'in_doubt', 'foreign') AND NOT EXISTS (SELECT 1 FROM records AS reissue WHERE reissue.reissue_of = records.id)
			GROUP BY product_id, sku_id, state, reason),
		ranked AS (SELECT *, row_number() OVER (PARTITION BY product_id, sku_id, state ORDER BY reason <> upper(reason), records DESC, reason) AS place FROM reasons)
		SELECT product_id, sku_id, state, iif(count(*) = 1, max(reason), ''), count(*), sum(records), sum(high), sum(low), max(latest)
		FROM ranked GROUP BY product_id, sku_id, state, min(place, ?1 + 1) ORDER BY state, min(place, ?1 + 1) > ?1, max(reason), product_id, sku_id`, mostReasons)
}

// OldestUnsettled returns the earliest timestamp of a record that is open or
// sealed. If all records are settled, it returns the zero time.
func (r *Reader) OldestUnsettled(ctx context.Context) (time.Time, error) {
	var text sql.NullString
	err := r.db.QueryRowContext(ctx, `SELECT min(first) FROM (
		SELECT min(timestamp) AS first FROM records WHERE state = 'open' UNION ALL SELECT min(timestamp) FROM records WHERE state = 'sealed')`).Scan(&text)
	if err != nil {
		return time.Time{}, fmt.Errorf("ledger: oldest unsettled: %w", err)
	}
	if !text.Valid {
		return time.Time{}, nil
	}
	return time.Parse(windowLayout, text.String)
}

// Anomaly is what went wrong with the input under one key, since the ledger
// was made.
type Anomaly struct {
	meter.AnomalyKey
	meter.Anomaly
	First, Last time.Time
}

// Anomalies returns all there are.
func (r *Reader) Anomalies(ctx context.Context) ([]Anomaly, error) {
	return query(ctx, r.db, "anomalies", func(rows *sql.Rows) (a Anomaly, err error) {
		var first, last string
		err = rows.Scan(&a.Kind, &a.Subject, &a.Count, &a.Bytes, &a.Example, &first, &last)
		a.First, a.Last = parseInstant(first), parseInstant(last)
		return a, err
	}, `SELECT kind, subject, count, bytes, example, first_at, last_at FROM anomalies ORDER BY kind, subject`)
}

// Problems returns what the running agent finds wrong, or the last one found.
func (r *Reader) Problems(ctx context.Context) ([]meter.Problem, error) {
	return query(ctx, r.db, "problems", func(rows *sql.Rows) (p meter.Problem, err error) {
		var since string
		err = rows.Scan(&p.Code, &p.Subject, &p.Message, &p.Hint, &since)
		p.Since = parseInstant(since)
		return p, err
	}, `SELECT code, subject, message, hint, since FROM problems ORDER BY since, code, subject`)
}

// SetProblems replaces what the running agent finds wrong.
func (l *Ledger) SetProblems(ctx context.Context, problems []meter.Problem) error {
	return l.update(ctx, "problems", func(tx *transaction) error {
		if _, err := tx.exec(`DELETE FROM problems`); err != nil {
			return err
		}
		for _, p := range problems {
			if _, err := tx.exec(`INSERT INTO problems (code, subject, message, hint, since) VALUES (?, ?, ?, ?, ?)`,
				p.Code, p.Subject, p.Message, p.Hint, instant(p.Since)); err != nil {
				return err
			}
		}
		return nil
	})
}

// query collects the rows of a query.
func query[T any](ctx context.Context, db *sql.DB, operation string, scan func(*sql.Rows) (T, error), text string, args ...any) (all []T, err error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", operation, err)
	}
	defer rows.Close()
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("ledger: %s: %w", operation, err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", operation, err)
	}
	return all, nil
}
