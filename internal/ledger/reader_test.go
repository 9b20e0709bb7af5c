package ledger

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

func TestNoLedgerToRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenReader(dir); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
	if held := must(os.ReadDir(dir)); len(held) != 0 {
		t.Errorf("looking for a ledger left %v", held)
	}
}

// A reader sees whole commits only, while the writer goes on.
func TestReaderBesideTheWriter(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, mails, minute(0), 1)
	var writing sync.WaitGroup
	done := make(chan struct{})
	writing.Go(func() {
		defer close(done)
		for range 50 { // the same in each of three windows
			batch := counts(mails, map[meter.Window]int64{minute(1): 1, minute(2): 1, minute(3): 1})
			if err := l.Commit(context.Background(), batch, noon); err != nil {
				t.Error(err)
			}
		}
	})
	defer writing.Wait()
	r := must(OpenReader(dir))
	defer r.Close()
	last := int64(0)
	for more := true; more; {
		select {
		case <-done:
			more = false
		default:
		}
		var seen []int64
		check(t, r.Records(t.Context(), Filter{Since: minute(1).StartTime()}, func(r meter.Record) error {
			seen = append(seen, r.Quantity)
			return nil
		}))
		if len(seen) == 0 && last == 0 {
			continue
		}
		if len(seen) != 3 || seen[0] != seen[1] || seen[1] != seen[2] || seen[0] < last {
			t.Fatalf("a reader sees %v, after %d", seen, last)
		}
		last = seen[0]
	}
	if last != 50 {
		t.Errorf("the reader sees %d in the end, want 50", last)
	}
}

func TestReaderWritesNothing(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, mails, minute(0), 1)
	r := must(OpenReader(dir))
	defer r.Close()
	for _, statement := range []string{`DELETE FROM records`, `UPDATE records SET quantity = 7`, `PRAGMA user_version = 9`} {
		if _, err := r.db.Exec(statement); err == nil {
			t.Errorf("a reader may %s", statement)
		}
	}
	if got := one(t, l, Filter{}); got.Quantity != 1 {
		t.Errorf("%+v", got)
	}
}

// A reader that takes its time neither fails nor hinders a commit.
func TestCommitWithinARead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := range 3 {
		commit(t, l, mails, minute(i), 1)
	}
	r := must(OpenReader(dir))
	defer r.Close()
	seen := 0
	check(t, r.Records(t.Context(), Filter{}, func(record meter.Record) error {
		seen++
		commit(t, l, mails, minute(10+seen), 1)
		return nil
	}))
	if seen != 3 {
		t.Errorf("%d records were seen, want the 3 of the beginning", seen)
	}
}

func TestFilter(t *testing.T) {
	l := open(t, t.TempDir())
	rules := []*meter.Rule{mails, {Name: "bytes", ProductID: product, SKU: "bytes", Per: 1}}
	for i, rule := range []*meter.Rule{rules[0], rules[1], rules[0], rules[1], rules[0]} {
		commit(t, l, rule, minute(i), int64(i+1))
	}
	_, err := l.Seal(t.Context(), minute(2).EndTime())
	check(t, err)
	all := records(t, l, Filter{})
	settle(t, l, noon, all[:1], meter.Result{State: meter.Accepted})
	settle(t, l, noon, all[1:2], meter.Result{State: meter.Refused, Reason: "no' such; --"})
	type states = []meter.State
	for _, test := range []struct {
		name string
		f    Filter
		want []int64 // quantities
	}{
		{"all", Filter{}, []int64{1, 2, 3, 4, 5}},
		{"since", Filter{Since: minute(2).StartTime()}, []int64{3, 4, 5}},
		{"since, within a window", Filter{Since: minute(2).StartTime().Add(time.Second)}, []int64{4, 5}},
		{"since, in another zone", Filter{Since: minute(3).StartTime().In(time.FixedZone("", 5*3600))}, []int64{4, 5}},
		{"a state", Filter{State: states{meter.Accepted}}, []int64{1}},
		{"states", Filter{State: states{meter.Refused, meter.Sealed}}, []int64{2, 3}},
		{"a state that none is in", Filter{State: states{meter.Foreign}}, nil},
		{"an SKU", Filter{SKU: "bytes"}, []int64{2, 4}},
		{"an SKU that is none", Filter{SKU: "' OR true --"}, nil},
		{"a uuid", Filter{UUID: all[3].UUID}, []int64{4}},
		{"all of these", Filter{Since: noon, State: states{meter.Open}, SKU: "bytes", UUID: all[3].UUID}, []int64{4}},
		{"a contradiction", Filter{SKU: sku, UUID: all[3].UUID}, nil},
	} {
		var got []int64
		for _, r := range records(t, l, test.f) {
			got = append(got, r.Quantity)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	if r := one(t, l, Filter{State: states{meter.Refused}}); r.Reason != "no' such; --" || !r.OpenedAt.Equal(noon) || !r.SettledAt.Equal(noon) {
		t.Errorf("%+v", r)
	}
	stop := errors.New("enough")
	if err := l.Records(t.Context(), Filter{}, func(meter.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a reading that is stopped ends with %v", err)
	}
}
