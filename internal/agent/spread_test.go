package agent

import (
	"fmt"
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

// In a long outage an agent of a fleet tries twice a minute, whatever it has to
// deliver. After the outage it sends what was held back one request at a time, without
// a burst, and nothing expires.
func TestFleetComesBackAtItsPace(t *testing.T) {
	if raceEnabled {
		t.Skip("SQLite is too slow under the race detector for so many steps")
	}
	const outage = 50 * time.Minute
	for _, transport := range []string{sender.REST, sender.GRPC} {
		for _, skus := range []int{1, 3, 30} {
			t.Run(fmt.Sprint(transport, "/", skus), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSending(t, transport, sandbox.Config{}, spreadAs("machine-1"))
					s.use(skus)
					time.Sleep(70 * time.Second)
					s.box.SetFaults(sandbox.Fault{Kind: sandbox.FaultStatus, Status: 503})
					before := s.box.Stats().Requests
					for start := time.Now(); time.Since(start) < outage; {
						s.use(skus)
					}
					if n, most := s.box.Stats().Requests-before, int(outage/(28*time.Second)); n > most || n < most/2 {
						t.Errorf("%d attempts in %v, want at most %d", n, outage, most)
					}
					s.box.SetFaults()
					back, waiting := time.Now(), s.unsettled()
					s.drained(15 * time.Minute)
					t.Logf("%d records are delivered in %v", waiting, time.Since(back))
					var at []time.Time // of the requests after it
					for _, r := range s.box.Records() {
						if n := len(at); r.At.After(back) && (n == 0 || r.At.After(at[n-1])) {
							at = append(at, r.At)
						}
					}
					if len(at) == 0 || at[0].Sub(back) > 30*time.Second {
						t.Fatalf("it delivers again %v after the outage", at)
					}
					least := 60 * time.Second * 2 / 7 / time.Duration((skus+meter.MaxRecords-1)/meter.MaxRecords)
					for i := 2; i < len(at); i++ { // before the second a record may be tried alone
						if gap := at[i].Sub(at[i-1]); gap < least {
							t.Errorf("request %d goes %v after the one before, want at least %v", i, gap, least)
						}
					}
					s.end()
					if n := len(s.records(meter.Accepted)); n != len(s.records()) {
						t.Errorf("%d of %d records are accepted", n, len(s.records()))
					}
				})
			})
		}
	}
}

// An agent of a fleet delivers again within half a minute of the end of any short
// fault, whenever that begins.
func TestFleetsAgentAfterShortFaults(t *testing.T) {
	for _, transport := range []string{sender.REST, sender.GRPC} {
		for _, fault := range []time.Duration{time.Second, 20 * time.Second, 55 * time.Second, 4 * time.Minute} {
			t.Run(fmt.Sprint(transport, "/", fault), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSending(t, transport, sandbox.Config{Latency: 50 * time.Millisecond}, spreadAs("machine-1"))
					for i := range 10 {
						s.use(2)
						time.Sleep(pace.Offset("machine-1", time.Minute) - time.Duration(i)*100*time.Millisecond)
						s.box.SetFaults(sandbox.Fault{Kind: sandbox.FaultStatus, Status: 503})
						time.Sleep(fault)
						s.box.SetFaults()
						if took := s.drained(time.Minute); took > 30*time.Second {
							t.Errorf("fault %d: it takes %v", i, took)
						}
					}
					s.end()
				})
			})
		}
	}
}

// If an SKU fails the requests of a fleet's agent, the other SKUs' records go without it
// a minute after the first failure. The poison may be any SKU, and fail in any way.
func TestPoisonInAFleet(t *testing.T) {
	for _, test := range []struct {
		skus, poison, fails int
		most                time.Duration // from the first request on
	}{
		{2, 0, 503, 62 * time.Second},
		{2, 1, 403, 62 * time.Second},
		{5, 2, 0, 62 * time.Second},
		{5, 4, 429, 62 * time.Second},
		{30, 0, 500, 65 * time.Second},
		{30, 29, 503, 62 * time.Second},
		{5, 0, 1, 155 * time.Second}, // five questions and requests hang for 30 s
	} {
		for _, transport := range []string{sender.REST, sender.GRPC} {
			t.Run(fmt.Sprintf("%d of %d/%d/%s", test.poison, test.skus, test.fails, transport), func(t *testing.T) {
				if raceEnabled && test.skus > 5 {
					t.Skip("SQLite is too slow under the race detector for so many records")
				}
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSending(t, transport, sandbox.Config{Latency: 50 * time.Millisecond}, spreadAs("machine-1"))
					s.front.set(ills{poison: fmt.Sprintf("sku-%d", test.poison), fails: test.fails})
					s.use(test.skus)
					first := time.Now().Add(pace.Offset("machine-1", time.Minute))
					time.Sleep(time.Until(first.Add(test.most)))
					if n := len(s.box.Records()); n < test.skus-1 {
						t.Errorf("after %v %d records of the others are stored, want %d", test.most, n, test.skus-1)
					}
					for minute := 3; minute <= 8; minute++ {
						s.use(test.skus)
						if minute < 6 {
							continue
						}
						time.Sleep(59 * time.Second)
						if n, want := len(s.box.Records()), (test.skus-1)*(minute-1); n != want {
							t.Errorf("after %d minutes %d records of the others are stored, want %d", minute, n, want)
						}
						time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
					}
					s.front.set(ills{})
					s.drained(3 * time.Minute)
					s.end()
				})
			})
		}
	}
}

// If questions with validate_only are not answered, an agent of a fleet delivers without
// an answer after a minute.
func TestFleetsAgentWithoutAnswersToQuestions(t *testing.T) {
	for _, transport := range []string{sender.REST, sender.GRPC} {
		synctest.Test(t, func(t *testing.T) {
			s := newSending(t, transport, sandbox.Config{Latency: 50 * time.Millisecond}, spreadAs("machine-1"))
			s.front.set(ills{refusesQuestions: true, noDate: true})
			s.use(2)
			time.Sleep(pace.Offset("machine-1", time.Minute) + 61*time.Second)
			if n := len(s.box.Records()); n != 2 {
				t.Errorf("%s: %d records are stored after a minute, want 2", transport, n)
			}
			s.front.set(ills{})
			s.drained(time.Minute)
			s.end()
		})
	}
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
		return a.send.pace.Wait(time.Unix(0, 0), time.Unix(0, 0), time.Hour)
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
	if wait := a.send.pace.Wait(time.Unix(0, 0), time.Unix(0, 0), time.Hour); wait != 0 {
		t.Errorf("once waits %v", wait)
	}
	s.wantBilled(sku, 1)
}
