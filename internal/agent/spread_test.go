package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/pace"
	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/internal/sender"
)

// spreadAs has a loop deliver as the agent of a fleet with this identity.
func spreadAs(identity string) func(*sendLoop) {
	return func(l *sendLoop) { l.pace = pace.New(pace.Config{Interval: time.Minute, Identity: identity}) }
}

func TestDeliveriesWaitForTheAgentsMoment(t *testing.T) {
	for _, identity := range []string{"machine-1", "machine-2", "machine-3"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSending(t, sender.REST, sandbox.Config{}, spreadAs(identity))
			want := pace.Offset(identity, time.Minute)
			for range 3 {
				s.use(2)
				if took := s.drained(time.Minute); took < want || took > want+4*time.Second {
					t.Errorf("%s delivers %v after the window, want %v", identity, took, want)
				}
			}
			s.end()
		})
	}
}

// After a long outage the agents of a fleet send what was held back one request
// at a time, without a burst, and nothing expires.
func TestFleetComesBackAtItsPace(t *testing.T) {
	if raceEnabled {
		t.Skip("SQLite is too slow under the race detector for so many steps")
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSending(t, sender.REST, sandbox.Config{
			Faults: []sandbox.Fault{must(sandbox.ParseFault("status=503,after=1m,for=50m"))},
		}, spreadAs("machine-1"))
		start := time.Now()
		for time.Since(start) < 51*time.Minute {
			s.use(3)
		}
		failed := s.box.Stats().Requests
		s.drained(5 * time.Minute)
		requests := s.box.Stats().Requests - failed
		if least := 3 * 50 / meter.MaxRecords; requests < least || requests > least+4 {
			t.Errorf("%d requests, want about %d", requests, least)
		}
		stored := s.box.Records()
		const most = meter.MaxRecords + maxWidth - 1 // a full request, and the records that are tried alone beside it
		for i, r := range stored {
			if i < most {
				continue
			}
			if gap := r.At.Sub(stored[i-most].At); gap < 20*time.Second {
				t.Fatalf("%d records are stored within %v", most+1, gap)
			}
		}
		s.end()
		if n := len(s.records(meter.Accepted)); n != len(s.records()) {
			t.Errorf("%d of %d records are accepted", n, len(s.records()))
		}
	})
}

// A service spreads its deliveries by the machine and the ledger. What somebody
// waits for does not wait.
func TestWhoSpreads(t *testing.T) {
	s := newSite(t, oneRule)
	book, err := ledger.Open(t.Context(), filepath.Join(s.dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	deliver := must(sender.New(s.delivery()))
	defer deliver.Close()
	id := filepath.Join(s.dir, "machine-id")
	moment := func(machine string, spread bool) time.Duration {
		if err := os.WriteFile(id, []byte(machine), 0o600); err != nil {
			t.Fatal(err)
		}
		s.config.Interval = 30 * time.Minute
		a := must(New(t.Context(), Config{Rules: s.config, Ledger: book, Sender: deliver, MachineIDFile: id, Spread: spread, Log: slog.New(&s.logged)}))
		defer a.Close()
		return a.send.pace.Wait(time.Unix(0, 0), time.Hour)
	}
	first := moment("one", true)
	if first == 0 || first != moment("one", true) || first == moment("two", true) {
		t.Errorf("the machine waits %v, then %v; another %v", first, moment("one", true), moment("two", true))
	}
	if wait := moment("one", false); wait != 0 {
		t.Errorf("an agent that spreads nothing waits %v", wait)
	}
	s.configure(oneRule)
	s.sent("a.log", 1)
	a := must(New(t.Context(), Config{Rules: s.config, Ledger: book, Sender: deliver, MachineIDFile: id, Spread: true, Log: slog.New(&s.logged)}))
	if _, err := a.Once(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if wait := a.send.pace.Wait(time.Unix(0, 0), time.Hour); wait != 0 {
		t.Errorf("once waits %v", wait)
	}
	s.wantBilled(sku, 1)
}
