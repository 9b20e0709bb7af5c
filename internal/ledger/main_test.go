package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/store"
)

// TestMain makes the test binary hold a ledger where a test asks it to, as
// another process; see hold.
func TestMain(m *testing.M) {
	if dir := os.Getenv(holdVariable); dir != "" {
		os.Exit(holdLedger(dir))
	}
	os.Exit(m.Run())
}

// noon is when the tests take place.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

const (
	product = "f2e4tmlj4qqciunhr7e6" // the public documentation's
	sku     = "dn272e8979uvek5cnuhk"
)

var mails = &meter.Rule{Name: "mails", ProductID: product, SKU: sku, Per: 1}

// open opens the ledger in dir, closes it when the test ends, and then checks
// everything that must hold of one.
func open(t *testing.T, dir string) *Ledger {
	t.Helper()
	l, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		audit(t, dir)
	})
	return l
}

// laws must hold of every ledger at any time: each query finds what breaks one.
var laws = []struct{ law, query string }{
	{"a record is what its rules gave to it", `
		SELECT uuid FROM records WHERE reissue_of IS NULL
		AND quantity <> (SELECT coalesce(sum(units), 0) FROM shares WHERE record_id = id)`},
	{"units * per = amounts + carried", `
		SELECT record_id, rule FROM shares WHERE units * per - carried <>
		(SELECT coalesce(sum(amount), 0) FROM contributions c WHERE c.record_id = shares.record_id AND c.rule = shares.rule)`},
	{"a contribution belongs to a share, or waits", `
		SELECT record_id, rule FROM contributions WHERE record_id <> 0
		AND NOT EXISTS (SELECT 1 FROM shares s WHERE s.record_id = contributions.record_id AND s.rule = contributions.rule)`},
	{"a contribution has the SKU of its record", `
		SELECT record_id, rule FROM contributions JOIN records ON id = record_id WHERE contributions.sku_id <> records.sku_id`},
	{"a remainder is less than per", `
		SELECT r.rule FROM remainders r WHERE remainder < 0
		OR remainder >= (SELECT max(per) FROM shares s JOIN records ON id = record_id WHERE s.rule = r.rule AND records.sku_id = r.sku_id)`},
	{"counted means read: no range reaches behind the position", `
		SELECT generation_id FROM contributions JOIN generations ON id = generation_id WHERE end_offset > offset`},
	{"a range holds its lines", `
		SELECT record_id, rule FROM contributions WHERE start_offset < 0 OR end_offset <= start_offset OR lines < 0 OR amount < 1`},
	{"a record is dated as its state says", `
		SELECT uuid FROM records WHERE opened_at = '' OR (sealed_at = '') <> (state = 'open')
		OR (settled_at = '') <> (state IN ('open', 'sealed'))`},
	{"only a sealed record is under way", `
		SELECT uuid FROM records WHERE in_flight <> 0 AND state <> 'sealed' OR state = 'open' AND attempts + maybe_stored <> 0`},
	{"a uuid is one", `SELECT uuid FROM records WHERE length(uuid) <> 36 OR uuid <> lower(uuid)`},
	{"a window has a length", `SELECT uuid FROM records WHERE window_end <= window_start`},
	{"a timestamp is within its window", `SELECT uuid FROM records WHERE timestamp < window_start OR timestamp >= window_end`},
	{"a sealed record never changes, as two triggers see to", `
		SELECT 'records' WHERE 2 <> (SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name IN ('records_never_change', 'records_stay_sealed'))`},
	{"only a refused record is issued again, with its window and timestamp", `
		SELECT reissue.uuid FROM records reissue JOIN records old ON old.id = reissue.reissue_of
		WHERE old.state <> 'refused' OR (reissue.window_start, reissue.window_end, reissue.timestamp) <> (old.window_start, old.window_end, old.timestamp)`},
	{"what is issued again comes to what was refused", `
		SELECT uuid FROM records AS old WHERE quantity <> (SELECT sum(quantity) FROM records AS reissue WHERE reissue.reissue_of = old.id)`},
	{"parts of a refused record are what their rules gave to it", `
		SELECT uuid FROM records JOIN (SELECT record_id, sum(units) AS units FROM reissued_shares GROUP BY record_id) ON record_id = id
		WHERE quantity <> units`},
	{"totals are what the records come to", `
		SELECT * FROM (SELECT product_id, sku_id, state, count(*) AS n, sum(1.0 * quantity) AS sum FROM records GROUP BY product_id, sku_id, state)
		FULL JOIN (SELECT * FROM totals WHERE records <> 0 OR units <> 0) USING (product_id, sku_id, state)
		WHERE n IS NOT records OR abs(sum - units) > abs(sum) * 1e-9`},
	{"a key that may count once in a stretch is in it once", `
		SELECT hash FROM keys JOIN stretches ON id = stretch_id WHERE within = 0 GROUP BY stretch_id, hash HAVING count(*) > 1`},
	{"two lines of a key that counted are within apart", `
		SELECT hash FROM (SELECT hash, within, start * 1000 + at - lag(start * 1000 + at) OVER (PARTITION BY rule, form, hash ORDER BY start, at) AS apart
		FROM keys JOIN stretches ON id = stretch_id WHERE within > 0) WHERE apart < within * 1000`},
	{"a key has a contribution that holds its line", `
		SELECT hash FROM keys k JOIN stretches s ON s.id = stretch_id WHERE NOT EXISTS (SELECT 1 FROM totals WHERE pruned_records > 0)
		AND NOT EXISTS (SELECT 1 FROM set_aside a WHERE a.rule = s.rule) AND NOT EXISTS (SELECT 1 FROM contributions c WHERE c.rule = s.rule
		AND c.generation_id = k.generation_id AND c.start_offset <= k.offset AND c.end_offset > k.offset)`},
	{"a peak counts when its stretch is closed", `
		SELECT s.rule FROM peaks JOIN peak_stretches s ON s.id = stretch_id WHERE closed = 0 AND record_id <> 0`},
	{"a peak has a stretch and a bill", `
		SELECT hash FROM peaks WHERE stretch_id NOT IN (SELECT id FROM peak_stretches) OR bill_id NOT IN (SELECT id FROM peak_bills)`},
	{"a peak's line was read", `
		SELECT stretch_id FROM peaks JOIN generations ON id = generation_id WHERE end_offset > offset OR start_offset >= end_offset`},
	{"a stretch closes as a whole", `
		SELECT rule, form, start FROM peak_stretches GROUP BY rule, form, start HAVING count(*) > 1 AND max(closed) > 0`},
	{"a record of a rule with peak is the sum of its peaks", `
		SELECT p.record_id FROM (SELECT record_id, rule, count(*) AS n, sum(amount) AS sum FROM peaks JOIN peak_stretches s ON s.id = stretch_id
			JOIN peak_bills b ON b.id = bill_id WHERE record_id IN (SELECT id FROM records) AND per = 1 GROUP BY record_id, rule) p
		WHERE NOT EXISTS (SELECT 1 FROM contributions c WHERE c.record_id = p.record_id AND c.rule = p.rule
			GROUP BY c.record_id HAVING sum(c.lines) = p.n AND sum(c.amount) = p.sum)`},
	{"a peak that counted has a contribution that holds its line", `
		SELECT hash FROM peaks p JOIN peak_stretches s ON s.id = stretch_id WHERE closed > 0 AND NOT EXISTS (SELECT 1 FROM totals WHERE pruned_records > 0)
		AND NOT EXISTS (SELECT 1 FROM set_aside a WHERE a.rule = s.rule) AND NOT EXISTS (SELECT 1 FROM contributions c WHERE c.rule = s.rule
		AND c.generation_id = p.generation_id AND c.start_offset <= p.start_offset AND c.end_offset >= p.end_offset)`},
	{"a key has a stretch", `SELECT hash FROM keys WHERE stretch_id NOT IN (SELECT id FROM stretches)`},
	{"the database is whole", `SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'`},
	{"references lead somewhere", `SELECT "table", rowid FROM pragma_foreign_key_check`},
}

// unpruned must hold as long as no record was deleted.
const unpruned = `SELECT * FROM (
	SELECT rule, sku_id, sum(carried) + sum(waiting) * -1 + sum(remainder) AS lost FROM (
		SELECT rule, sku_id, carried, 0 AS waiting, 0 AS remainder FROM shares JOIN records ON id = record_id
		UNION ALL SELECT rule, sku_id, 0, amount, 0 FROM contributions WHERE record_id = 0
		UNION ALL SELECT rule, sku_id, 0, 0, remainder FROM remainders
		UNION ALL SELECT rule, sku_id, 0, waiting, remainder FROM set_aside)
	GROUP BY rule, sku_id) WHERE lost <> 0`

// audit checks every law on the ledger in dir, and that all that was carried
// is still there where nothing was pruned.
func audit(t *testing.T, dir string) {
	t.Helper()
	db := raw(t, dir)
	for _, l := range laws {
		if broken := first(t, db, l.query); broken != "" {
			t.Errorf("%s: it does not hold for %s", l.law, broken)
		}
	}
	var newest, count int
	if err := db.QueryRow(`SELECT coalesce(max(id), 0), count(*) FROM records`).Scan(&newest, &count); err != nil {
		t.Fatal(err)
	}
	if newest != count {
		return
	}
	if broken := first(t, db, unpruned); broken != "" {
		t.Errorf("what was carried is still to be carried: it does not hold for %s", broken)
	}
}

// raw opens the database as sqlite3 would.
func raw(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := store.Connect(filepath.Join(dir, FileName), "ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// first returns the first row of a query as text; "" where there is none.
func first(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%v in %s", err, query)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		if rows.Err() != nil {
			t.Fatal(rows.Err())
		}
		return ""
	}
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(fmt.Sprintln(values...), "\n")
}

// minute is the window of one minute that begins so many minutes after noon.
func minute(n int) meter.Window {
	return meter.WindowAt(noon.Add(time.Duration(n)*time.Minute), time.Minute)
}

// counts is a batch that counts amounts under the rule, a line each, one for
// each window, in one generation.
func counts(rule *meter.Rule, amounts map[meter.Window]int64) Batch {
	var tally meter.Tally
	at := int64(0)
	for window, amount := range amounts {
		tally.Add(meter.CountKey{Rule: rule, Window: window, Generation: 1}, amount, at, at+10, window.Start)
		at += 10
	}
	return Batch{Tally: &tally}
}

func commit(t *testing.T, l *Ledger, rule *meter.Rule, window meter.Window, amount int64) {
	t.Helper()
	check(t, l.Commit(t.Context(), counts(rule, map[meter.Window]int64{window: amount}), noon))
}

// sealed puts one sealed record for each of the windows into the ledger.
func sealed(t *testing.T, l *Ledger, windows ...meter.Window) {
	t.Helper()
	for _, w := range windows {
		commit(t, l, mails, w, 1)
		_, err := l.Seal(t.Context(), w.EndTime())
		check(t, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func records(t *testing.T, l *Ledger, f Filter) (all []meter.Record) {
	t.Helper()
	check(t, l.Records(t.Context(), f, func(r meter.Record) error {
		all = append(all, r)
		return nil
	}))
	return all
}

// one is the only record that the filter chooses.
func one(t *testing.T, l *Ledger, f Filter) meter.Record {
	t.Helper()
	all := records(t, l, f)
	if len(all) != 1 {
		t.Fatalf("%d records, want 1: %+v", len(all), all)
	}
	return all[0]
}

func pending(t *testing.T, l *Ledger, now time.Time) []meter.Record {
	t.Helper()
	list, err := l.Pending(t.Context(), now, now, meter.MaxRecords, nil)
	check(t, err)
	return list
}

// pruneAll prunes until nothing is left to prune.
func pruneAll(ctx context.Context, l *Ledger, before time.Time) (total int, err error) {
	for {
		n, err := l.Prune(ctx, before)
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}

// isA reports whether err is of the type T.
func isA[T error](err error) bool {
	var want T
	return errors.As(err, &want)
}
