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
		retries, err := Requeue(t.Context(), dir, uuids, noon)
		check(t, err)
		heir := retries[0].Heir
		if retries[0].Queued != beside || retries[0].State != meter.Refused || len(heir) != 36 || retries[0].HeirState != meter.Sealed {
			t.Errorf("refused: %+v", retries[0])
		}
		for i, state := range []meter.State{meter.Accepted, meter.Sealed} {
			if r := retries[i+1]; r.Queued || r.Heir != "" || r.State != state {
				t.Errorf("%s: %+v", state, r)
			}
		}
		r, err := OpenReader(dir)
		check(t, err)
		defer r.Close()
		if found, state, err := r.Heir(t.Context(), uuids[0]); err != nil || found != heir || state != meter.Sealed {
			t.Errorf("its heir is %s, %s, %v; want %s", found, state, err, heir)
		}
	}
	l = open(t, dir)
	due := pending(t, l, noon)
	want := list[0]
	want.UUID, want.Attempts = due[0].UUID, 0
	if len(due) != 2 || due[0] != want {
		t.Errorf("due is %+v, want %+v first", due, want)
	}
	if all := records(t, l, Filter{State: []meter.State{meter.Refused}, Childless: true}); len(all) != 0 {
		t.Errorf("still to be queued again: %+v", all)
	}
	// Refused once more, the heir can be queued, and the first one cannot.
	settle(t, l, noon, due[:1], meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID", MaybeStored: true})
	if r := one(t, l, Filter{UUID: due[0].UUID[:8]}); !r.MaybeStored {
		t.Errorf("it is forgotten that %+v may be stored", r)
	}
	retries, err := Requeue(t.Context(), dir, []string{uuids[0], due[0].UUID}, noon)
	check(t, err)
	if retries[0].Queued || retries[0].HeirState != meter.Refused || !retries[1].Queued {
		t.Errorf("%+v", retries)
	}
}

func TestRequeueUnknown(t *testing.T) {
	dir := t.TempDir()
	if _, err := Requeue(t.Context(), dir, nil, noon); !errors.Is(err, ErrNone) {
		t.Errorf("no ledger: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, FileName)); err == nil {
		t.Error("a ledger was made")
	}
	l := open(t, dir)
	sealed(t, l, ago(50))
	list := pending(t, l, noon)
	settle(t, l, noon, list, meter.Result{State: meter.Refused})
	if _, err := Requeue(t.Context(), dir, []string{list[0].UUID, "6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69"}, noon); err == nil {
		t.Error("an unknown uuid passes")
	}
	if heir, _, _ := l.Heir(t.Context(), list[0].UUID); heir != "" {
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
		retries, err := Requeue(t.Context(), dir, []string{uuid}, noon)
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
