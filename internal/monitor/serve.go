package monitor

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meterlog/meterlog/internal/meter"
)

// Handler serves /metrics, /healthz, /status and the pages for people, about the
// agent in this process. Each request calls subject, since a reload changes it.
func Handler(subject func() Subject, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		options := promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}
		promhttp.HandlerFor(subject().registry(), options).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		reasons := subject().unhealthy(r)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if len(reasons) == 0 {
			fmt.Fprintln(w, "ok")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, strings.Join(reasons, "\n"))
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		st, err := subject().Status(r.Context(), time.Now())
		if err != nil {
			log.Debug("status", "error", err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(st)
	})
	pages := map[string]func(Subject, http.ResponseWriter, *http.Request) error{"GET /{$}": Subject.servePage, "GET /record/{uuid}": Subject.serveRecord}
	for pattern, serve := range pages {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(subject(), w, r); err != nil {
				log.Debug("page", "path", r.URL.Path, "error", err)
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	return mux
}

// healthCodes are the problems that make the agent unhealthy, beside lines that
// were missed within the hour. The others can wait for a person to look at the
// status.
var healthCodes = []string{"ledger_unreadable", "delivery_failing", "instance_unknown", "time_running_out", "ledger_failing", "ledger_unwritable", "ledger_gone", "ledger_damaged", "no_space"}

// unhealthy returns what keeps usage from being billed; nothing where all is
// well.
func (s Subject) unhealthy(r *http.Request) (reasons []string) {
	now := time.Now()
	if err := s.Health.Alive(now); err != nil {
		reasons = append(reasons, "not_alive: "+err.Error())
	}
	s.withoutFiles = true // no file makes the agent unhealthy, and very many cost seconds
	st, err := s.Status(r.Context(), now)
	if err != nil {
		return append(reasons, "ledger_unreadable: "+err.Error())
	}
	for _, p := range st.Problems {
		if slices.Contains(healthCodes, p.Code) || p.Code == string(meter.BytesMissed) && now.Sub(p.latest) < meter.UsableFor {
			reasons = append(reasons, p.Code+": "+p.Message)
		}
	}
	return reasons
}
