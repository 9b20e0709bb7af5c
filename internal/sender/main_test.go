package sender

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
)

const (
	demoProduct = "f2e4tmlj4qqciunhr7e6" // the public documentation's
	demoSKU     = "dn272e8979uvek5cnuhk"
)

// TestMain keeps tests on this machine: our own dialer refuses what is not
// loopback, and what takes the environment's proxies finds none listening.
func TestMain(m *testing.M) {
	dialer.Control = func(_, address string, _ syscall.RawConn) error {
		if host, _, _ := net.SplitHostPort(address); !loopback(host) {
			return fmt.Errorf("a test dials %s", address)
		}
		return nil
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Setenv(name, "http://127.0.0.1:1")
	}
	os.Unsetenv("NO_PROXY")
	os.Unsetenv("no_proxy")
	os.Exit(m.Run())
}

func TestTestsStayOnLoopback(t *testing.T) {
	for _, transport := range transports {
		s := must(New(Config{Transport: transport, Tokens: fixedToken("t"), Log: quiet}))
		_, err := s.Send(t.Context(), records(1))
		if err == nil || err.(*Error).maybeStored {
			t.Errorf("%s: a delivery to the real endpoint: %v", transport, err)
		}
		s.Close()
	}
	m := &Metadata{Addr: metadataAddr}
	if _, err := m.InstanceID(t.Context()); err == nil || !strings.Contains(err.Error(), "a test dials") {
		t.Errorf("the real metadata service: %v", err)
	}
}

var transports = []string{REST, GRPC}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// records makes n sealed records of the minute that ended last.
func records(n int) []meter.Record {
	list := make([]meter.Record, n)
	window := meter.WindowAt(time.Now().Add(-time.Minute), time.Minute)
	for i := range list {
		list[i] = meter.Record{
			UUID: uuid.NewString(), ProductID: demoProduct, SKU: demoSKU, State: meter.Sealed, Quantity: int64(i + 1),
			Window: window, Timestamp: window.StartTime(),
		}
	}
	return list
}

// again is records as a ledger would pass them after a delivery with results.
func again(list []meter.Record, results []meter.Result) []meter.Record {
	var next []meter.Record
	for i, r := range list {
		if results[i].State == meter.Sealed {
			r.Attempts++
			r.MaybeStored, r.MaybeRefused = results[i].MaybeStored, results[i].MaybeRefused
			next = append(next, r)
		}
	}
	return next
}

// connect returns a Sender for a model of the API, over a network that is all
// in memory, with tokens from the model's metadata service.
func connect(t *testing.T, transport string, box *sandbox.Sandbox, cfg Config) *Sender {
	t.Helper()
	cfg.Transport = transport
	cfg.Endpoint = "http://127.0.0.1:80"
	cfg.Log = quiet
	if cfg.Tokens == nil {
		cfg.Tokens = (&Metadata{Addr: "127.0.0.1", HTTP: box.Transport(), Log: quiet}).Tokens()
	}
	ln := newMemory()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- box.Serve(ctx, ln) }()
	cfg.Dial = ln.dial
	s := must(New(cfg))
	t.Cleanup(func() {
		s.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("sandbox: %v", err)
		}
		for _, text := range append(box.Conflicts(), box.Violations()...) {
			t.Errorf("sandbox: %s", text)
		}
	})
	return s
}

// memory is a network in memory: a listener with its dial.
type memory struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), done: make(chan struct{})} }

func (m *memory) dial(ctx context.Context, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case m.conns <- there:
		return here, nil
	case <-m.done:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.done) }); return nil }
func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// answers is a transport that answers every request with a function.
type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	return f(r)
}

func response(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// answering returns a Sender whose every request is answered by f.
func answering(t *testing.T, f answers) *Sender {
	t.Helper()
	s := must(New(Config{Endpoint: "http://127.0.0.1", Tokens: fixedToken("t1.the-secret-token"), HTTP: f, Log: quiet}))
	t.Cleanup(func() { s.Close() })
	return s
}
