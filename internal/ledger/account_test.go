package ledger

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Ranges that overlap, and those that overlap them, are named with a
// contribution; others of the rule and the generation are not.
func TestAccount(t *testing.T) {
	l := open(t, t.TempDir())
	rule := &meter.Rule{Name: "bytes", ProductID: product, SKU: "bytes", Per: 1}
	check(t, l.Commit(t.Context(), Batch{Generations: []meter.Generation{{ID: 1, Path: "/a.log", Offset: 1000, State: meter.Live}}, Tally: &meter.Tally{}}, noon))
	count := func(window meter.Window, generation, start, end int64) {
		t.Helper()
		var tally meter.Tally
		tally.Add(meter.CountKey{Rule: rule, Window: window, Generation: generation}, 5, start, end, window.Start)
		check(t, l.Commit(t.Context(), Batch{Tally: &tally}, noon))
	}
	count(ago(9), 1, 0, 100)
	count(ago(8), 1, 90, 200)
	count(ago(7), 1, 190, 300)
	count(ago(6), 1, 300, 400)
	count(ago(5), 2, 0, 1000)
	_, err := l.Seal(t.Context(), noon)
	check(t, err)
	all := records(t, l, Filter{})
	a, err := l.Account(t.Context(), all[0].UUID)
	check(t, err)
	if a.Record != all[0] || !a.SealedAt.Equal(noon) || a.UnderWay || a.Pruned || len(a.Contributions) != 1 || len(a.Replaces)+len(a.ReplacedBy) != 0 {
		t.Fatalf("%+v", a)
	}
	if want := []Share{{Rule: "bytes", Per: 1, Units: 5}}; !slices.Equal(a.Shares, want) {
		t.Errorf("%+v", a.Shares)
	}
	c := a.Contributions[0]
	if c.UUID != all[0].UUID || c.Window != ago(9) || c.Start != 0 || c.End != 100 || c.Lines != 1 || c.Amount != 5 || c.Generation.Path != "/a.log" || c.Generation.Offset != 1000 {
		t.Errorf("%+v", c)
	}
	var beside []string
	for _, other := range c.Beside {
		beside = append(beside, other.UUID)
	}
	if want := []string{all[1].UUID, all[2].UUID}; !slices.Equal(beside, want) {
		t.Errorf("beside it are %v, want %v", beside, want)
	}
	for i, want := range []int{2, 2, 2, 0, 0} {
		if a, err := l.Account(t.Context(), all[i].UUID); err != nil || len(a.Contributions[0].Beside) != want {
			t.Errorf("record %d: %+v, %v; want %d beside it", i, a, err, want)
		}
	}
	if _, err := l.Account(t.Context(), "6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown record: %v", err)
	}
}

// A record leads to those that its usage was refused under before, and to those
// under which it was queued again.
func TestAccountOfReissues(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	sealed(t, l, ago(9))
	var chain []string
	for range 3 {
		r := pending(t, l, noon)[0]
		chain = append(chain, r.UUID)
		settle(t, l, noon, []meter.Record{r}, meter.Result{State: meter.Refused, Reason: "NO"})
		_, err := Requeue(t.Context(), dir, []string{r.UUID}, nil, noon)
		check(t, err)
	}
	list := pending(t, l, noon)
	chain = append(chain, list[0].UUID)
	check(t, l.Attempt(t.Context(), list))
	for i, uuid := range chain {
		a, err := l.Account(t.Context(), uuid)
		check(t, err)
		var got []string
		for _, r := range slices.Concat(a.Replaces, []meter.Record{a.Record}, a.ReplacedBy) {
			got = append(got, r.UUID)
		}
		if !slices.Equal(got, chain) || len(a.Replaces) != i || len(a.Contributions) != 1 || a.Contributions[0].UUID != chain[0] || len(a.Shares) != 1 {
			t.Errorf("record %d: %+v, want the chain %v", i, a, chain)
		}
		if a.UnderWay != (i == 3) {
			t.Errorf("record %d: under way %v", i, a.UnderWay)
		}
	}
	sealed(t, l, ago(3))
	last := one(t, l, Filter{Since: ago(3).StartTime()})
	settle(t, l, noon, []meter.Record{last}, meter.Result{State: meter.Accepted})
	if _, err := l.Prune(t.Context(), noon.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if a, err := l.Account(t.Context(), chain[3]); err != nil || !a.Pruned || len(a.Replaces) != 3 {
		t.Errorf("after a record left: %+v, %v", a, err)
	}
}
