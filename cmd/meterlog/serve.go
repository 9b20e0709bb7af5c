package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
)

// listenFailed is the code of the problem that nothing is served at listen:.
const listenFailed = "listen_failed"

// servePause is between tries to listen.
const servePause = 30 * time.Second

// serve serves /metrics, /healthz and /status at the configured address, if
// there is one, until ctx ends. That somebody else has the address does not
// keep the agent from its work.
func (s *service) serve(ctx context.Context) {
	for ctx.Err() == nil {
		address, changed := s.listenAddress()
		var again <-chan time.Time
		var server *http.Server
		if address != "" {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				s.listenFails(err)
				again = time.After(servePause)
			} else {
				server = s.serveOn(listener, address)
			}
		}
		if again == nil {
			s.health.Clear(listenFailed, "")
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-again:
		}
		if server != nil {
			server.Close()
		}
	}
}

// serveOn serves until the server is closed.
func (s *service) serveOn(listener net.Listener, address string) *http.Server {
	server := monitor.NewServer(address, s.subject, s.log)
	go server.Serve(monitor.Limit(listener))
	s.log.Debug("serving /metrics, /healthz and /status", "address", listener.Addr())
	return server
}

func (s *service) listenFails(err error) {
	for _, p := range s.health.Problems() {
		if p.Code == listenFailed {
			return
		}
	}
	s.log.Error("nothing is served at listen: it is tried again; usage is billed anyway", "error", err)
	s.health.Raise(meter.Problem{Code: listenFailed, Message: err.Error(), Hint: "see listen: in the configuration, and who has that address"})
}
