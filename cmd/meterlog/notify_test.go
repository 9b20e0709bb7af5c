package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/rules"
)

// The service manager is told when the agent is ready, and in the status line of
// a problem when it begins and of its end.
func TestNotifier(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	book, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	s := &service{dir: dir, book: book, vitals: monitor.NewVitals(), config: &rules.Config{}}
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
	s.vitals.SetReady()
	told("ready", func(m string) bool { return m == "READY=1" })
	s.vitals.Raise(meter.Problem{Code: "delivery_failing", Message: "no route"})
	told("a problem", func(m string) bool { return strings.HasPrefix(m, "STATUS=delivery_failing: no route; 0 units") })
	s.vitals.Clear("delivery_failing", "")
	told("its end", func(m string) bool { return strings.HasPrefix(m, "STATUS=0 units") })
}
