package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
)

// The agent tells the service manager when it is ready, and in the status line of
// a problem when it begins and of its end.
func TestNotifier(t *testing.T) {
	manager, s := managed(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	n := newNotifier(s)
	n.pause = time.Hour
	go func() { n.run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()

	told := func(what string, is func(string) bool) {
		t.Helper()
		message := make([]byte, 4096)
		for {
			n, err := manager.Read(message)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if is(string(message[:n])) {
				return
			}
		}
	}
	s.health.SetReady()
	told("ready", func(m string) bool { return m == "READY=1" })
	s.health.Raise(meter.Problem{Code: "delivery_failing", Message: "no route"})
	told("a problem", func(m string) bool { return strings.HasPrefix(m, "STATUS=delivery_failing: no route; 0 units") })
	s.health.Clear("delivery_failing", "")
	told("its end", func(m string) bool { return strings.HasPrefix(m, "STATUS=0 units") })
}

// An agent that hangs gives no sign of life and asks for no more time, when it
// starts and later, so that it is restarted.
func TestNotifierOfHungAgent(t *testing.T) {
	manager, s := managed(t)
	s.log = slog.New(slog.DiscardHandler)
	n := &notifier{service: s, watched: true}
	loop := s.health.Heartbeat("meter")
	loop.Beat(-time.Second)
	n.look(t.Context(), true)
	n.look(t.Context(), false)
	loop.Beat(time.Hour)
	n.look(t.Context(), true)
	notifySystemd("end")
	want := []string{startExtension, "WATCHDOG=1", "STATUS=0 units in the last hour, 0 records waiting", "end"}
	message := make([]byte, 4096)
	for _, text := range want {
		size, err := manager.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(message[:size]); got != text {
			t.Errorf("the manager gets %q, not %q", got, text)
		}
	}
}

// managed returns a service with an empty ledger, and who it reports to.
func managed(t *testing.T) (*net.UnixConn, *service) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	book, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { book.Close() })
	return manager, &service{dir: dir, book: book, health: monitor.NewHealth(), config: &config.Config{}}
}
