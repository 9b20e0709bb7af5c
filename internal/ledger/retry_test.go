package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Refused usage is queued once, as it was, beside an agent that goes on or
// without one.
func TestRequeue(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	sealed(t, l, ago(50), ago(40), ago(30))
	list := pending(t, l, noon)
	settle(t, l, noon, list[:1], meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID"})
	settle(t, l, noon, list[1:2], meter.Result{State: meter.Accepted})
	uuids := []string{list[0].UUID, list[1].UUID, list[2].UUID}

	for _, beside := range []bool{true, false} {
		if !beside {
			check(t, l.Close())
		}
		retries, err := Requeue(t.Context(), dir, uuids, nil, noon)
		check(t, err)
		reissues := retries[0].Reissues
		if retries[0].Queued != beside || retries[0].State != meter.Refused || len(reissues) != 1 || reissues[0].State != meter.Sealed {
			t.Errorf("refused: %+v", retries[0])
		}
		for i, state := range []meter.State{meter.Accepted, meter.Sealed} {
			if r := retries[i+1]; r.Queued || len(r.Reissues) > 0 || r.State != state {
				t.Errorf("%s: %+v", state, r)
			}
		}
		r, err := OpenReader(dir)
		check(t, err)
		defer r.Close()
		check(t, r.Records(t.Context(), Filter{UUID: uuids[0]}, func(old meter.Record) error {
			if old.ReissuedAs != reissues[0].UUID {
				t.Errorf("it is issued again as %q, want %s", old.ReissuedAs, reissues[0].UUID)
			}
			return nil
		}))
	}
	l = open(t, dir)
	due := pending(t, l, noon)
	want := list[0]
	want.UUID, want.Attempts = due[0].UUID, 0
	if len(due) != 2 || due[0] != want {
		t.Errorf("due is %+v, want %+v first", due, want)
	}
	if all := records(t, l, Filter{State: []meter.State{meter.Refused}, NotReissued: true}); len(all) != 0 {
		t.Errorf("still to be queued again: %+v", all)
	}
	// Refused once more, the reissue can be queued, and the first one cannot.
	settle(t, l, noon, due[:1], meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID", MaybeStored: true})
	if r := one(t, l, Filter{UUID: due[0].UUID[:8]}); !r.MaybeStored {
		t.Errorf("it is forgotten that %+v may be stored", r)
	}
	retries, err := Requeue(t.Context(), dir, []string{uuids[0], due[0].UUID}, nil, noon)
	check(t, err)
	if retries[0].Queued || retries[0].Reissues[0].State != meter.Refused || !retries[1].Queued {
		t.Errorf("%+v", retries)
	}
}

func TestRequeueUnknown(t *testing.T) {
	dir := t.TempDir()
	if _, err := Requeue(t.Context(), dir, nil, nil, noon); !errors.Is(err, ErrNone) {
		t.Errorf("no ledger: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, FileName)); err == nil {
		t.Error("a ledger was made")
	}
	l := open(t, dir)
	sealed(t, l, ago(50))
	list := pending(t, l, noon)
	settle(t, l, noon, list, meter.Result{State: meter.Refused})
	if _, err := Requeue(t.Context(), dir, []string{list[0].UUID, "6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69"}, nil, noon); err == nil {
		t.Error("an unknown uuid passes")
	}
	if one(t, l, Filter{UUID: list[0].UUID}).ReissuedAs != "" {
		t.Error("a part of what failed was done")
	}
}

// Beside an agent that counts, seals, delivers and settles at the same time
// nothing fails, on either side.
func TestRequeueBesideWork(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	const rounds = 20
	var work sync.WaitGroup
	refused := make(chan string, rounds)
	work.Go(func() {
		defer close(refused)
		for i := range rounds {
			sealed(t, l, ago(i+1))
			for _, r := range pending(t, l, noon.Add(time.Hour)) {
				state := meter.Refused
				if r.Attempts > 0 || i%2 == 0 {
					state = meter.Accepted
				}
				settle(t, l, noon, []meter.Record{r}, meter.Result{State: state})
				if state == meter.Refused {
					refused <- r.UUID
				}
			}
		}
	})
	queued := 0
	for uuid := range refused {
		retries, err := Requeue(t.Context(), dir, []string{uuid}, nil, noon)
		check(t, err)
		if retries[0].Queued {
			queued++
		}
	}
	work.Wait()
	if all := records(t, l, Filter{}); len(all) != rounds+queued || queued < rounds/4 {
		t.Errorf("%d records, of which %d were queued again", len(all), queued)
	}
}

// A record is parted by its rules' shares where these are to be queued as
// different SKUs, each share once; what its rules agree on stays together.
func TestRequeueInParts(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i, name := range []string{"a", "b", "c"} {
		commit(t, l, &meter.Rule{Name: name, ProductID: product, SKU: sku, Per: 1}, ago(50), int64(i+1))
	}
	must(l.Seal(t.Context(), noon))
	refuse := func(list []meter.Record) {
		settle(t, l, noon, list, meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID"})
	}
	refuse(pending(t, l, noon))
	old := one(t, l, Filter{})
	assign := func(skus map[string]string) Assign {
		return func(r meter.Record, rule string, _ []string) (string, string) { return "p2", skus[rule] }
	}
	retry := func(uuid string, assign Assign, want map[string]int64) []meter.Record {
		t.Helper()
		retries, err := Requeue(t.Context(), dir, []string{uuid}, assign, noon)
		check(t, err)
		if len(retries[0].Reissues) != len(want) || !retries[0].Queued {
			t.Fatalf("queued as %+v, want %v", retries[0].Reissues, want)
		}
		for _, r := range retries[0].Reissues {
			if r.Quantity != want[r.SKU] || r.ProductID != "p2" || r.Window != old.Window || r.Timestamp != old.Timestamp || r.State != meter.Sealed {
				t.Errorf("%+v, want %v", r, want)
			}
		}
		return retries[0].Reissues
	}
	parts := retry(old.UUID, assign(map[string]string{"a": "s1", "b": "s2", "c": "s1"}), map[string]int64{"s1": 4, "s2": 2})
	if again, err := Requeue(t.Context(), dir, []string{old.UUID}, assign(map[string]string{"a": "s3", "b": "s3", "c": "s3"}), noon); err != nil || again[0].Queued || len(again[0].Reissues) != 2 {
		t.Errorf("queued twice: %+v, %v", again, err)
	}
	for _, part := range parts {
		a := must(l.Account(t.Context(), part.UUID))
		units := int64(0)
		for _, s := range a.Shares {
			units += s.Units
		}
		if units != part.Quantity || len(a.Contributions) != len(a.Shares) || len(a.Replaces) != 1 {
			t.Errorf("the account of %+v: %+v", part, a)
		}
	}
	if a := must(l.Account(t.Context(), old.UUID)); len(a.ReplacedBy) != 2 {
		t.Errorf("the refused record was issued again as %+v", a.ReplacedBy)
	}
	// Refused again, a part is split by its shares.
	for _, part := range parts {
		if part.SKU == "s1" {
			refuse([]meter.Record{part})
			retry(part.UUID, assign(map[string]string{"a": "s5", "b": "s6", "c": "s7"}), map[string]int64{"s5": 1, "s7": 3})
		}
	}
}
