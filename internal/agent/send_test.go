package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/internal/sender"
)

func TestBatches(t *testing.T) {
	of := func(products string) (records []meter.Record) {
		for _, product := range products {
			records = append(records, meter.Record{ProductID: string(product)})
		}
		return records
	}
	for products, want := range map[string]string{
		"a":                                   "a",
		"aaa":                                 "aaa",
		"abaab":                               "aaa bb",
		strings.Repeat("a", 25):               strings.Repeat("a", 25),
		strings.Repeat("a", 51):               strings.Repeat("a", 25) + " " + strings.Repeat("a", 25) + " a",
		strings.Repeat("ab", 26):              strings.Repeat("a", 25) + " " + strings.Repeat("b", 25) + " a b",
		"b" + strings.Repeat("a", 26) + "bcb": "bbb " + strings.Repeat("a", 25) + " a c",
	} {
		var got []string
		for _, batch := range inBatches(of(products)) {
			text := ""
			for _, r := range batch.records {
				text += r.ProductID
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", products, text, want)
		}
	}
}

// sending is a send loop with a ledger and an API, on a network in memory,
// where time is at the test's disposal.
type sending struct {
	*site
	book  *ledger.Ledger
	front *front
	loop  *sendLoop
	end   func()
	age   int // of the oldest window of useOld, in minutes
}

func newSending(t *testing.T, transport string, api sandbox.Config, with ...func(*sendLoop)) *sending {
	api.AnyToken = true
	s := &sending{site: &site{t: t, dir: memoryDir(t), box: sandbox.New(api)}}
	book, err := ledger.Open(t.Context(), filepath.Join(s.dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	s.book = book
	network := make(pipes)
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	s.front = newFront(s.box, 1)
	s.front.serve(t, network)
	deliver := must(sender.New(sender.Config{
		Endpoint: "http://127.0.0.1", Transport: transport, Timeout: 30 * time.Second, Tokens: token("t1.test"), Dial: network.dial, Log: quiet,
	}))
	s.loop = newSendLoop(Config{Ledger: book, Sender: deliver, Rules: &config.Config{Retention: 24 * time.Hour}, Health: monitor.NewHealth(), Log: slog.New(&s.logged)})
	for _, change := range with {
		change(s.loop)
	}
	parts.Go(func() { s.loop.run(ctx) })
	s.end = func() {
		stop()
		parts.Wait()
		if err := errors.Join(deliver.Close(), book.Close()); err != nil {
			t.Error(err)
		}
		s.agree()
	}
	return s
}

// pipes is a network in memory.
type pipes chan net.Conn

func (p pipes) dial(ctx context.Context, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// use counts a unit of each of n SKUs in the minute that begins, and seals it
// when it has passed.
func (s *sending) use(n int) {
	s.t.Helper()
	var skus []string
	for i := range n {
		skus = append(skus, fmt.Sprint("sku-", i))
	}
	s.useSKU(skus...)
}

func (s *sending) useSKU(skus ...string) {
	s.t.Helper()
	var rules []*meter.Rule
	for _, sku := range skus {
		rules = append(rules, &meter.Rule{Name: "rule-" + sku, ProductID: product, SKU: sku, Per: 1})
	}
	s.useRules(rules)
}

func (s *sending) useRules(rules []*meter.Rule) {
	s.t.Helper()
	window := meter.WindowAt(time.Now(), time.Minute)
	var tally meter.Tally
	for _, rule := range rules {
		tally.Add(meter.CountKey{Rule: rule, Window: window, Generation: 1}, 1, 0, 10, window.Start)
	}
	err := s.book.Commit(s.t.Context(), ledger.Batch{Tally: &tally}, time.Now())
	time.Sleep(time.Until(window.EndTime()))
	_, sealing := s.book.Seal(s.t.Context(), time.Now())
	if err := errors.Join(err, sealing); err != nil {
		s.t.Fatal(err)
	}
}

// unsettled returns the number of sealed records.
func (s *sending) unsettled() int {
	_, sealed, err := s.book.Unsettled(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return sealed
}

// drained returns how long it takes until nothing is left to deliver.
func (s *sending) drained(most time.Duration) time.Duration {
	s.t.Helper()
	start := time.Now()
	for s.unsettled() > 0 {
		if time.Since(start) > most {
			s.t.Fatalf("%d records are unsettled after %v", s.unsettled(), most)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(start)
}

// Every product has requests of its own, few at a time, and one whose requests
// all fail holds back no other.
func TestProductsApart(t *testing.T) {
	for _, transport := range []string{sender.REST, sender.GRPC} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSending(t, transport, sandbox.Config{Latency: 300 * time.Millisecond})
				var rules []*meter.Rule
				for i := range 3 * maxWidth {
					rules = append(rules, &meter.Rule{Name: fmt.Sprint("rule-", i), ProductID: fmt.Sprint("product-", i), SKU: fmt.Sprint("sku-", i), Per: 1})
				}
				s.front.set(ills{poison: "product-7", fails: 403})
				const minutes = 10
				for minute := range minutes {
					s.useRules(rules)
					time.Sleep(45 * time.Second)
					if n, want := len(s.records(meter.Accepted)), (minute+1)*(len(rules)-1); n < want {
						t.Errorf("%d records are accepted 45s after minute %d, want %d", n, minute, want)
					}
				}
				s.front.set(ills{})
				s.drained(time.Minute)
				s.end()
				if n := len(s.records(meter.Accepted)); n != minutes*len(rules) {
					t.Errorf("%d records are accepted, want %d", n, minutes*len(rules))
				}
				if n := s.box.Stats().AtATime; n > maxWidth {
					t.Errorf("%d requests at a time", n)
				}
			})
		})
	}
}

// An outage of fifty minutes, whatever it looks like, is made up for within a
// minute of its end: every record in time, once, by few requests at a time, the
// oldest first.
func TestOutageOfFiftyMinutes(t *testing.T) {
	if raceEnabled {
		t.Skip("SQLite is too slow under the race detector for so many steps")
	}
	const skus, most = 100, 3 * time.Minute // what one step sends is as much as a minute's usage
	for _, transport := range []string{sender.REST, sender.GRPC} {
		for _, fault := range []string{"status=503,retry-after=20s", "drop-before", "drop-after", "hang-after", "status=403"} {
			t.Run(transport+"/"+fault, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					const outage = 50 * time.Minute
					s := newSending(t, transport, sandbox.Config{
						Latency: 300 * time.Millisecond, Faults: []sandbox.Fault{must(sandbox.ParseFault(fault + ",after=2m,for=50m"))},
					})
					start := time.Now()
					s.use(skus)
					time.Sleep(time.Until(start.Add(2 * time.Minute))) // delivering has begun
					over := time.Now().Add(outage)
					minutes := 1
					for ; time.Until(over) > 0; minutes++ {
						s.use(skus)
					}
					t.Logf("%d records are delivered in %v", skus*(minutes-1), s.drained(time.Minute))
					s.use(skus)
					if took := s.drained(10 * time.Second); took > 5*time.Second {
						t.Errorf("a minute after it fresh usage takes %v", took)
					}
					s.end()
					if n := len(s.records(meter.Accepted)); n != skus*(minutes+1) {
						t.Errorf("%d records are accepted, want %d", n, skus*(minutes+1))
					}
					if n := s.box.Stats().AtATime; n > maxWidth {
						t.Errorf("%d requests at a time", n)
					}
					if late := outOfOrder(s.box.Records()); late > most {
						t.Errorf("records are stored %v behind younger ones", late)
					}
				})
			})
		}
	}
}

// outOfOrder returns the most by which a record is older than one that was stored
// before it.
func outOfOrder(stored []sandbox.Stored) (most time.Duration) {
	var latest time.Time
	for _, r := range stored {
		most = max(most, latest.Sub(r.Timestamp))
		if r.Timestamp.After(latest) {
			latest = r.Timestamp
		}
	}
	return most
}

// Whatever Date an answer has, whether or not validate_only is answered, and
// whatever else the API says that is no verdict: usage is delivered soon, and
// once.
func TestNothingOutsideStopsDelivery(t *testing.T) {
	dates := func(off time.Duration) ills { return ills{dates: []time.Duration{off}, always: true} }
	for name, test := range map[string]struct {
		ills ills
		most time.Duration
	}{
		"twenty years behind":           {dates(-20 * 365 * 24 * time.Hour), 5 * time.Second},
		"two hours behind":              {dates(-2 * time.Hour), 5 * time.Second},
		"almost two minutes behind":     {dates(-115 * time.Second), 70 * time.Second},
		"fifty minutes ahead":           {dates(50 * time.Minute), 5 * time.Second},
		"three hours ahead":             {dates(3 * time.Hour), 5 * time.Second},
		"no dates":                      {ills{noDate: true}, 5 * time.Second},
		"validate_only is not answered": {ills{silent: true, noDate: true}, 70 * time.Second},
	} {
		for _, transport := range []string{sender.REST, sender.GRPC} {
			t.Run(name+"/"+transport, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSending(t, transport, sandbox.Config{Latency: 50 * time.Millisecond, BurnRejected: true})
					s.front.set(test.ills)
					for range 5 {
						s.use(3)
						s.drained(test.most)
					}
					s.end()
					if n := len(s.records(meter.Accepted)); n != 15 {
						t.Errorf("%d records are accepted, want 15", n)
					}
				})
			})
		}
	}
}

// If the API answers a delivery but not the question about its old records, the delivery
// has not failed. The old records go without an answer after a minute.
func TestUnansweredQuestionIsNoFailedDelivery(t *testing.T) {
	for _, fails := range []ills{{silent: true}, {refusesQuestions: true}} {
		synctest.Test(t, func(t *testing.T) {
			s := newSending(t, sender.REST, sandbox.Config{})
			s.use(1)
			s.drained(5 * time.Second) // the API's clock is known now
			s.front.set(fails)
			sealing := meter.WindowAt(time.Now(), time.Minute).EndTime()
			s.countAt(sealing.Add(-59*time.Minute-20*time.Second), 2) // sealed with the fresh records
			s.use(2)
			for start := time.Now(); len(s.records(meter.Accepted)) < 3; time.Sleep(20 * time.Millisecond) {
				if time.Since(start) > 35*time.Second {
					t.Fatal("the fresh records are not delivered")
				}
			}
			if n := s.unsettled(); n != 2 {
				t.Errorf("%d records wait, want 2", n)
			}
			for _, p := range s.loop.health.Problems() {
				if p.Code == deliveryFailing {
					t.Errorf("the fresh records are delivered: %+v", p)
				}
			}
			s.drained(2 * time.Minute)
			s.end()
		})
	}
}

// A wrong Date with a verdict that accepts nothing is believed. What it would
// hold back is asked about, and goes as soon as the API accepts it. If nobody
// answers the question, it goes after a minute.
func TestHeldForAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSending(t, sender.REST, sandbox.Config{Products: map[string][]string{product: {"sku-1"}}})
		s.front.set(ills{dates: []time.Duration{-2 * time.Hour}, always: true})
		s.use(1) // sku-0 is refused, with a Date two hours behind
		s.drained(10 * time.Second)
		s.front.set(ills{})
		s.useSKU("sku-1")
		s.drained(2 * time.Second)
		s.front.set(ills{dates: []time.Duration{-2 * time.Hour}, always: true})
		s.useSKU("sku-0")
		s.drained(10 * time.Second)
		s.front.set(ills{silent: true})
		s.useSKU("sku-1")
		if took := s.drained(100 * time.Second); took < time.Minute {
			t.Errorf("it waited for %v: the clock is not what held it", took)
		}
		s.end()
	})
}

// An answer that mentions no record is a failure at once, with its words.
func TestAnswerWithoutVerdicts(t *testing.T) {
	for _, transport := range []string{sender.REST, sender.GRPC} {
		synctest.Test(t, func(t *testing.T) {
			s := newSending(t, transport, sandbox.Config{})
			s.front.set(ills{nothing: true})
			s.use(1)
			time.Sleep(5 * time.Second)
			problems := s.loop.health.Problems()
			if len(problems) != 1 || problems[0].Code != deliveryFailing || !strings.Contains(problems[0].Message, "mentions no record") {
				t.Errorf("%s: %+v", transport, problems)
			}
			if transport == sender.REST && !strings.Contains(problems[0].Message, "billing is suspended") {
				t.Errorf("%+v", problems)
			}
			s.front.set(ills{})
			s.drained(30 * time.Second)
			time.Sleep(10 * time.Second)
			if problems := s.loop.health.Problems(); len(problems) != 0 {
				t.Errorf("%s: after it %+v", transport, problems)
			}
			s.end()
		})
	}
}

// An SKU that fails every request that holds it, in whatever way, holds back no
// other for long, and is delivered itself soon after that ends.
func TestPoisonHoldsBackNoOther(t *testing.T) {
	for _, how := range []int{0, 1, 403, 404, 429, 500, 503} {
		for _, transport := range []string{sender.REST, sender.GRPC} {
			t.Run(fmt.Sprint(how, "/", transport), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSending(t, transport, sandbox.Config{Latency: 50 * time.Millisecond})
					s.front.set(ills{poison: "sku-0", fails: how})
					stored := func() (n int) {
						for _, r := range s.box.Records() {
							if r.SKU == "sku-0" {
								t.Error("poison is stored")
							}
							n++
						}
						return n
					}
					for minute := 1; minute <= 8; minute++ {
						s.use(30)
						if minute < 5 {
							continue
						}
						time.Sleep(45 * time.Second)
						if n := stored(); n != 29*minute {
							t.Fatalf("after %d minutes %d records of the others are stored, want %d", minute, n, 29*minute)
						}
					}
					problems := s.loop.health.Problems()
					if len(problems) != 1 || problems[0].Code != deliveryFailing || problems[0].Subject != "sku-0" {
						t.Errorf("problems: %+v", problems)
					}
					s.front.set(ills{})
					most := 30 * time.Second
					if how == 1 { // a request that hangs now is given up after as long
						most *= 2
					}
					s.drained(most)
					time.Sleep(time.Second)
					if problems := s.loop.health.Problems(); len(problems) != 0 {
						t.Errorf("problems after it: %+v", problems)
					}
					s.end()
					if n := len(s.records(meter.Accepted)); n != 240 {
						t.Errorf("%d records are accepted, want 240", n)
					}
				})
			})
		}
	}
}

// Trouble of the ledger and of pruning is not trouble of delivery, and each ends
// with its own success, whether or not there is something to deliver.
func TestTroublesAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSending(t, sender.REST, sandbox.Config{})
		want := func(when string, codes ...string) {
			t.Helper()
			var got []string
			for _, p := range s.loop.health.Problems() {
				got = append(got, p.Code)
			}
			if !slices.Equal(got, codes) {
				t.Errorf("%s: problems %v, want %v", when, got, codes)
			}
		}
		s.useOld(1)
		s.drained(10 * time.Second)
		s.alter("UPDATE records SET settled_at = '1999-01-01T00:00:00.000Z'")
		s.alter("CREATE TRIGGER broken BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
		time.Sleep(pruneEvery)
		want("pruning fails", pruningFailing)
		s.use(1)
		s.drained(10 * time.Second)
		want("pruning fails, and deliveries do not", pruningFailing)
		s.alter("DROP TRIGGER broken")
		time.Sleep(2 * pruneAgain)
		want("nothing is to be delivered, and pruning works")

		s.alter(breakSettles)
		s.use(1)
		time.Sleep(10 * time.Second)
		want("the results cannot be kept", ledgerFailing)
		s.alter(mendSettles)
		s.drained(30 * time.Second)
		time.Sleep(10 * time.Second)
		want("the results can be kept again")

		s.box.SetFaults(sandbox.Fault{Kind: sandbox.FaultStatus, Status: 503})
		s.use(1)
		time.Sleep(10 * time.Second)
		want("the API fails", deliveryFailing)
		s.alter("UPDATE records SET state = 'foreign' WHERE state = 'sealed'")
		time.Sleep(30 * time.Second)
		want("nothing is left to deliver")
		s.end()
	})
}

// What is not accepted is summed in the log.
func TestUnacceptedIsSummed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSending(t, sender.REST, sandbox.Config{})
		for range 40 {
			s.useOld(50)
		}
		s.drained(time.Minute)
		s.end()
		lines := 0
		for _, m := range s.logged.messages {
			if strings.Contains(m, "usage was not accepted") {
				lines++
			}
		}
		if n := len(s.records(meter.Expired)); n != 2000 || lines > 3 {
			t.Errorf("%d records are expired, and the log has %d lines of them", n, lines)
		}
	})
}

// useOld counts and seals a unit of each of n SKUs in a window of two hours ago.
func (s *sending) useOld(n int) {
	s.t.Helper()
	s.age++
	s.useAt(time.Now().Add(-2*time.Hour-time.Duration(s.age)*time.Minute), n)
}

// useAt counts and seals a unit of each of n SKUs in the window of this time.
func (s *sending) useAt(at time.Time, n int) {
	s.t.Helper()
	s.countAt(at, n)
	if _, err := s.book.Seal(s.t.Context(), time.Now()); err != nil {
		s.t.Fatal(err)
	}
}

// countAt counts a unit of each of n SKUs in the window of this time.
func (s *sending) countAt(at time.Time, n int) {
	s.t.Helper()
	window := meter.WindowAt(at, time.Minute)
	var tally meter.Tally
	for i := range n {
		rule := &meter.Rule{Name: fmt.Sprint("rule-", i), ProductID: product, SKU: fmt.Sprint("sku-", i), Per: 1}
		tally.Add(meter.CountKey{Rule: rule, Window: window, Generation: 1}, 1, 0, 10, at.Unix())
	}
	if err := s.book.Commit(s.t.Context(), ledger.Batch{Tally: &tally}, time.Now()); err != nil {
		s.t.Fatal(err)
	}
}
