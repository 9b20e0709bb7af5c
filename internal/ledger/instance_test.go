package ledger

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

var tens = &meter.Rule{Name: "tens", ProductID: product, SKU: "dn2tens", Per: 10}

// countAt commits that the rule counted an amount in [start, start+10) of the
// generation.
func countAt(t *testing.T, l *Ledger, rule *meter.Rule, window meter.Window, amount, start int64) {
	t.Helper()
	var tally meter.Tally
	tally.Add(meter.CountKey{Rule: rule, Window: window, Generation: 1}, amount, start, start+10, window.Start)
	g := meter.Generation{ID: 1, Path: "/a.log", Offset: start + 10, EOFAt: -1, State: meter.Live}
	check(t, l.Commit(t.Context(), Batch{Generations: []meter.Generation{g}, Tally: &tally}, noon))
}

func bindInstance(t *testing.T, l *Ledger, id string) Foreign {
	t.Helper()
	f, err := l.BindInstance(t.Context(), id, true, noon.Add(time.Minute))
	check(t, err)
	return f
}

func bindMachine(t *testing.T, l *Ledger, id string) Foreign {
	t.Helper()
	f, err := l.BindMachine(t.Context(), id, noon.Add(time.Minute))
	check(t, err)
	return f
}

func totals(t *testing.T, l *Ledger) map[meter.State]int64 {
	t.Helper()
	sums := make(map[meter.State]int64)
	for _, r := range records(t, l, Filter{}) {
		sums[r.State] += r.Quantity
	}
	return sums
}

func wantTotals(t *testing.T, l *Ledger, want map[meter.State]int64) {
	t.Helper()
	got := totals(t, l)
	for _, state := range meter.States {
		if got[state] != want[state] {
			t.Errorf("%d units are %s, want %d", got[state], state, want[state])
		}
	}
}

// used is a ledger bound to machine m1 and instance i1, with 2 units accepted,
// 3 sealed and under way, 5 open, and a remainder of 7.
func used(t *testing.T, dir string) *Ledger {
	t.Helper()
	l := open(t, dir)
	if f := bindMachine(t, l, "m1"); f != (Foreign{}) {
		t.Fatalf("a new ledger sets aside %+v", f)
	}
	check(t, l.AwaitInstance(t.Context()))
	if f := bindInstance(t, l, "i1"); f != (Foreign{}) {
		t.Fatalf("a new ledger sets aside %+v", f)
	}
	countAt(t, l, mails, minute(-2), 2, 0)
	countAt(t, l, mails, minute(-1), 3, 10)
	_, err := l.Seal(t.Context(), noon)
	check(t, err)
	list := pending(t, l, noon)
	check(t, l.Attempt(t.Context(), list))
	check(t, l.Settle(t.Context(), []meter.Result{{UUID: list[0].UUID, State: meter.Accepted}}, noon, 0))
	countAt(t, l, mails, minute(0), 5, 20)
	countAt(t, l, tens, minute(0), 7, 30)
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Sealed: 3, meter.Open: 5})
	check(t, l.Commit(t.Context(), Batch{Globs: map[string]time.Time{"/*.log": noon}, Tally: new(meter.Tally)}, noon))
	return l
}

// wantLeft checks whether the files are left to another machine, up to their ends.
func wantLeft(t *testing.T, l *Ledger, want bool) {
	t.Helper()
	globs, err := l.Globs(t.Context())
	check(t, err)
	known, err := l.Generations(t.Context())
	check(t, err)
	if len(globs) != 1 || len(known) != 1 || globs["/*.log"].IsZero() != want || known[0].Left != want {
		t.Errorf("patterns %v and generations %+v, want them left: %t", globs, known, want)
	}
}

func TestSameMachineChangesNothing(t *testing.T) {
	dir := t.TempDir()
	check(t, used(t, dir).Close())
	l := open(t, dir)
	if f := bindMachine(t, l, "m1"); f != (Foreign{}) {
		t.Errorf("set aside: %+v", f)
	}
	check(t, l.AwaitInstance(t.Context()))
	countAt(t, l, mails, minute(0), 4, 40) // in doubt: the open record must not grow
	countAt(t, l, tens, minute(0), 8, 50)  // nor may the earlier remainder be used
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Sealed: 8, meter.Open: 4})
	if f := bindInstance(t, l, "i1"); f != (Foreign{}) {
		t.Errorf("set aside: %+v", f)
	}
	countAt(t, l, mails, minute(0), 1, 60) // grows again
	countAt(t, l, tens, minute(0), 5, 70)  // 7 + 8 + 5 are 20
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Sealed: 8, meter.Open: 5 + 2})
	if n := len(records(t, l, Filter{State: []meter.State{meter.Open}})); n != 2 {
		t.Errorf("%d records are open, want one of each rule", n)
	}
}

func TestAnotherMachineSetsAside(t *testing.T) {
	dir := t.TempDir()
	check(t, used(t, dir).Close())
	startedAgain(t, dir)
	l := open(t, dir)
	if f, want := bindMachine(t, l, "m2"), (Foreign{From: "m1", Open: 1, Sealed: 1, Remainders: 1}); f != want {
		t.Errorf("set aside: %+v, want %+v", f, want)
	}
	wantLeft(t, l, true)
	g := meter.Generation{ID: 1, Path: "/a.log", Offset: 40, EOFAt: -1, State: meter.Live}
	check(t, l.Commit(t.Context(), Batch{Generations: []meter.Generation{g}, Globs: map[string]time.Time{"/*.log": noon}, Tally: new(meter.Tally)}, noon))
	if f := bindMachine(t, l, "m2"); f != (Foreign{}) {
		t.Errorf("a second time: %+v", f)
	}
	wantLeft(t, l, false)
	check(t, l.AwaitInstance(t.Context()))
	countAt(t, l, mails, minute(0), 4, 40)
	countAt(t, l, tens, minute(0), 8, 50)
	if f := bindInstance(t, l, "i2"); f != (Foreign{}) {
		t.Errorf("the instance sets aside %+v once more", f)
	}
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Foreign: 8, meter.Open: 4})
	for _, r := range records(t, l, Filter{State: []meter.State{meter.Foreign}}) {
		if r.Reason != foreignReason || r.SettledAt.IsZero() || r.MaybeStored != (r.Quantity == 3) {
			t.Errorf("set aside as %+v", r)
		}
	}
	if _, err := l.Seal(t.Context(), noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if list := pending(t, l, noon.Add(time.Minute)); len(list) != 1 || list[0].Quantity != 4 {
		t.Errorf("to be delivered: %+v", list)
	}
}

// What was counted before the instance was known is of this machine, whatever
// became of its records meanwhile.
// The files are left to another instance only if nothing was read before it was known.
func TestFilesAreLeftToAnotherInstance(t *testing.T) {
	for _, read := range []bool{false, true} {
		dir := t.TempDir()
		check(t, used(t, dir).Close())
		startedAgain(t, dir)
		l := open(t, dir)
		check(t, l.AwaitInstance(t.Context()))
		_, err := l.BindInstance(t.Context(), "i2", read, noon)
		check(t, err)
		wantLeft(t, l, !read)
		check(t, l.Close())
	}
}

func TestAnotherInstanceSetsAsideOnlyWhatWasThereBefore(t *testing.T) {
	dir := t.TempDir()
	check(t, used(t, dir).Close())
	startedAgain(t, dir)
	l := open(t, dir)
	bindMachine(t, l, "m1")
	check(t, l.AwaitInstance(t.Context()))
	countAt(t, l, mails, minute(0), 4, 40)
	countAt(t, l, tens, minute(0), 8, 50)
	countAt(t, l, tens, minute(0), 6, 60) // 14: a unit and 4
	_, err := l.Seal(t.Context(), minute(0).EndTime())
	check(t, err)
	countAt(t, l, mails, minute(1), 9, 70)
	if f, want := bindInstance(t, l, "i2"), (Foreign{From: "i1", Sealed: 2, Remainders: 1}); f != want {
		t.Errorf("set aside: %+v, want %+v", f, want)
	}
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Foreign: 3 + 5, meter.Sealed: 4 + 1, meter.Open: 9})
	countAt(t, l, tens, minute(1), 5, 80)
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Foreign: 3 + 5, meter.Sealed: 4 + 1, meter.Open: 9})
	countAt(t, l, tens, minute(1), 1, 90) // 14 + 6 are 20
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Foreign: 3 + 5, meter.Sealed: 4 + 1, meter.Open: 9 + 1})
	if text := first(t, raw(t, dir), `SELECT subject, count, example FROM anomalies WHERE kind = 'foreign'`); text != "tens 1 7, less than one unit of dn2tens" {
		t.Errorf("the remainder is shown as %q", text)
	}
	if text := first(t, raw(t, dir), `SELECT min(start_offset), sum(lines), sum(amount) FROM contributions WHERE rule = 'tens'`); text != "40 4 20" { // what was there before ends at 40
		t.Errorf("this machine's records are of %q", text)
	}
}

func TestUnknownInstanceChangesNothing(t *testing.T) {
	dir := t.TempDir()
	check(t, used(t, dir).Close())
	l := open(t, dir)
	check(t, l.AwaitInstance(t.Context()))
	if f := bindInstance(t, l, ""); f != (Foreign{}) {
		t.Errorf("set aside: %+v", f)
	}
	countAt(t, l, mails, minute(0), 4, 40)
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Sealed: 3, meter.Open: 9})
	if f := bindInstance(t, l, "i2"); f.From != "i1" { // it is still bound
		t.Errorf("set aside: %+v", f)
	}
}

// A binding that fails leaves everything as it was, and can be tried again.
func TestBindingIsAtomic(t *testing.T) {
	dir := t.TempDir()
	check(t, used(t, dir).Close())
	l := open(t, dir)
	check(t, l.AwaitInstance(t.Context()))
	countAt(t, l, mails, minute(0), 4, 40)
	before := totals(t, l)
	failed := 0
	for n := 1; ; n++ {
		f, err := l.BindInstance(cancelAfter(context.Background(), n), "i2", true, noon)
		if err == nil {
			if f != (Foreign{From: "i1", Sealed: 2, Remainders: 1}) {
				t.Errorf("set aside: %+v", f)
			}
			break
		}
		failed++
		wantTotals(t, l, before)
	}
	if failed == 0 {
		t.Error("no binding failed")
	}
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Foreign: 8, meter.Open: 4})
}

// A process that ends in doubt leaves the next one in doubt of all of it.
func TestDoubtOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	check(t, used(t, dir).Close())
	l := open(t, dir)
	check(t, l.AwaitInstance(t.Context()))
	countAt(t, l, mails, minute(0), 4, 40)
	countAt(t, l, tens, minute(0), 8, 50) // 7 and 8, each by itself
	check(t, l.Close())
	l = open(t, dir)
	check(t, l.AwaitInstance(t.Context()))
	countAt(t, l, tens, minute(0), 9, 60)
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Sealed: 8, meter.Open: 4})
	bindInstance(t, l, "i1")
	countAt(t, l, tens, minute(0), 1, 70) // 25 in all
	wantTotals(t, l, map[meter.State]int64{meter.Accepted: 2, meter.Sealed: 8, meter.Open: 4 + 2})
}

// What `per` makes whole of what was before and what came meanwhile is billed as
// soon as it is known to be of this machine, also by a later process.
func TestUnitsThatWereKeptApartAreCompleted(t *testing.T) {
	for _, restart := range []bool{false, true} {
		dir := t.TempDir()
		l := open(t, dir)
		bindInstance(t, l, "i1")
		countAt(t, l, tens, minute(0), 7, 0)
		reopen := func() {
			check(t, l.Close())
			l = open(t, dir)
			check(t, l.AwaitInstance(t.Context()))
		}
		reopen()
		countAt(t, l, tens, minute(1), 5, 10)
		if restart {
			reopen()
		}
		rules := []*meter.Rule{mails, tens}
		check(t, l.CompleteUnits(t.Context(), rules, minute(5), noon)) // nothing: it is not known yet
		wantTotals(t, l, nil)
		bindInstance(t, l, "i1")
		check(t, l.CompleteUnits(t.Context(), rules, minute(5), noon))
		wantTotals(t, l, map[meter.State]int64{meter.Sealed: 1})
		select {
		case <-l.Sealed():
		default:
			t.Error("nothing is reported")
		}
		check(t, l.CompleteUnits(t.Context(), rules, minute(5), noon))
		wantTotals(t, l, map[meter.State]int64{meter.Sealed: 1})
	}
}

// startedAgain makes the ledger one of an earlier start of the machine.
func startedAgain(t *testing.T, dir string) {
	t.Helper()
	l := must(Open(t.Context(), dir))
	check(t, l.update(t.Context(), "test", func(tx *transaction) error { return tx.setMeta(bootKey, "another") }))
	check(t, l.Close())
}

// A machine whose id changes while it runs is no other machine: what it set aside
// says so. It finds that out once, however often it is bound.
func TestMachineWhoseIDChangesWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	check(t, used(t, dir).Close())
	l := open(t, dir)
	if f := bindMachine(t, l, "m2"); !f.SameBoot || f.Sealed != 1 {
		t.Errorf("set aside: %+v", f)
	}
	for _, r := range records(t, l, Filter{State: []meter.State{meter.Foreign}}) {
		if r.Reason != SameBoot {
			t.Errorf("set aside as %+v", r)
		}
	}

	dir = t.TempDir()
	check(t, used(t, dir).Close())
	startedAgain(t, dir)
	l = open(t, dir)
	bindMachine(t, l, "m1")
	check(t, l.AwaitInstance(t.Context()))
	bindMachine(t, l, "m1") // as a reload does
	if f := bindInstance(t, l, "i2"); f.SameBoot || f.Sealed != 1 {
		t.Errorf("set aside: %+v", f)
	}
}

// A start on a million settled records does not read them.
func TestNewestUnsettledIsFoundByIndex(t *testing.T) {
	l := open(t, t.TempDir())
	plan := must(query(t.Context(), l.db, "plan", func(rows *sql.Rows) (step string, err error) {
		var skip any
		err = rows.Scan(&skip, &skip, &skip, &step)
		return step, err
	}, "EXPLAIN QUERY PLAN "+newestUnsettled))
	steps := strings.Join(plan, "; ")
	if strings.Count(steps, "SCAN records USING") != 2 && strings.Count(steps, "INDEX records_") != 2 {
		t.Errorf("SQLite would do this: %s", steps)
	}
	for _, step := range plan {
		if strings.Contains(step, " records") && !strings.Contains(step, "INDEX") {
			t.Errorf("a step reads the records: %s", step)
		}
	}
}
