package agent

import (
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

// watched is an agent whose clock the test sets. Its meter loop does one step
// whenever it is asked to.
type watched struct {
	*site
	agent *Agent
	end   func() // closes the agent's tailer and ledger
	clock time.Time
}

func newWatched(t *testing.T, start time.Time) *watched {
	s := newSite(t, oneRule)
	s.config.Interval = time.Minute
	w := &watched{site: s}
	w.startAt(start)
	return w
}

func (w *watched) startAt(now time.Time) {
	book := must(ledger.Open(w.t.Context(), filepath.Join(w.dir, "state")))
	a := must(New(w.t.Context(), Config{Rules: w.config, Ledger: book, Log: slog.New(&w.logged), machine: w.machine, noWatch: true})) // it delivers nothing
	w.end = sync.OnceFunc(func() { a.meter.tailer.Close(); book.Close() })
	w.t.Cleanup(w.end)
	a.meter.now = func() time.Time { return w.clock }
	w.agent = a
	w.at(now)
}

// at sets the clock and lets the meter loop do a step.
func (w *watched) at(now time.Time) {
	w.t.Helper()
	w.clock = now
	if _, err := w.agent.meter.read(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// want checks the quantities of all records in their order, by state.
func (w *watched) want(state meter.State, quantities ...int64) {
	w.t.Helper()
	got := []int64{}
	for _, r := range w.records(state) {
		got = append(got, r.Quantity)
	}
	equal := len(got) == len(quantities)
	for i := range min(len(got), len(quantities)) {
		equal = equal && got[i] == quantities[i]
	}
	if !equal {
		w.t.Errorf("at %v records of %v are %s, want %v", w.clock.Format(time.TimeOnly), got, state, quantities)
	}
}

var halfPast = time.Date(2026, 3, 14, 12, 0, 30, 0, time.UTC)

func TestClockSetBack(t *testing.T) {
	for _, back := range []time.Duration{5 * time.Second, 20 * time.Second, 5 * time.Minute, time.Hour} {
		t.Run(back.String(), func(t *testing.T) {
			t.Parallel()
			w := newWatched(t, halfPast)
			w.sent("a.log", 3)
			w.at(halfPast.Add(2 * time.Second))
			w.want(meter.Open, 3)
			now := halfPast.Add(3 * time.Second).Add(-back)
			w.at(now)
			w.want(meter.Sealed, 3)
			w.sent("a.log", 4)
			for range 10 { // commits go on, into one record
				now = now.Add(time.Second)
				w.at(now)
			}
			w.want(meter.Sealed, 3)
			w.want(meter.Open, 4)
			w.at(now.Add(time.Minute))
			w.want(meter.Open)
			if n := w.counted(sku); n != 7 {
				t.Errorf("%d are counted, want 7", n)
			}
		})
	}
}

// Nothing is written to the log any more: the loop must notice by itself, and
// not sleep until the window ends once more.
func TestClockSetBackWhileNothingIsWritten(t *testing.T) {
	for _, back := range []time.Duration{5 * time.Second, time.Hour} {
		t.Run(back.String(), func(t *testing.T) {
			t.Parallel()
			w := newWatched(t, halfPast)
			w.sent("a.log", 3)
			w.at(halfPast.Add(2 * time.Second))
			now := halfPast.Add(10 * time.Second)
			w.at(now)
			now = now.Add(-back)
			if l := w.agent.meter; !l.due(now) || !l.sealDue(now) {
				t.Error("no commit is due after the clock was set back")
			}
			w.at(now)
			w.want(meter.Sealed, 3)
			if at := w.agent.meter.wakeAt(now); at.Sub(now) > idlePause {
				t.Errorf("the loop sleeps until %v", at)
			}
			w.at(now.Add(time.Second))
			if l := w.agent.meter; l.setBack(now.Add(2*time.Second)) || !l.nextSeal.IsZero() {
				t.Error("the clock is taken for set back for ever")
			}
		})
	}
}

func TestClockSetForwardAndBack(t *testing.T) {
	t.Parallel()
	w := newWatched(t, halfPast)
	w.sent("a.log", 3)
	w.at(halfPast.Add(2 * time.Second))
	ahead := halfPast.Add(time.Hour + 3*time.Second)
	w.sent("a.log", 4)
	w.at(ahead)
	w.want(meter.Sealed, 3)
	w.want(meter.Open, 4)
	again := halfPast.Add(6 * time.Second) // in the first window, which is sealed
	w.sent("a.log", 5)
	w.at(again)
	w.at(again.Add(2 * time.Second))
	w.sent("a.log", 6)
	w.at(again.Add(4 * time.Second))
	w.want(meter.Sealed, 3, 5, 4)
	w.want(meter.Open, 6)
	w.at(again.Add(time.Minute))
	w.want(meter.Sealed, 3, 5, 6, 4)
}

// The clock was set back while no agent ran.
func TestClockSetBackBetweenRuns(t *testing.T) {
	t.Parallel()
	w := newWatched(t, halfPast)
	w.sent("a.log", 3)
	w.at(halfPast.Add(2 * time.Second))
	w.want(meter.Open, 3)
	w.end()
	w.startAt(halfPast.Add(-time.Hour))
	w.want(meter.Sealed, 3)
}
