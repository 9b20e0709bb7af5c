package agent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/internal/sender"
)

const (
	product = "f2e4tmlj4qqciunhr7e6" // the public documentation's
	sku     = "dn272e8979uvek5cnuhk"
	gibSKU  = "dn2aaaaaaaaaaaaaaaaa"
)

// TestMain keeps tests on this machine: what they deliver goes to a sandbox by
// loopback's, and what would dial by a default finds a proxy that does not exist.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Setenv(name, "http://127.0.0.1:1")
	}
	os.Unsetenv("NO_PROXY")
	os.Unsetenv("no_proxy")
	os.Exit(m.Run())
}

// loopback dials nothing but this machine.
func loopback(ctx context.Context, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("a test dials %s", address)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

func TestTestsStayOnLoopback(t *testing.T) {
	s := must(sender.New(sender.Config{Tokens: token("t"), Dial: loopback, Log: quiet}))
	defer s.Close()
	_, err := s.Send(t.Context(), []meter.Record{{
		UUID: "7b0d1a52-51ad-4f39-b4a5-5b1a6a4a5a11", ProductID: product, SKU: sku, Quantity: 1, Timestamp: time.Unix(60, 0),
	}})
	if err == nil || !strings.Contains(err.Error(), "a test dials") {
		t.Errorf("a delivery to the real API: %v", err)
	}
}

// token is a source of one token, whatever becomes of it.
type token string

func (t token) Token(context.Context) (string, error)           { return string(t), nil }
func (t token) Refresh(context.Context, string) (string, error) { return string(t), nil }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// site is a machine with a log, a ledger and an API. In the end it checks that
// ledger and API agree on every record.
type site struct {
	t      *testing.T
	dir    string
	config *config.Config

	sequence int // of mails
	box      *sandbox.Sandbox
	http     http.RoundTripper    // to the API
	remote   func() sender.Config // how to reach the API otherwise; nil: by http
	logged   logs

	machine journal.Machine // whose journal is read
}

// oneRule counts the lines with "sent" of every file of logs/.
const oneRule = `
sources:
  - path: DIR/logs/*.log
rules:
  - name: mails
    when: line contains "sent"
    sku_id: ` + sku + `
`

// newSite makes a site with the sources and rules of the text, in which DIR
// stands for its folder.
func newSite(t *testing.T, text string) *site {
	t.Helper()
	return newSiteWith(t, text, sandbox.Config{})
}

func newSiteWith(t *testing.T, text string, api sandbox.Config) *site {
	t.Helper()
	api.AnyToken = true
	s := &site{t: t, dir: t.TempDir(), box: sandbox.New(api)}
	s.http = s.box.Transport()
	s.configure(text)
	if err := os.Mkdir(filepath.Join(s.dir, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.agree)
	return s
}

func (s *site) configure(text string) {
	s.t.Helper()
	text = "product_id: " + product + "\ninterval: 1s\ndelivery: {timeout: 10m}\n" + strings.ReplaceAll(text, "DIR", s.dir)
	config, err := config.Parse("rules.yaml", []byte(text))
	if err != nil {
		s.t.Fatal(err)
	}
	s.config = config
}

func (s *site) path(name string) string { return filepath.Join(s.dir, "logs", name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// sent appends n lines that count, among others that do not.
func (s *site) sent(name string, n int) {
	s.t.Helper()
	var text strings.Builder
	for range n {
		s.sequence++
		fmt.Fprintf(&text, "mail %d queued\nmail %d sent to=<a@example.com>\n", s.sequence, s.sequence)
	}
	s.write(name, text.String())
}

func (s *site) rename(from, to string) {
	s.t.Helper()
	if err := os.Rename(s.path(from), s.path(to)); err != nil {
		s.t.Fatal(err)
	}
}

// agent returns an agent on the site's ledger, and what closes both.
func (s *site) agent() (*Agent, func()) {
	s.t.Helper()
	book, err := ledger.Open(s.t.Context(), filepath.Join(s.dir, "state"))
	if err != nil {
		s.t.Fatal(err)
	}
	deliver, err := sender.New(s.delivery())
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := New(s.t.Context(), Config{Rules: s.config, Ledger: book, Sender: deliver, Log: slog.New(&s.logged), machine: s.machine})
	if err != nil {
		s.t.Fatal(err)
	}
	return a, func() {
		if err := errors.Join(deliver.Close(), book.Close()); err != nil {
			s.t.Error(err)
		}
	}
}

func (s *site) delivery() sender.Config {
	if s.remote != nil {
		return s.remote()
	}
	return sender.Config{
		Endpoint: "http://127.0.0.1", Timeout: s.config.Delivery.Timeout, Tokens: token("t1.test"), HTTP: s.http, Dial: loopback, Log: quiet,
	}
}

// once runs the agent to the end of every file.
func (s *site) once() Summary {
	s.t.Helper()
	a, end := s.agent()
	defer end()
	summary, err := a.Once(s.t.Context(), 5*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	return summary
}

// run starts the agent; stop ends it and returns when it has ended.
func (s *site) run() (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := s.runUntil(ctx)
	return func() { cancel(); ended() }
}

func (s *site) runUntil(ctx context.Context) (wait func()) {
	s.t.Helper()
	a, end := s.agent()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer end()
		defer a.Close()
		a.Run(ctx)
	}()
	return func() {
		s.t.Helper()
		select {
		case <-done:
		case <-time.After(patience):
			s.t.Fatal("the agent does not end")
		}
	}
}

// patience is how long a test waits for what must come, however slow the
// machine is.
const patience = 20 * time.Second

// billed returns what the API has accepted of the SKU.
func (s *site) billed(sku string) (quantity int64) {
	for _, total := range s.box.Totals() {
		if total.SKU == sku {
			quantity += total.Quantity
		}
	}
	return quantity
}

func (s *site) wantBilled(sku string, want int64) {
	s.t.Helper()
	if got := s.billed(sku); got != want {
		s.t.Fatalf("%d units of %s are billed, want %d", got, sku, want)
	}
}

// records returns the records of the ledger, read beside the agent.
func (s *site) records(states ...meter.State) (all []meter.Record) {
	s.t.Helper()
	r, err := ledger.OpenReader(filepath.Join(s.dir, "state"))
	if errors.Is(err, ledger.ErrNone) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	err = r.Records(context.Background(), ledger.Filter{State: states}, func(r meter.Record) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// counted returns the quantity of all records of the SKU in the ledger.
func (s *site) counted(sku string) (quantity int64) {
	for _, r := range s.records() {
		if r.SKU == sku {
			quantity += r.Quantity
		}
	}
	return quantity
}

// alter runs a statement on the database, as somebody beside the agent.
func (s *site) alter(statement string) {
	s.t.Helper()
	if err := alter(filepath.Join(s.dir, "state"), statement); err != nil {
		s.t.Fatal(err)
	}
}

func alter(state, statement string) error {
	db, err := sql.Open("sqlite", filepath.Join(state, ledger.FileName)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	_, err = db.Exec(statement)
	return errors.Join(err, db.Close())
}

const (
	breakCommits  = `CREATE TRIGGER broken BEFORE INSERT ON contributions BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`
	repairCommits = `DROP TRIGGER IF EXISTS broken`
	breakSettles  = `CREATE TRIGGER unsettled BEFORE UPDATE OF settled_at ON records BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`
	mendSettles   = `DROP TRIGGER IF EXISTS unsettled`
)

// agree checks that the API stored what the ledger says, and nothing else.
func (s *site) agree() {
	s.t.Helper()
	for _, text := range append(s.box.Conflicts(), s.box.Violations()...) {
		s.t.Errorf("sandbox: %s", text)
	}
	known := make(map[string]meter.Record)
	for _, r := range s.records() {
		known[r.UUID] = r
	}
	stored := make(map[string]bool)
	for _, b := range s.box.Records() {
		stored[b.UUID] = true
		r := known[b.UUID]
		if r.State != meter.Accepted && !((r.State == meter.Sealed || r.State == meter.InDoubt) && r.MaybeStored) {
			s.t.Errorf("the API has %s, which is %q in the ledger", b.UUID, r.State)
		}
		if r.ProductID != b.ProductID || r.SKU != b.SKU || r.Quantity != b.Quantity || !r.Timestamp.Equal(b.Timestamp) {
			s.t.Errorf("the API has %+v, the ledger %+v", b, r)
		}
	}
	for id, r := range known {
		if r.State == meter.Accepted && !stored[id] {
			s.t.Errorf("the ledger has %s accepted, and the API does not know it", id)
		}
	}
}

// until waits for a condition that something else brings about.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(patience)
	for !condition() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// logs keeps what was logged, and may do something upon a message.
type logs struct {
	mu       sync.Mutex
	messages []string
	upon     map[string]func() // by a part of the message; each done once
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logs) WithGroup(string) slog.Handler            { return l }

func (l *logs) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	l.messages = append(l.messages, r.Message)
	var react []func()
	for part, f := range l.upon {
		if strings.Contains(r.Message, part) {
			delete(l.upon, part)
			react = append(react, f)
		}
	}
	l.mu.Unlock()
	for _, f := range react {
		f()
	}
	return nil
}

func (l *logs) on(part string, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.upon == nil {
		l.upon = make(map[string]func())
	}
	l.upon[part] = f
}

func (l *logs) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.messages, func(m string) bool { return strings.Contains(m, part) })
}
