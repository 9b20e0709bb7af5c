package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// ago is the window of one minute that began so many minutes before noon.
func ago(n int) meter.Window { return minute(-n) }

func TestPendingOrder(t *testing.T) {
	type windows = []meter.Window
	tests := []struct {
		name    string
		records windows
		now     time.Time // ours, after noon
		ahead   time.Duration
		limit   int
		want    windows
	}{
		{name: "nothing"},
		{name: "the oldest first", records: windows{ago(3), ago(9), ago(6)}, want: windows{ago(9), ago(6), ago(3)}},
		{name: "at most limit", records: windows{ago(3), ago(9), ago(6)}, limit: 2, want: windows{ago(9), ago(6)}},
		{name: "past the hour waits for the others", records: windows{ago(90), ago(61), ago(60), ago(5)}, want: windows{ago(60), ago(5)}},
		{name: "past the hour when there is nothing else", records: windows{ago(61), ago(90)}, want: windows{ago(90), ago(61)}},
		{name: "the hour is the API's, which is ahead", records: windows{ago(58), ago(5)}, ahead: 3 * time.Minute, want: windows{ago(5)}},
		{name: "the hour is the API's, which is behind", records: windows{ago(62), ago(5)}, ahead: -3 * time.Minute, want: windows{ago(62), ago(5)}},
		{name: "not before the API's clock", records: windows{ago(2), ago(5)}, ahead: -3 * time.Minute, want: windows{ago(5)}},
		{name: "at the API's clock", records: windows{ago(3)}, ahead: -3 * time.Minute, want: windows{ago(3)}},
		{name: "all in the API's future", records: windows{ago(2)}, ahead: -3 * time.Minute},
		{name: "our clock was set back", records: windows{ago(-30)}, ahead: 31 * time.Minute, want: windows{ago(-30)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := open(t, t.TempDir())
			sealed(t, l, test.records...)
			limit := test.limit
			if limit == 0 {
				limit = meter.MaxRecords
			}
			list, err := l.Pending(t.Context(), noon, noon.Add(test.ahead), limit, nil)
			check(t, err)
			var got windows
			for _, r := range list {
				got = append(got, r.Window)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestPendingIsSealed(t *testing.T) {
	l := open(t, t.TempDir())
	commit(t, l, mails, ago(5), 1)
	if list := pending(t, l, noon); len(list) != 0 {
		t.Errorf("an open record is to be delivered: %+v", list)
	}
	_, err := l.Seal(t.Context(), noon)
	check(t, err)
	for _, state := range []meter.State{meter.Accepted, meter.Refused, meter.Expired, meter.InDoubt} {
		list := pending(t, l, noon)
		if len(list) != 1 {
			t.Fatalf("before it is %s: %+v", state, list)
		}
		check(t, l.Attempt(t.Context(), list))
		check(t, l.Settle(t.Context(), []meter.Result{{UUID: list[0].UUID, State: state}}, noon, 0))
		if list := pending(t, l, noon); len(list) != 0 {
			t.Errorf("%s, and to be delivered: %+v", state, list)
		}
		sealed(t, l, ago(4))
	}
}

// settle delivers the records with the same result for each.
func settle(t *testing.T, l *Ledger, now time.Time, list []meter.Record, result meter.Result) {
	t.Helper()
	check(t, l.Attempt(t.Context(), list))
	var results []meter.Result
	for _, r := range list {
		result.UUID = r.UUID
		results = append(results, result)
	}
	check(t, l.Settle(t.Context(), results, now, 0))
}

func TestPutOff(t *testing.T) {
	l := open(t, t.TempDir())
	sealed(t, l, ago(5))
	list := pending(t, l, noon)
	check(t, l.Attempt(t.Context(), list))
	check(t, l.Settle(t.Context(), []meter.Result{{UUID: list[0].UUID, State: meter.Sealed, Reason: "503"}}, noon, 2*time.Minute))
	for _, test := range []struct {
		now time.Time
		due bool
	}{
		{noon, false},
		{noon.Add(2*time.Minute - time.Millisecond), false},
		{noon.Add(2 * time.Minute), true},
		{noon.Add(-8 * time.Minute), false}, // a delay of ten minutes may be meant
		{noon.Add(-9 * time.Minute), true},  // the clock was set back
	} {
		due, err := l.Pending(t.Context(), test.now, noon, 1, nil)
		check(t, err)
		if (len(due) == 1) != test.due {
			t.Errorf("at %v: %d records are due", test.now, len(due))
		}
	}
	if r := one(t, l, Filter{}); r.Reason != "503" || r.State != meter.Sealed {
		t.Errorf("%+v", r)
	}
}

// What was put off after an attempt is released, a new uuid's first is not.
func TestRelease(t *testing.T) {
	l := open(t, t.TempDir())
	sealed(t, l, ago(5), ago(4))
	list := pending(t, l, noon)
	check(t, l.Attempt(t.Context(), list))
	check(t, l.Settle(t.Context(), []meter.Result{
		{UUID: list[0].UUID, State: meter.Sealed, Reason: "503"},
		{UUID: list[1].UUID, State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: true},
	}, noon, time.Minute))
	if due := pending(t, l, noon); len(due) != 0 {
		t.Errorf("due although put off: %+v", due)
	}
	check(t, l.Release(t.Context()))
	if due := pending(t, l, noon); len(due) != 1 || due[0].UUID != list[0].UUID {
		t.Errorf("due when released: %+v", due)
	}
}

// An attempt that was begun and never settled may have reached the API.
func TestAttemptIsRememberedOverACrash(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	sealed(t, l, ago(5), ago(4))
	list := pending(t, l, noon)
	if list[0].MaybeStored || list[0].Attempts != 0 {
		t.Errorf("before the first attempt: %+v", list[0])
	}
	check(t, l.Attempt(t.Context(), list[:1]))
	l = open(t, crash(t, dir))
	list = pending(t, l, noon)
	if !list[0].MaybeStored || list[0].Attempts != 1 {
		t.Errorf("after the crash: %+v", list[0])
	}
	if list[1].MaybeStored || list[1].Attempts != 0 {
		t.Errorf("the record that was not attempted: %+v", list[1])
	}
	check(t, l.Settle(t.Context(), []meter.Result{{UUID: list[0].UUID, State: meter.Sealed, MaybeStored: true}}, noon, 0))
	if r := pending(t, l, noon)[0]; !r.MaybeStored {
		t.Errorf("after an answer that says nothing: %+v", r)
	}
	check(t, l.Attempt(t.Context(), list[1:]))
	check(t, l.Settle(t.Context(), []meter.Result{{UUID: list[1].UUID, State: meter.Sealed}}, noon, 0))
	if r := pending(t, l, noon)[1]; r.MaybeStored || r.Attempts != 1 {
		t.Errorf("after a refused connection: %+v", r)
	}
}

func TestAttemptNeedsSealedRecords(t *testing.T) {
	l := open(t, t.TempDir())
	sealed(t, l, ago(5), ago(4))
	list := pending(t, l, noon)
	settle(t, l, noon, list[:1], meter.Result{State: meter.Accepted})
	if err := l.Attempt(t.Context(), []meter.Record{list[1], list[0]}); err == nil || !strings.Contains(err.Error(), list[0].UUID) {
		t.Errorf("an attempt of an accepted record: %v", err)
	}
	if r := one(t, l, Filter{UUID: list[1].UUID}); r.Attempts != 0 || r.MaybeStored {
		t.Errorf("the other one was attempted: %+v", r)
	}
	commit(t, l, mails, ago(3), 1)
	if err := l.Attempt(t.Context(), records(t, l, Filter{State: []meter.State{meter.Open}})); err == nil {
		t.Error("an open record was attempted")
	}
}

func TestSettleTwice(t *testing.T) {
	l := open(t, t.TempDir())
	sealed(t, l, ago(5))
	list := pending(t, l, noon)
	settle(t, l, noon, list, meter.Result{State: meter.Accepted})
	before := one(t, l, Filter{})
	for _, again := range []meter.Result{
		{State: meter.Accepted}, {State: meter.Sealed, MaybeStored: true}, {State: meter.Expired, Reason: "EXPIRED"},
		{State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: true},
	} {
		again.UUID = list[0].UUID
		check(t, l.Settle(t.Context(), []meter.Result{again}, noon.Add(time.Hour), 0))
		if after := one(t, l, Filter{}); after != before {
			t.Errorf("settled again as %s: it was %+v and is %+v", again.State, before, after)
		}
	}
}

func TestSettleTakesResultsOnly(t *testing.T) {
	l := open(t, t.TempDir())
	sealed(t, l, ago(5), ago(4))
	list := pending(t, l, noon)
	check(t, l.Attempt(t.Context(), list))
	err := l.Settle(t.Context(), []meter.Result{{UUID: list[0].UUID, State: meter.Accepted}, {UUID: list[1].UUID, State: meter.Open}}, noon, 0)
	if err == nil || !strings.Contains(err.Error(), list[1].UUID) {
		t.Errorf("a record is settled as open: %v", err)
	}
	if n := len(pending(t, l, noon)); n != 2 {
		t.Errorf("%d records are unsettled after a settlement that failed, want 2", n)
	}
	check(t, l.Settle(t.Context(), []meter.Result{{UUID: "11111111-2222-4333-8444-555555555555", State: meter.Accepted}}, noon, 0))
}

func TestReissue(t *testing.T) {
	l := open(t, t.TempDir())
	sealed(t, l, ago(1))
	old := pending(t, l, noon)[0]
	settle(t, l, noon, []meter.Record{old}, meter.Result{State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: true})
	refused := one(t, l, Filter{UUID: old.UUID})
	if refused.State != meter.Refused || refused.Reason != "INVALID_TIMESTAMP" || !refused.SettledAt.Equal(noon) {
		t.Errorf("the old one is %+v", refused)
	}
	if early := pending(t, l, noon.Add(reissueDelay-time.Millisecond)); len(early) != 0 {
		t.Errorf("it is due at once: %+v", early)
	}
	late := pending(t, l, noon.Add(reissueDelay))
	if len(late) != 1 {
		t.Fatalf("%d records are due, want the new one", len(late))
	}
	fresh := late[0]
	if fresh.UUID == old.UUID || fresh.Attempts != 0 || fresh.MaybeStored || fresh.State != meter.Sealed || fresh.Reason != "" {
		t.Errorf("the new one is %+v", fresh)
	}
	if content(fresh) != content(old) {
		t.Errorf("the new one has %v, the old one %v", content(fresh), content(old))
	}
	if err := l.Attempt(t.Context(), []meter.Record{old}); err == nil {
		t.Error("the old one was attempted again")
	}
	settle(t, l, noon, []meter.Record{fresh}, meter.Result{State: meter.Accepted})
	if list := pending(t, l, noon.Add(time.Hour)); len(list) != 0 {
		t.Errorf("still to be delivered: %+v", list)
	}
}

// fixed is what must never change of a record.
type fixed struct {
	product, sku string
	window       meter.Window
	quantity     int64
}

func content(r meter.Record) fixed { return fixed{r.ProductID, r.SKU, r.Window, r.Quantity} }

func TestPrune(t *testing.T) {
	l := open(t, t.TempDir())
	prune := func(before time.Time, want int) {
		t.Helper()
		n, err := l.Prune(t.Context(), before)
		check(t, err)
		if n != want {
			t.Errorf("%d records deleted that were settled before %v, want %d", n, before, want)
		}
	}
	third := &meter.Rule{Name: "thirds", ProductID: product, SKU: sku, Per: 3}
	commit(t, l, third, ago(9), 2) // waits for its unit
	sealed(t, l, ago(8), ago(7), ago(6), ago(5), ago(4))
	commit(t, l, mails, ago(3), 1) // stays open
	list := pending(t, l, noon)
	late := noon.Add(10 * time.Minute)
	settle(t, l, noon, list[:1], meter.Result{State: meter.Accepted})
	settle(t, l, noon, list[1:2], meter.Result{State: meter.Expired})
	settle(t, l, noon, list[2:3], meter.Result{State: meter.Refused, Reissue: true}) // its reissue is unsettled
	settle(t, l, late, list[3:4], meter.Result{State: meter.Accepted})
	settle(t, l, noon, list[4:], meter.Result{State: meter.Sealed, MaybeStored: true})

	prune(noon, 0)
	prune(noon.Add(time.Second), 2)
	prune(late.Add(time.Second), 1)
	prune(late.Add(1000*time.Hour), 0)
	var left []meter.State
	for _, r := range records(t, l, Filter{}) {
		left = append(left, r.State)
	}
	if want := []meter.State{meter.Refused, meter.Sealed, meter.Sealed, meter.Open}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
	settle(t, l, late, pending(t, l, late), meter.Result{State: meter.Accepted})
	prune(late.Add(time.Second), 2) // the reissue and the one in doubt
	prune(late.Add(time.Second), 1) // and then the head of the chain
	one(t, l, Filter{State: []meter.State{meter.Open}})
	if orphans := first(t, raw(t, dirOf(t, l)), `SELECT * FROM contributions WHERE record_id NOT IN (SELECT 0 UNION SELECT id FROM records)`); orphans != "" {
		t.Errorf("lines of deleted records: %v", orphans)
	}
	if waiting := first(t, raw(t, dirOf(t, l)), `SELECT amount FROM contributions WHERE record_id = 0`); waiting != "2" {
		t.Errorf("an amount of %q waits for its unit, want 2", waiting)
	}
	commit(t, l, third, ago(2), 1)
	if r := one(t, l, Filter{Since: ago(2).StartTime()}); r.Quantity != 1 {
		t.Errorf("what waited for its unit is gone: %+v", r)
	}
}

// A forgotten generation stays for as long as a record was counted from it, and
// the newest is known to the last, so that no other is given its number.
func TestPruneGenerations(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	const counted = 1 // the generation of what counts and ago come to
	sealed(t, l, ago(8))
	check(t, l.Commit(t.Context(), Batch{Tally: new(meter.Tally), Generations: []meter.Generation{
		{ID: counted, Path: "/a", State: meter.Forgotten, Offset: 5},
		{ID: 2, Path: "/a", State: meter.Forgotten, Offset: 5},
		{ID: 3, Path: "/a", State: meter.Done, Offset: 5},
		{ID: 4, Path: "/b", State: meter.Forgotten, Offset: 5},
	}}, noon))
	want := func(table string, ids ...int64) {
		t.Helper()
		for _, g := range must(l.Generations(t.Context())) {
			if g.ID != ids[0] {
				t.Errorf("generation %d is known, of which %v should be", g.ID, ids)
			}
			ids = ids[1:]
		}
		if got := first(t, raw(t, dir), `SELECT group_concat(id) FROM (SELECT id FROM generations ORDER BY id)`); got != table {
			t.Errorf("the ledger holds generations %s, want %s", got, table)
		}
	}
	want("1,2,3,4", 3, 4)
	_, err := l.Prune(t.Context(), noon)
	check(t, err)
	want("1,3", 3)
	settle(t, l, noon, pending(t, l, noon), meter.Result{State: meter.Accepted})
	_, err = l.Prune(t.Context(), noon.Add(time.Second))
	check(t, err)
	want("3", 3)
}

// dirOf is the folder of the ledger.
func dirOf(t *testing.T, l *Ledger) string {
	t.Helper()
	var path string
	check(t, l.db.QueryRow(`SELECT file FROM pragma_database_list`).Scan(&path))
	return strings.TrimSuffix(path, "/"+FileName)
}

func TestSeal(t *testing.T) {
	l := open(t, t.TempDir())
	if at, err := l.NextSeal(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("an empty ledger is to be sealed at %v (%v)", at, err)
	}
	for _, w := range []meter.Window{minute(0), minute(1), minute(2)} {
		commit(t, l, mails, w, 1)
	}
	seal := func(now time.Time, f func(time.Time) (int, error), want int, next time.Time) {
		t.Helper()
		n, err := f(now)
		check(t, err)
		at, err := l.NextSeal(t.Context())
		check(t, err)
		if n != want || !at.Equal(next) {
			t.Errorf("at %v %d are sealed and the next is due at %v; want %d, %v", now, n, at, want, next)
		}
	}
	ended := func(now time.Time) (int, error) { return l.Seal(t.Context(), now) }
	begun := func(now time.Time) (int, error) { return l.SealBegun(t.Context(), now) }
	seal(minute(0).EndTime().Add(-time.Nanosecond), ended, 0, minute(0).EndTime())
	seal(minute(0).EndTime(), ended, 1, minute(1).EndTime())
	seal(minute(1).StartTime().Add(-time.Second), begun, 0, minute(1).EndTime())
	seal(minute(1).StartTime(), begun, 1, minute(2).EndTime())
	if opened, closed, err := l.Unsettled(t.Context()); err != nil || opened != 1 || closed != 2 {
		t.Errorf("%d open, %d sealed, %v", opened, closed, err)
	}
}

// However much is to be pruned, all of it is, and nothing else.
func TestPruneMuch(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	amounts := make(map[meter.Window]int64)
	const many = 2*pruneAtOnce + 100
	for i := range many {
		amounts[ago(2*many-i)] = 1
	}
	check(t, l.Commit(t.Context(), counts(mails, amounts), noon))
	_, err := l.Seal(t.Context(), noon)
	check(t, err)
	list, err := l.Pending(t.Context(), noon, noon, many-7, nil)
	check(t, err)
	settle(t, l, noon, list, meter.Result{State: meter.Accepted})
	if n, err := pruneAll(t.Context(), l, noon); n != 0 || err != nil {
		t.Errorf("%d are pruned before their time, %v", n, err)
	}
	if n, err := pruneAll(t.Context(), l, noon.Add(time.Second)); n != many-7 || err != nil {
		t.Errorf("%d are pruned, %v; want %d", n, err, many-7)
	}
	if left := records(t, l, Filter{}); len(left) != 7 || left[0].State != meter.Sealed {
		t.Errorf("left are %+v", left)
	}
	if n := first(t, raw(t, dir), "SELECT count(*) FROM contributions"); n != "7" {
		t.Errorf("%s contributions are left", n)
	}
}

// A record waits for the API's clock alone for five minutes, whatever is known
// of that clock. Meanwhile it can be asked about.
func TestHeldForTheClock(t *testing.T) {
	l := open(t, t.TempDir())
	sealed(t, l, ago(1)) // at noon
	const behind = 2 * time.Hour
	for _, test := range []struct {
		after         time.Duration
		pending, held int
	}{
		{0, 0, 1},
		{longestHold - time.Millisecond, 0, 1},
		{longestHold, 1, 0},
		{-time.Second, 1, 0}, // our clock was set back
	} {
		now := noon.Add(test.after)
		due, err := l.Pending(t.Context(), now, now.Add(-behind), meter.MaxRecords, nil)
		check(t, err)
		held, err := l.Held(t.Context(), now, now.Add(-behind), meter.MaxRecords)
		check(t, err)
		if len(due) != test.pending || len(held) != test.held {
			t.Errorf("after %v %d are pending and %d held, want %d and %d", test.after, len(due), len(held), test.pending, test.held)
		}
	}
	if held := must(l.Held(t.Context(), noon, noon, meter.MaxRecords)); len(held) != 0 {
		t.Errorf("what is due is held: %+v", held)
	}
	list := pending(t, l, noon)
	check(t, l.Settle(t.Context(), []meter.Result{{UUID: list[0].UUID, State: meter.Sealed}}, noon, time.Minute))
	if held := must(l.Held(t.Context(), noon, noon.Add(-behind), meter.MaxRecords)); len(held) != 0 {
		t.Errorf("what was put off is held: %+v", held)
	}
}

// Whether an attempt may have been refused for the record's time is known after
// a crash, and stays known until the record is settled.
func TestRefusableAttemptIsRemembered(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	sealed(t, l, ago(5))
	attempt := func(refusable bool) {
		t.Helper()
		list := pending(t, l, noon)
		list[0].Refusable = refusable
		check(t, l.Attempt(t.Context(), list))
	}
	settle := func(maybeStored, maybeRefused bool) {
		t.Helper()
		uuid := one(t, l, Filter{}).UUID
		check(t, l.Settle(t.Context(), []meter.Result{{UUID: uuid, State: meter.Sealed, MaybeStored: maybeStored, MaybeRefused: maybeRefused}}, noon, 0))
	}
	want := func(what string, maybeRefused bool) {
		t.Helper()
		if r := one(t, l, Filter{}); r.MaybeRefused != maybeRefused {
			t.Errorf("%s: %+v", what, r)
		}
	}
	attempt(false)
	want("an attempt in time", false)
	l = open(t, crash(t, dir))
	attempt(true)
	want("an attempt at a bad time", true)
	settle(true, false)
	want("an answer that leaves no doubt", false)
	attempt(true)
	l = open(t, crash(t, dirOf(t, l)))
	want("after a crash", true)
	attempt(false)
	want("an attempt in time after it", true)
	settle(true, true)
	want("no answer", true)
}

// What was missed of files long ago is kept as one sum: their names have no end.
func TestOldAnomaliesOfFilesAreSummed(t *testing.T) {
	l := open(t, t.TempDir())
	miss := func(path string, at time.Time) {
		tally := meter.Tally{Anomalies: map[meter.AnomalyKey]*meter.Anomaly{
			{Kind: meter.BytesMissed, Subject: path}: {Count: 1, Bytes: 10, Example: path},
			{Kind: meter.RuleError, Subject: "rule"}: {Count: 1, Example: path},
		}}
		check(t, l.Commit(t.Context(), Batch{Tally: &tally}, at))
	}
	miss("a", noon)
	miss("b", noon.Add(time.Minute))
	miss("c", noon.Add(time.Hour))
	_, err := l.Prune(t.Context(), noon.Add(30*time.Minute))
	check(t, err)
	var got []string
	for _, a := range must(l.Anomalies(t.Context())) {
		got = append(got, fmt.Sprint(a.Kind, " ", a.Subject, " ", a.Count, " ", a.Bytes))
	}
	if want := []string{"gap  2 20", "gap c 1 10", "rule_error rule 3 0"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
