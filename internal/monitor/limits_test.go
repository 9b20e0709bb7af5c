package monitor

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

var quietLog = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestRequestsForAnotherHostAreRefused(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	h := forThisHost("meter.example.org:9273", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{
		"127.0.0.1:9273": 200, "[::1]:9273": 200, "::1": 200, "10.1.2.3": 200, "localhost": 200, "LOCALHOST.:9273": 200,
		"meter.example.org": 200, "Meter.Example.org:80": 200, own: 200,
		"evil.example": 421, "evil.example:9273": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "": 421, own + ".evil.example": 421,
	} {
		r := httptest.NewRequest("GET", "/status", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("host %q: %d, want %d", host, w.Code, want)
		}
	}
}

// The server's own Host check, and its limits, stand in NewServer.
func TestServerHasLimits(t *testing.T) {
	s := NewServer("127.0.0.1:0", func() Subject { return Subject{Dir: t.TempDir(), Health: NewHealth()} }, quietLog)
	if s.MaxHeaderBytes != mostHeader || s.ReadTimeout == 0 || s.ReadHeaderTimeout == 0 || s.WriteTimeout == 0 || s.IdleTimeout == 0 {
		t.Errorf("limits are missing: %+v", s)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "evil.example"
	w := httptest.NewRecorder()
	s.Handler.ServeHTTP(w, r)
	if w.Code != http.StatusMisdirectedRequest {
		t.Errorf("a request for another host: %d", w.Code)
	}
}

// A connection over the limit is not let in.
func TestConnectionsAreLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Limit(inner)
	accept := func() error {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_, err = l.Accept()
		return err
	}
	for range mostConnections {
		if err := accept(); err != nil {
			t.Fatal(err)
		}
	}
	time.AfterFunc(100*time.Millisecond, func() { l.Close() }) // ends the wait
	if accept() == nil {
		t.Errorf("connection %d was let in", mostConnections+1)
	}
}
