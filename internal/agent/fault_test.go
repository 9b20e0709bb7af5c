package agent

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/internal/sender"
)

// While the ledger cannot be written nothing is read any more, and nothing is
// lost.
func TestLedgerFailsForAWhile(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.write("a.log", "mail queued\n")
	s.once()
	s.alter(breakCommits)
	s.sent("a.log", 3)
	defer s.run()()
	until(t, "the failure is reported", func() bool { return s.logged.has("the ledger cannot be written") })
	s.sent("a.log", 4)
	s.sent("b.log", 5)
	if n := s.counted(sku); n != 0 {
		t.Errorf("%d were counted on a ledger that cannot be written", n)
	}
	s.alter(repairCommits)
	until(t, "its end is reported", func() bool { return s.logged.has("reading goes on") })
	until(t, "all is billed", func() bool { return s.billed(sku) == 12 })
}

// An answer that could not be noted is asked for again: the API knows the
// records by their uuids.
func TestSettlementFailsForAWhile(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.leaveSealed(3)
	s.alter(breakSettles)
	defer s.run()()
	until(t, "the failure is reported", func() bool { return s.logged.has("the ledger cannot be used for deliveries") })
	s.wantBilled(sku, 3)
	if accepted := s.records(meter.Accepted); len(accepted) != 0 {
		t.Errorf("accepted are %+v", accepted)
	}
	s.alter(mendSettles)
	until(t, "the answer is noted", func() bool { return len(s.records(meter.Accepted)) > 0 && len(s.records(meter.Sealed)) == 0 })
	s.wantBilled(sku, 3)
}

// The agent ends when it should, whatever the API does at the time, and the
// next run bills what that one did not, and no more.
func TestEndWhileTheAPIFails(t *testing.T) {
	for _, fault := range []string{"status=401", "status=503,retry-after=5m", "drop-before", "drop-after", "hang-before", "hang-after", "html", "omit", "status-after=500"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, oneRule)
			s.leaveSealed(3)
			s.box.SetFaults(must(sandbox.ParseFault(fault)))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wait := s.runUntil(ctx)
			until(t, "a delivery meets the fault", func() bool { return s.box.Stats().Faults > 0 })
			cancel()
			wait()
			s.box.SetFaults()
			s.alter(`UPDATE records SET not_before = ''`) // as if it were later
			if summary := s.once(); !summary.AllAccepted() {
				t.Errorf("%+v", summary)
			}
			s.wantBilled(sku, 3)
		})
	}
}

// Answers that get lost lead to repetitions, and those to nothing.
func TestDroppedAnswers(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.box.SetFaults(sandbox.Fault{Kind: sandbox.FaultDropAfter, Every: 2, Times: 1}) // the first request only validates
	s.leaveSealed(3)
	defer s.run()()
	until(t, "the records are settled", func() bool {
		return len(s.records(meter.Accepted)) > 0 && len(s.records(meter.Sealed, meter.Open)) == 0
	})
	s.wantBilled(sku, 3)
	if n := s.box.Stats().Writes; n < 2 {
		t.Errorf("%d requests came; the first was to fail", n)
	}
}

// Records that the API may have stored keep their uuid over a restart.
func TestRestartBetweenDeliveryAndAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.leaveSealed(3)
	s.box.SetFaults(sandbox.Fault{Kind: sandbox.FaultHangAfter, Every: 2}) // the first request only validates
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wait := s.runUntil(ctx)
	until(t, "the API has stored it", func() bool { return s.billed(sku) == 3 })
	cancel()
	wait()
	if left := s.records(meter.Sealed); len(left) == 0 || !left[0].MaybeStored || left[0].Attempts != 1 {
		t.Errorf("left are %+v", left)
	}
	s.box.SetFaults()
	s.alter(`UPDATE records SET not_before = ''`)
	s.once()
	s.wantBilled(sku, 3)
	if left := s.records(meter.Sealed); len(left) != 0 {
		t.Errorf("still unsettled are %+v", left)
	}
}

// An answer that comes as the run ends is noted anyway.
func TestAnswerAtTheEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.leaveSealed(3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.http = roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := s.box.Transport().RoundTrip(r.WithContext(t.Context()))
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body = io.NopCloser(bytes.NewReader(body))
		if s.billed(sku) > 0 {
			cancel()
		}
		return response, err
	})
	s.runUntil(ctx)()
	if accepted := s.records(meter.Accepted); len(accepted) != 1 {
		t.Errorf("accepted are %+v", accepted)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The whole way over a network: tokens of the metadata service, both
// transports.
func TestOverTheNetwork(t *testing.T) {
	for _, transport := range []string{sender.REST, sender.GRPC} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, oneRule)
			s.box = sandbox.New(sandbox.Config{}) // which wants its own tokens
			ctx, cancel := context.WithCancel(context.Background())
			url, wait, err := s.box.Start(ctx)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				cancel()
				if err := wait(); err != nil {
					t.Error(err)
				}
			})
			s.remote = func() sender.Config {
				return sender.Config{
					Endpoint: url, Transport: transport, Dial: loopback, Log: quiet,
					Tokens: (&sender.Metadata{Addr: strings.TrimPrefix(url, "http://"), Log: quiet}).Tokens(),
				}
			}
			s.sent("a.log", 3)
			if summary := s.once(); !summary.AllAccepted() {
				t.Errorf("%+v", summary)
			}
			s.wantBilled(sku, 3)
		})
	}
}

// The ledger takes the counts of a window that has passed, and fails before that
// is sealed; nothing more is written to the log.
func TestSealThatWasBrokenOffIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, halfPast)
		w.sent("a.log", 3)
		l := w.agent.meter
		block, ok := l.tailer.Next(halfPast.Add(2 * time.Second))
		if !ok {
			t.Fatal("the lines are not read")
		}
		l.matcher.Match(block, l.batch.Tally)
		w.clock = halfPast.Add(2 * time.Minute)
		w.alter("CREATE TRIGGER failing BEFORE UPDATE OF sealed_at ON records BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.commit(ctx); err == nil {
			t.Fatal("the seal did not fail")
		}
		w.want(meter.Open, 3)
		w.alter("DROP TRIGGER failing")
		w.at(w.clock.Add(time.Second))
		w.want(meter.Sealed, 3)
	})
}
