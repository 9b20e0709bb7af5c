package ledger

import (
	"database/sql"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

func TestPositionsComeBackAsCommitted(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	generations := []meter.Generation{
		{ID: 1, Path: "/var/log/a b\n\xff.log", Dev: math.MaxUint64, Ino: 1 << 63, Offset: math.MaxInt64, Head: []byte("head\x00\xff"), Mark: []byte("mark"), Trail: []byte("\x00trail"), EOFAt: -1, State: meter.Live},
		{ID: 7, Path: "/b", Compressed: true, EOFAt: 12, State: meter.Done},
		{ID: 8, Path: "/c", Offset: 3, State: meter.Gap, Missed: 40, EOFAt: 3, Head: []byte("abc"), Mark: []byte("abc")},
	}
	globs := map[string]time.Time{"/var/log/*.log": noon, "/b": noon.Add(-time.Hour)}
	check(t, l.Commit(t.Context(), Batch{Generations: generations, Globs: globs, Tally: new(meter.Tally)}, noon))
	// Of a generation that is in a batch twice, the later holds; so does what counts as the first scan.
	moved := generations[2]
	moved.Offset, moved.State, moved.Head = 9, meter.Lost, []byte("abcdefghi")
	later := Batch{
		Generations: []meter.Generation{generations[0], generations[2], moved},
		Globs:       map[string]time.Time{"/b": noon.Add(time.Hour), "/var/log/*.log": noon.Add(-time.Hour)}, Tally: new(meter.Tally),
	}
	check(t, l.Commit(t.Context(), later, noon))
	generations[2], globs["/b"] = moved, noon.Add(time.Hour)
	for range 2 {
		if got := must(l.Generations(t.Context())); !reflect.DeepEqual(got, generations) {
			t.Errorf("generations\n%+v, want\n%+v", got, generations)
		}
		if got := must(l.Globs(t.Context())); !reflect.DeepEqual(got, globs) {
			t.Errorf("globs %v, want %v", got, globs)
		}
		check(t, l.Close())
		l = open(t, dir)
	}
}

func TestPerCarriesTheRest(t *testing.T) {
	l := open(t, t.TempDir())
	tens := &meter.Rule{Name: "tens", ProductID: product, SKU: sku, Per: 10}
	units := func(w meter.Window) (n int64) {
		for _, r := range records(t, l, Filter{}) {
			if r.Window == w {
				n += r.Quantity
			}
		}
		return n
	}
	for i, step := range []struct {
		window int
		amount int64
		want   int64 // units of the window
	}{
		{0, 9, 0}, {1, 9, 1}, {1, 1, 1}, {0, 1, 1}, // 9, 18, 19, 20: the unit goes where it is completed
		{2, 35, 3}, {3, 4, 0}, {4, 1, 1}, {5, 100, 10}, {6, 3, 0},
	} {
		commit(t, l, tens, minute(step.window), step.amount)
		if got := units(minute(step.window)); got != step.want {
			t.Errorf("step %d: %d units in the window, want %d", i, got, step.want)
		}
	}
	if waiting := first(t, raw(t, dirOf(t, l)), `SELECT sum(amount) FROM contributions WHERE record_id = 0`); waiting != "3" {
		t.Errorf("an amount of %s waits for its unit, want 3", waiting)
	}
}

// The rest is carried forward in time, whatever the order of the tally's map.
func TestPerWithinABatch(t *testing.T) {
	l := open(t, t.TempDir())
	tens := &meter.Rule{Name: "tens", ProductID: product, SKU: sku, Per: 10}
	amounts := make(map[meter.Window]int64)
	for i := range 20 {
		amounts[minute(i)] = 5
	}
	check(t, l.Commit(t.Context(), counts(tens, amounts), noon))
	var windows []meter.Window
	for _, r := range records(t, l, Filter{}) {
		windows = append(windows, r.Window)
	}
	var want []meter.Window
	for i := 1; i < 20; i += 2 {
		want = append(want, minute(i))
	}
	if !slices.Equal(windows, want) {
		t.Errorf("units in %v, want every second window", windows)
	}
}

func TestLateEventOpensAnotherRecord(t *testing.T) {
	l := open(t, t.TempDir())
	sealed(t, l, minute(0))
	before := one(t, l, Filter{})
	commit(t, l, mails, minute(0), 5)
	if after := one(t, l, Filter{UUID: before.UUID}); after != before {
		t.Errorf("the sealed record was %+v and is %+v", before, after)
	}
	late := one(t, l, Filter{State: []meter.State{meter.Open}})
	if late.Quantity != 5 || late.Window != minute(0) || late.UUID == before.UUID {
		t.Errorf("the late one is %+v", late)
	}
	commit(t, l, mails, minute(0), 2)
	if late := one(t, l, Filter{UUID: late.UUID}); late.Quantity != 7 {
		t.Errorf("the next late event came to %+v", late)
	}
}

// What one record cannot hold goes to another of the same window.
func TestQuantityOverflow(t *testing.T) {
	for _, per := range []int64{1, 2, 1 << 30} {
		l := open(t, t.TempDir())
		rule := &meter.Rule{Name: "bytes", ProductID: product, SKU: sku, Per: per}
		given := new(big.Int)
		for _, amounts := range [][]int64{
			{1, math.MaxInt64}, {per - 1, math.MaxInt64}, {math.MaxInt64 - per}, {math.MaxInt64, math.MaxInt64}, {1},
		} {
			var tally meter.Tally
			for i, amount := range amounts {
				tally.Add(meter.CountKey{Rule: rule, Window: minute(0), Generation: 1}, amount, int64(i), int64(i+1), 0)
				given.Add(given, big.NewInt(amount))
			}
			check(t, l.Commit(t.Context(), Batch{Tally: &tally}, noon))
		}
		billed := new(big.Int)
		for _, r := range records(t, l, Filter{}) {
			billed.Add(billed, big.NewInt(r.Quantity))
		}
		if want := given.Div(given, big.NewInt(per)); billed.Cmp(want) != 0 {
			t.Errorf("per %d: %v units, want %v", per, billed, want)
		}
		opened, closed, err := l.Unsettled(t.Context())
		if check(t, err); opened != 1 || closed == 0 {
			t.Errorf("per %d: %d open, %d sealed", per, opened, closed)
		}
	}
}

func TestAnomaliesAddUp(t *testing.T) {
	l := open(t, t.TempDir())
	for i, example := range []string{"first", "second"} {
		var tally meter.Tally
		tally.AddAnomaly(meter.AnomalyKey{Kind: meter.RuleError, Subject: "mails"}, int64(10+i), example)
		check(t, l.Commit(t.Context(), Batch{Tally: &tally}, noon.Add(time.Duration(i)*time.Second)))
	}
	got := first(t, raw(t, dirOf(t, l)), `SELECT kind, subject, count, bytes, first_at < last_at FROM anomalies`)
	if want := "rule_error mails 2 21 1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A disk that is full fails a commit and moves nothing; the same batch goes
// through when there is room again.
func TestFullDisk(t *testing.T) {
	l := open(t, t.TempDir())
	commit(t, l, mails, minute(0), 1)
	var pages int
	check(t, l.db.QueryRow(`PRAGMA page_count`).Scan(&pages))
	limit := func(pages int) {
		t.Helper()
		var got int
		check(t, l.db.QueryRow(`PRAGMA max_page_count = `+strconv.Itoa(pages)).Scan(&got))
	}
	limit(pages)
	big := counts(mails, nil)
	for i := range 200 {
		big.Tally.Add(meter.CountKey{Rule: mails, Window: minute(i), Generation: 1}, 1, int64(i), int64(i+1), 0)
	}
	big.Generations = []meter.Generation{{ID: 1, Path: "/a", Offset: 200, State: meter.Live, Head: []byte("x"), Mark: []byte("x"), EOFAt: -1}}
	for range 3 {
		if err := l.Commit(t.Context(), big, noon); err == nil || !strings.Contains(err.Error(), "full") {
			t.Fatalf("a commit to a full disk: %v", err)
		}
		if n := len(records(t, l, Filter{})); n != 1 {
			t.Errorf("%d records, want the earlier one", n)
		}
		if known := must(l.Generations(t.Context())); len(known) != 0 {
			t.Errorf("the position moved: %+v", known)
		}
	}
	limit(100_000)
	check(t, l.Commit(t.Context(), big, noon))
	if r := one(t, l, Filter{Since: minute(0).StartTime(), UUID: records(t, l, Filter{})[0].UUID}); r.Quantity != 2 {
		t.Errorf("the first window holds %+v", r)
	}
	if known := must(l.Generations(t.Context())); len(known) != 1 || known[0].Offset != 200 {
		t.Errorf("the position is %+v", known)
	}
}

// A commit that is broken off at any of its statements leaves nothing behind.
func TestCommitBrokenOff(t *testing.T) {
	l := open(t, t.TempDir())
	tens := &meter.Rule{Name: "tens", ProductID: product, SKU: "tens", Per: 10}
	commit(t, l, tens, minute(0), 9)
	batch := counts(tens, map[meter.Window]int64{minute(0): 25, minute(1): 7})
	batch.Tally.Add(meter.CountKey{Rule: mails, Window: minute(1), Generation: 1}, 3, 40, 50, 0)
	batch.Tally.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: "/a"}, 1, "")
	batch.Generations = []meter.Generation{{ID: 1, Path: "/a", Offset: 50, State: meter.Live, Head: []byte("x"), Mark: []byte("x"), EOFAt: -1}}
	batch.Globs = map[string]time.Time{"/*": noon}
	before := dump(t, l)
	for calls := 1; ; calls += 3 {
		ctx := cancelAfter(t.Context(), calls)
		err := l.Commit(ctx, batch, noon)
		if err == nil {
			if calls < 20 {
				t.Errorf("the commit succeeded when broken off after %d looks at its context", calls)
			}
			break
		}
		if ctx.Err() == nil {
			t.Fatalf("after %d: %v", calls, err)
		}
		if after := dump(t, l); after != before {
			t.Fatalf("broken off after %d, it left\n%s\nand before was\n%s", calls, after, before)
		}
	}
	if dump(t, l) == before {
		t.Error("a commit that succeeded left nothing")
	}
}

// dump is all that the ledger holds, as text. It leaves out what is drawn at random.
func dump(t *testing.T, l *Ledger) string {
	t.Helper()
	var text strings.Builder
	for _, table := range must(query(t.Context(), l.db, "tables", func(rows *sql.Rows) (name string, err error) {
		err = rows.Scan(&name)
		return name, err
	}, `SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`)) {
		if table == "meta" {
			table += ` WHERE key IN ('machine', 'instance', 'boot')`
		}
		rows, err := l.db.Query(`SELECT * FROM ` + table)
		check(t, err)
		columns := must(rows.Columns())
		for rows.Next() {
			values := make([]any, len(columns))
			into := make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			check(t, rows.Scan(into...))
			fmt.Fprintln(&text, table, values)
		}
		check(t, rows.Close())
	}
	return text.String()
}

func TestEmptyBatch(t *testing.T) {
	l := open(t, t.TempDir())
	empty := Batch{Tally: new(meter.Tally)}
	if !empty.Empty() {
		t.Error("an empty batch is not")
	}
	check(t, l.Commit(t.Context(), empty, noon))
	if counts(mails, map[meter.Window]int64{minute(0): 1}).Empty() {
		t.Error("a batch with a count is empty")
	}
}

// A contribution is one range for each generation, from its first line to its
// last, and goes along with the amount that waited.
func TestContributions(t *testing.T) {
	l := open(t, t.TempDir())
	tens := &meter.Rule{Name: "tens", ProductID: product, SKU: sku, Per: 10}
	for _, line := range []struct{ generation, amount, start, end int64 }{
		{1, 3, 500, 600}, {1, 3, 100, 200}, {2, 2, 10, 20}, // wait
		{1, 5, 800, 900}, {1, 9, 50, 60}, {1, 1, 300, 400},
	} {
		var tally meter.Tally
		tally.Add(meter.CountKey{Rule: tens, Window: minute(0), Generation: line.generation}, line.amount, line.start, line.end, 0)
		check(t, l.Commit(t.Context(), Batch{Tally: &tally}, noon))
	}
	db := raw(t, dirOf(t, l))
	for _, want := range []string{"1 50 900 4 20", "2 10 20 1 2"} {
		got := first(t, db, `SELECT generation_id, start_offset, end_offset, lines, amount FROM contributions
			WHERE record_id = 1 AND generation_id = `+want[:1])
		if got != want {
			t.Errorf("of generation, range, lines and amount it has %s, want %s", got, want)
		}
	}
	if got, want := first(t, db, `SELECT start_offset, end_offset, amount FROM contributions WHERE record_id = 0`), "300 400 1"; got != want {
		t.Errorf("what waits is %s, want %s", got, want)
	}
}

// A commit is on the disk when it returns: only then may what follows from it
// leave the machine.
func TestCommitsReachTheDisk(t *testing.T) {
	l := open(t, t.TempDir())
	const full = 2 // PRAGMA synchronous
	var synchronous int
	check(t, l.db.QueryRow("PRAGMA synchronous").Scan(&synchronous))
	var journal string
	check(t, l.db.QueryRow("PRAGMA journal_mode").Scan(&journal))
	if synchronous != full || journal != "wal" {
		t.Errorf("synchronous is %d and the journal %q, want %d and wal", synchronous, journal, full)
	}
}

// A record has the time of the latest event that it counts, in whatever order the
// events come. Once it is sealed, a later event opens another record.
func TestTimestampIsOfTheLatestEvent(t *testing.T) {
	l := open(t, t.TempDir())
	add := func(second int64) {
		t.Helper()
		var tally meter.Tally
		tally.Add(meter.CountKey{Rule: mails, Window: minute(0), Generation: 1}, 1, second, second+1, minute(0).Start+second)
		check(t, l.Commit(t.Context(), Batch{Tally: &tally}, noon))
	}
	want := func(seconds ...int64) {
		t.Helper()
		i := 0
		check(t, l.Records(t.Context(), Filter{}, func(r meter.Record) error {
			if i >= len(seconds) || r.Timestamp.Unix()-minute(0).Start != seconds[i] {
				t.Errorf("record %d has the timestamp %v", i, r.Timestamp)
			}
			i++
			return nil
		}))
	}
	add(20)
	want(20)
	add(7)
	want(20)
	add(59)
	want(59)
	_, err := l.SealAll(t.Context(), minute(0).EndTime())
	check(t, err)
	add(30)
	want(59, 30)
	if due := must(l.Pending(t.Context(), minute(2).StartTime(), minute(0).StartTime().Add(40*time.Second), 10, nil)); len(due) != 0 {
		t.Errorf("a record ahead of the API's clock is due: %v", due)
	}
}
