package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
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
		for _, batch := range batches(of(products)) {
			text := ""
			for _, r := range batch {
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
	book *ledger.Ledger
	loop *sendLoop
	end  func()
}

func newSending(t *testing.T, transport string, api sandbox.Config) *sending {
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
	parts.Go(func() { s.box.Serve(ctx, network) })
	deliver := must(sender.New(sender.Config{
		Endpoint: "http://127.0.0.1", Transport: transport, Timeout: 30 * time.Second, Tokens: token("t1.test"), Dial: network.dial, Log: quiet,
	}))
	s.loop = newSendLoop(Config{Ledger: book, Sender: deliver, Rules: &config.Config{Retention: 24 * time.Hour}, Vitals: monitor.NewVitals(), Log: slog.New(&s.logged)})
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
	window := meter.WindowAt(time.Now(), time.Minute)
	var tally meter.Tally
	for i := range n {
		rule := &meter.Rule{Name: fmt.Sprint("rule-", i), ProductID: product, SKU: fmt.Sprint("sku-", i), Per: 1}
		tally.Add(meter.CountKey{Rule: rule, Window: window, Generation: 1}, 1, 0, 10)
	}
	err := s.book.Commit(s.t.Context(), ledger.Batch{Tally: &tally}, time.Now())
	time.Sleep(time.Until(window.EndTime()))
	_, sealing := s.book.Seal(s.t.Context(), time.Now())
	if err := errors.Join(err, sealing); err != nil {
		s.t.Fatal(err)
	}
}

// unsettled is the number of sealed records.
func (s *sending) unsettled() int {
	_, sealed, err := s.book.Unsettled(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return sealed
}

// drained is how long it takes until nothing is left to deliver.
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

// An outage of fifty minutes, whatever it looks like, is made up for within a
// minute of its end: every record in time, once, by few requests at a time, the
// oldest first.
func TestOutageOfFiftyMinutes(t *testing.T) {
	skus, most := 100, 3*time.Minute // what one step sends is as much as a minute's usage
	if raceEnabled {
		skus, most = 20, 15*time.Minute
	}
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

// outOfOrder is the most by which a record is older than one that was stored
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
