package sender

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
)

// weather is one world in which records are delivered.
func weather(chance *rand.Rand) sandbox.Config {
	cfg := sandbox.Config{
		Seed: chance.Uint64(), TokenLife: []time.Duration{0, 20 * time.Second}[chance.IntN(2)],
		DuplicateLast: chance.IntN(2) == 0, MalformedFailsAll: chance.IntN(2) == 0, RefuseUnknownNames: chance.IntN(2) == 0,
		Skew: []time.Duration{0, 90 * time.Second, -90 * time.Second}[chance.IntN(3)],
	}
	for _, kind := range sandbox.FaultKinds() {
		if kind == sandbox.FaultPoison || kind == sandbox.FaultUnknownReason || kind == sandbox.FaultHuge || chance.IntN(3) > 0 {
			continue
		}
		cfg.Faults = append(cfg.Faults, sandbox.Fault{
			Kind: kind, Probability: 0.05 + chance.Float64()*0.25,
			Status: []int{307, 400, 401, 403, 404, 408, 409, 429, 500, 501, 502, 503, 504}[chance.IntN(13)],
		})
	}
	return cfg
}

// TestExactlyOnce delivers records through all kinds of weather, with crashes,
// as a ledger and its agent would, and compares what was billed with what was
// used.
func TestExactlyOnce(t *testing.T) {
	worlds := uint64(30)
	if testing.Short() {
		worlds = 10
	}
	for _, transport := range transports {
		for seed := range worlds {
			t.Run(fmt.Sprintf("%s/%d", transport, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { simulate(t, transport, seed) })
			})
		}
	}
}

func simulate(t *testing.T, transport string, seed uint64) {
	chance := rand.New(rand.NewPCG(seed, 1))
	cfg := weather(chance)
	box := sandbox.New(cfg)
	s := connect(t, transport, box, Config{Timeout: 5 * time.Second})
	pending := records(60)
	used, accepted := map[string]int64{}, map[string]int64{}
	for i := range pending {
		pending[i].SKU = fmt.Sprint("sku-", i%3)
		used[pending[i].SKU] += pending[i].Quantity
	}
	for round := 0; len(pending) > 0; round++ {
		if round > 800 {
			t.Fatalf("%d records unsettled", len(pending))
		}
		n := min(len(pending), meter.MaxRecords)
		batch := pending[:n]
		results, err := s.Send(t.Context(), batch)
		if chance.IntN(20) == 0 { // a crash before the results reach the ledger
			for i := range batch {
				batch[i].Attempts++
				batch[i].MaybeStored = true
			}
			continue
		}
		var next []meter.Record
		for i, result := range results {
			r := batch[i]
			r.Attempts++
			switch result.State {
			case meter.Sealed:
				r.MaybeStored = result.MaybeStored
				next = append(next, r)
			case meter.Accepted:
				accepted[r.SKU] += r.Quantity
			case meter.Refused: // here only for a while: again under a new uuid, where that is certain to be right
				if result.MaybeStored {
					// The API has it or not; a person decides. Here we look.
					if stored(box, r.UUID) {
						accepted[r.SKU] += r.Quantity
						continue
					}
				}
				r.UUID, r.Attempts, r.MaybeStored = uuid.NewString(), 0, false
				next = append(next, r)
			default:
				t.Fatalf("%+v", result)
			}
		}
		pending = append(next, pending[n:]...)
		if err != nil || len(next) == n {
			time.Sleep(time.Second)
		}
	}
	got := map[string]int64{}
	for _, total := range box.Totals() {
		got[total.SKU] = total.Quantity
	}
	for sku, want := range used {
		if got[sku] != want || accepted[sku] != want {
			t.Errorf("%s: used %d, billed %d, taken as accepted %d; weather %+v", sku, want, got[sku], accepted[sku], cfg)
		}
	}
	if n := box.Stats().LargestBatch; n > meter.MaxRecords {
		t.Errorf("a batch of %d", n)
	}
}

func stored(box *sandbox.Sandbox, id string) bool {
	for _, r := range box.Records() {
		if r.UUID == id {
			return true
		}
	}
	return false
}

// An outage of fifty minutes is over for the first delivery after its end.
func TestFirstDeliveryAfterAnOutage(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultHangBefore, For: 25 * time.Minute}}})
		s := connect(t, transport, box, Config{Timeout: 30 * time.Second})
		start := time.Now()
		list := records(25)
		for {
			results, err := s.Send(t.Context(), list)
			if time.Since(start) < 25*time.Minute {
				checkFate(t, "outage", results, err, lost)
				time.Sleep(time.Minute)
				continue
			}
			if err == nil {
				break
			}
			if time.Since(start) > 27*time.Minute {
				t.Fatal(err)
			}
		}
	})
}

func TestTLS(t *testing.T) {
	box := sandbox.New(sandbox.Config{})
	server := httptest.NewUnstartedServer(box.Handler())
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, transport := range transports {
		cfg := Config{Endpoint: server.URL, Transport: transport, Tokens: fixedToken(box.Token()), CAFile: ca, Log: quiet}
		s := must(New(cfg))
		results, err := s.Send(t.Context(), records(2))
		if err != nil || results[1].State != meter.Accepted {
			t.Errorf("%s: %v %v", transport, results, err)
		}
		s.Close()

		cfg.CAFile = ""
		s = must(New(cfg))
		results, err = s.Send(t.Context(), records(2))
		checkFate(t, transport+": a certificate that nobody knows", results, err, wait)
		s.Close()
	}
}

// Redirects are not followed by either transport's own connection handling,
// least of all with the token.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s with %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		s := must(New(Config{Endpoint: server.URL, Tokens: fixedToken("t"), Log: quiet}))
		results, err := s.Send(t.Context(), records(1))
		checkFate(t, fmt.Sprint(status), results, err, loudLost)
		s.Close()
		server.Close()
	}
}

// Over HTTP/2 a connection outlives a request that was given up; the next
// request takes another anyway.
func TestGivenUpConnectionIsDropped(t *testing.T) {
	for _, transport := range transports {
		box := sandbox.New(sandbox.Config{})
		arrived := make(chan struct{})
		var hang atomic.Bool
		hang.Store(true)
		var connections atomic.Int32
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 {
				t.Errorf("%s: HTTP/%d", transport, r.ProtoMajor)
			}
			if hang.CompareAndSwap(true, false) {
				close(arrived)
				<-r.Context().Done()
				return
			}
			box.Handler().ServeHTTP(w, r)
		}))
		server.EnableHTTP2 = true
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		server.StartTLS()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
		if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		s := must(New(Config{Endpoint: server.URL, Transport: transport, Tokens: fixedToken(box.Token()), CAFile: ca, Log: quiet}))
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		if _, err := s.Send(ctx, records(1)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", transport, err)
		}
		if _, err := s.Send(t.Context(), records(1)); err != nil || connections.Load() != 2 {
			t.Errorf("%s: %v, %d connections", transport, err, connections.Load())
		}
		s.Close()
		server.Close()
	}
}
