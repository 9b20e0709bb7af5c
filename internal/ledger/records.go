package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/meter"
)

// longestDelay bounds how far ahead a record may have been put off. One that
// seems to wait longer was put off before the clock was set back.
const longestDelay = 10 * time.Minute

// reissueDelay is how long a record that was refused for its timestamp waits
// before it is sent under a new uuid.
const reissueDelay = time.Minute

// Seal closes the open records whose window has ended by now, and returns how
// many. From then on nothing that the API gets of them changes. A record that
// was opened later than now is closed, too: the clock was set back, and the end
// of its window may be an hour away again.
func (l *Ledger) Seal(ctx context.Context, now time.Time) (n int, err error) {
	return l.seal(ctx, now, "(window_end <= ? OR opened_at > ?)", now.UTC().Format(windowLayout), instant(now))
}

// SealBegun closes the open records whose window has begun by now, without
// waiting for its end. What is counted in it later opens another record.
func (l *Ledger) SealBegun(ctx context.Context, now time.Time) (n int, err error) {
	return l.seal(ctx, now, "window_start <= ?", now.UTC().Format(windowLayout))
}

// SealAll closes all open records.
func (l *Ledger) SealAll(ctx context.Context, now time.Time) (n int, err error) {
	return l.seal(ctx, now, "true")
}

func (l *Ledger) seal(ctx context.Context, now time.Time, which string, args ...any) (n int, err error) {
	err = l.update(ctx, "seal", func(tx *transaction) error {
		changed, err := tx.exec(`UPDATE records SET state = 'sealed', sealed_at = ? WHERE state = 'open' AND `+which,
			append([]any{instant(now)}, args...)...)
		n = int(changed)
		return err
	})
	if err == nil && n > 0 {
		l.tellSealed()
	}
	return n, err
}

func (l *Ledger) tellSealed() {
	select {
	case l.sealed <- struct{}{}:
	default: // a value waits already
	}
}

// NextSeal returns the end of the earliest window of an open record. If no record
// is open, it returns the zero time.
func (l *Ledger) NextSeal(ctx context.Context) (time.Time, error) {
	var text sql.NullString
	if err := l.db.QueryRowContext(ctx, `SELECT min(window_end) FROM records WHERE state = 'open'`).Scan(&text); err != nil {
		return time.Time{}, fmt.Errorf("ledger: next seal: %w", err)
	}
	if !text.Valid {
		return time.Time{}, nil
	}
	return time.Parse(windowLayout, text.String)
}

const recordColumns = `uuid, product_id, sku_id, window_start, window_end, timestamp, quantity, state, reason, attempts,
	in_flight OR maybe_stored, in_flight AND refusable OR maybe_refused, opened_at, settled_at,
	CASE state WHEN 'refused' THEN coalesce((SELECT group_concat(uuid) FROM (SELECT uuid FROM records AS reissue WHERE reissue.reissue_of = records.id ORDER BY id)), '') ELSE '' END`

func scanRecord(rows *sql.Rows) (meter.Record, error) {
	var r meter.Record
	var start, end, timestamp, opened, settled string
	err := rows.Scan(&r.UUID, &r.ProductID, &r.SKU, &start, &end, &timestamp, &r.Quantity, &r.State, &r.Reason, &r.Attempts,
		&r.MaybeStored, &r.MaybeRefused, &opened, &settled, &r.ReissuedAs)
	if err != nil {
		return meter.Record{}, err
	}
	if r.Window, err = parseWindow(start, end); err != nil {
		return meter.Record{}, fmt.Errorf("record %s: %w", r.UUID, err)
	}
	if r.Timestamp, err = time.Parse(windowLayout, timestamp); err != nil {
		return meter.Record{}, fmt.Errorf("record %s: %w", r.UUID, err)
	}
	if r.Quantity < 1 {
		return meter.Record{}, fmt.Errorf("record %s is damaged: its quantity is %d", r.UUID, r.Quantity)
	}
	r.OpenedAt, r.SettledAt = parseInstant(opened), parseInstant(settled)
	return r, nil
}

func parseWindow(start, end string) (meter.Window, error) {
	from, err := time.Parse(windowLayout, start)
	if err != nil {
		return meter.Window{}, err
	}
	to, err := time.Parse(windowLayout, end)
	return meter.Window{Start: from.Unix(), End: to.Unix()}, err
}

// longestHold is how long a record waits for the API's clock alone. What is
// known of that clock may be wrong.
const longestHold = 5 * time.Minute

// due chooses the sealed records that were not put off. held chooses the due ones
// that are ahead of the API's clock and have not waited long for it.
const (
	due  = `state = 'sealed' AND (not_before <= @now OR not_before > @longestDelay)`
	held = `timestamp > @apiNow AND sealed_at > @longestHold AND sealed_at <= @now`
)

func dueAt(now, apiNow time.Time) []any {
	return []any{
		sql.Named("now", instant(now)), sql.Named("longestDelay", instant(now.Add(longestDelay))),
		sql.Named("longestHold", instant(now.Add(-longestHold))), sql.Named("apiNow", apiNow.UTC().Format(windowLayout)),
		sql.Named("horizon", apiNow.Add(-meter.UsableFor).UTC().Format(windowLayout)),
	}
}

// Pending returns sealed records that are due for delivery at now, at most
// limit. The oldest that the API still takes come first. Records past the API's
// hour come only when nothing else is due. apiNow is the API's clock as far as it
// is known. What is ahead of that clock waits for it, but not for long. choose
// selects records, oldest first; nil selects all.
func (l *Ledger) Pending(ctx context.Context, now, apiNow time.Time, limit int, choose func(meter.Record) bool) ([]meter.Record, error) {
	for _, side := range []string{">=", "<"} {
		records, err := l.sealedRecords(ctx, "pending", limit, choose, `WHERE `+due+` AND NOT (`+held+`) AND timestamp `+side+` @horizon
			ORDER BY timestamp, id`, dueAt(now, apiNow)...)
		if err != nil || len(records) > 0 {
			return records, err
		}
	}
	return nil, nil
}

// Held returns the records that Pending leaves out only because they are ahead of
// the API's clock, the oldest first.
func (l *Ledger) Held(ctx context.Context, now, apiNow time.Time, limit int) ([]meter.Record, error) {
	return l.sealedRecords(ctx, "held", limit, nil, `WHERE `+due+` AND `+held+` ORDER BY timestamp, id`, dueAt(now, apiNow)...)
}

// sealedRecords returns at most limit records that the query gives and choose wants.
func (l *Ledger) sealedRecords(ctx context.Context, operation string, limit int, choose func(meter.Record) bool, where string, args ...any) (list []meter.Record, err error) {
	rows, err := l.db.QueryContext(ctx, `SELECT `+recordColumns+` FROM records `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", operation, err)
	}
	defer rows.Close()
	for len(list) < limit && rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, fmt.Errorf("ledger: %s: %w", operation, err)
		}
		if choose == nil || choose(r) {
			list = append(list, r)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", operation, err)
	}
	return list, nil
}

// Attempt notes that the delivery of the records begins. It comes before the
// request leaves, so that after a crash their uuids are known to have been out.
func (l *Ledger) Attempt(ctx context.Context, records []meter.Record) error {
	return l.update(ctx, "attempt", func(tx *transaction) error {
		for _, r := range records {
			n, err := tx.exec(`UPDATE records SET attempts = attempts + 1, in_flight = 1, refusable = ?,
				maybe_refused = maybe_refused OR (in_flight AND refusable) WHERE uuid = ? AND state = 'sealed'`, r.Refusable, r.UUID)
			if err != nil {
				return err
			}
			if n != 1 {
				return fmt.Errorf("record %s is not sealed", r.UUID)
			}
		}
		return nil
	})
}

// Settle notes what an attempt came to. A record whose result is Sealed stays
// to be delivered: at once, or after retryAfter.
func (l *Ledger) Settle(ctx context.Context, results []meter.Result, now time.Time, retryAfter time.Duration) error {
	return l.update(ctx, "settle", func(tx *transaction) error {
		for _, r := range results {
			if err := tx.settle(r, now, retryAfter); err != nil {
				return fmt.Errorf("record %s: %w", r.UUID, err)
			}
		}
		return nil
	})
}

// Release has every record that was put off after an attempt be due at once.
func (l *Ledger) Release(ctx context.Context) error {
	return l.update(ctx, "release", func(tx *transaction) error {
		_, err := tx.exec(`UPDATE records SET not_before = '' WHERE state = 'sealed' AND attempts > 0 AND not_before <> ''`)
		return err
	})
}

func (t *transaction) settle(r meter.Result, now time.Time, retryAfter time.Duration) error {
	if r.State == meter.Sealed {
		_, err := t.exec(`UPDATE records SET in_flight = 0, maybe_stored = ?, maybe_refused = ?, reason = ?, not_before = ? WHERE uuid = ? AND state = 'sealed'`,
			r.MaybeStored, r.MaybeRefused, r.Reason, instant(now.Add(retryAfter)), r.UUID)
		return err
	}
	if !r.State.Settled() {
		return fmt.Errorf("%s is no result", r.State)
	}
	n, err := t.exec(`UPDATE records SET state = ?, reason = ?, in_flight = 0, maybe_stored = ?, maybe_refused = ?, settled_at = ? WHERE uuid = ? AND state = 'sealed'`,
		string(r.State), r.Reason, r.MaybeStored, r.MaybeRefused, instant(now), r.UUID)
	if err != nil {
		return err
	}
	if n == 1 && r.Reissue {
		refused, err := t.record(`uuid = ?`, r.UUID)
		if err != nil {
			return err
		}
		_, err = t.reissue(r.UUID, part{refused.ProductID, refused.SKU, refused.Quantity, nil}, now.Add(reissueDelay))
		return err
	}
	return nil
}

// part is what a reissue takes over from a refused record.
type part struct {
	productID, sku string
	quantity       int64
	shares         map[string]int64 // units by rule; nil: as in the refused record
}

// reissue queues a part of the usage of a refused record again, under a new
// uuid. It returns the new record.
func (t *transaction) reissue(refused string, p part, notBefore time.Time) (meter.Record, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return meter.Record{}, err
	}
	var record int64
	err = t.scan(`
		INSERT INTO records (uuid, product_id, sku_id, window_start, window_end, timestamp, quantity, state, not_before, opened_at, sealed_at, reissue_of)
		SELECT ?, ?, ?, window_start, window_end, timestamp, ?, 'sealed', ?, opened_at, sealed_at, id
		FROM records WHERE uuid = ? RETURNING id`, []any{id.String(), p.productID, p.sku, p.quantity, instant(notBefore), refused}, &record)
	if err != nil {
		return meter.Record{}, err
	}
	for rule, units := range p.shares {
		if _, err := t.exec(`INSERT INTO reissued_shares (record_id, rule, units) VALUES (?, ?, ?)`, record, rule, units); err != nil {
			return meter.Record{}, err
		}
	}
	return t.record(`id = ?`, record)
}

// Unsettled returns how many records are open and how many are sealed and not
// settled yet.
func (l *Ledger) Unsettled(ctx context.Context) (open, sealed int, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM records WHERE state = 'open'), (SELECT count(*) FROM records WHERE state = 'sealed')`).Scan(&open, &sealed)
	if err != nil {
		err = fmt.Errorf("ledger: unsettled: %w", err)
	}
	return open, sealed, err
}

// pruneAtOnce is how many records are pruned in one transaction, and pruneFor how
// long one call of Prune goes on. Commits and deliveries wait no longer than
// that, however much there is to prune.
const (
	pruneAtOnce = 100
	pruneFor    = 100 * time.Millisecond
)

// Prune deletes some of what was settled before the given time, with what it was
// counted from. It returns how many records it deleted: until that is 0, there
// may be more. Unsettled records stay. A refused record stays as long as the
// record that replaced it.
func (l *Ledger) Prune(ctx context.Context, before time.Time) (n int, err error) {
	return l.inSlices(ctx, "prune", pruneAtOnce, func(tx *transaction) (int64, error) { return tx.prune(before) })
}

// inSlices deletes in transactions of at most so many rows, until there are fewer or
// pruneFor is over. It returns how many rows it deleted.
func (l *Ledger) inSlices(ctx context.Context, operation string, atOnce int64, remove func(*transaction) (int64, error)) (n int, err error) {
	for begun := time.Now(); time.Since(begun) < pruneFor; {
		deleted := int64(0)
		err := l.update(ctx, operation, func(tx *transaction) (err error) {
			deleted, err = remove(tx)
			return err
		})
		if err != nil {
			return n, err
		}
		if n += int(deleted); deleted < atOnce {
			break
		}
	}
	return n, nil
}

// prune deletes records. When it has deleted the last of them, it also deletes
// what is left of files that nobody follows any longer.
func (t *transaction) prune(before time.Time) (deleted int64, err error) {
	const chosen = `(SELECT id FROM records WHERE settled_at <> '' AND settled_at < ?
		AND NOT EXISTS (SELECT 1 FROM records AS reissue WHERE reissue.reissue_of = records.id)
		ORDER BY settled_at, id LIMIT ?)`
	if _, err := t.exec(`DELETE FROM contributions WHERE record_id IN `+chosen, instant(before), pruneAtOnce); err != nil {
		return 0, err
	}
	deleted, err = t.exec(`DELETE FROM records WHERE id IN `+chosen, instant(before), pruneAtOnce)
	if err != nil || deleted == pruneAtOnce {
		return deleted, err
	}
	for _, statement := range []string{
		// A forgotten generation goes after the last record that was counted from it.
		`DELETE FROM generations WHERE state = 'forgotten'
			AND NOT EXISTS (SELECT 1 FROM contributions WHERE generation_id = generations.id) AND ? <> ''`,
		// Over the years the names of files would grow without end: one sum keeps
		// what was missed in the old files.
		`INSERT INTO anomalies (kind, subject, count, bytes, example, first_at, last_at)
			SELECT kind, '', sum(count), sum(bytes), max(example), min(first_at), max(last_at) FROM anomalies
			WHERE kind IN ('gap', 'too_long') AND subject <> '' AND last_at < ? GROUP BY kind
			ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes, example = excluded.example,
				first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)`,
		`DELETE FROM anomalies WHERE kind IN ('gap', 'too_long') AND subject <> '' AND last_at < ?`,
		`DELETE FROM stretches WHERE forgotten = 1 AND touched < unixepoch(?)
			AND NOT EXISTS (SELECT 1 FROM keys WHERE stretch_id = stretches.id)`,
	} {
		if _, err := t.exec(statement, instant(before)); err != nil {
			return 0, err
		}
	}
	return deleted, nil
}
