package monitor

import (
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/net/netutil"
)

// What the listener grants to those who ask. It runs on a customer's machine,
// where anybody may connect.
const (
	mostConnections = 32
	mostHeader      = 8 << 10 // bytes
	readTime        = 5 * time.Second
	writeTime       = 30 * time.Second
	idleTime        = 30 * time.Second
)

// NewServer returns a server of the agent's status for the configured address,
// with limits for every client.
func NewServer(address string, subject func() Subject, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           forThisHost(address, Handler(subject, log)),
		MaxHeaderBytes:    mostHeader,
		ReadHeaderTimeout: readTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Limit lets at most 32 connections in at a time. Others wait.
func Limit(l net.Listener) net.Listener { return netutil.LimitListener(l, mostConnections) }

// forThisHost answers only requests that are meant for this machine. Otherwise a
// web page could read the status through its visitor's browser, by a name that
// leads to its own server first and to this machine later (DNS rebinding).
func forThisHost(address string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hostIs(r.Host, address) {
			http.Error(w, "ask for this machine by its address, its host name, or the name in listen:", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostIs reports whether the host of a request is an address, localhost, the
// machine's own name, or the one in the configured address.
func hostIs(host, address string) bool {
	name := bareHost(host)
	if net.ParseIP(name) != nil || name == "localhost" {
		return true
	}
	own, _ := os.Hostname()
	return name != "" && (name == bareHost(address) || name == strings.ToLower(own))
}

// bareHost returns a host without its port, brackets and last dot.
func bareHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
