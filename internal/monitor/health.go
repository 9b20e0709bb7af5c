package monitor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meterlog/meterlog/internal/meter"
)

// Health is what a running agent reports of itself. Make one with NewHealth. Its
// methods may be called concurrently.
type Health struct {
	// Counters since the start, for the loops to advance.
	ReadBytes    prometheus.Counter
	MatchedLines *prometheus.CounterVec // by rule
	Commits      prometheus.Histogram   // seconds that each took
	Requests     *prometheus.CounterVec // deliveries by outcome: answered, failed

	lastMatch, unmatched *prometheus.GaugeVec // by rule: see SetActivity

	survey survey // the last look at the files

	mu         sync.Mutex
	rules      []string // that MatchedLines may know
	problems   map[problemKey]meter.Problem
	changed    chan struct{} // closed, and replaced, when problems change
	heartbeats map[string]*Heartbeat
	ready      chan struct{}
	isReady    sync.Once
}

type problemKey struct{ code, subject string }

// NewHealth returns the health of an agent that has done nothing yet.
func NewHealth() *Health {
	return &Health{
		ReadBytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "meterlog_read_bytes_total", Help: "Bytes of whole lines read from log files since the start."}),
		MatchedLines: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meterlog_matched_lines_total", Help: "Lines that counted since the start, by rule."}, []string{"rule"}),
		Commits: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "meterlog_commit_duration_seconds", Help: "How long commits of positions and counts took.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5}}),
		Requests:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meterlog_deliveries_total", Help: "Deliveries of a batch of records since the start, by outcome."}, []string{"outcome"}),
		lastMatch:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "meterlog_rule_last_match_timestamp_seconds", Help: "Unix time at which a rule last counted a line; 0 where it never did."}, []string{"rule"}),
		unmatched:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "meterlog_rule_unmatched_bytes", Help: "Bytes of a rule's sources that were read since it last counted a line."}, []string{"rule"}),
		problems:   make(map[problemKey]meter.Problem),
		changed:    make(chan struct{}),
		heartbeats: make(map[string]*Heartbeat),
		ready:      make(chan struct{}),
	}
}

func (h *Health) collectors() []prometheus.Collector {
	return []prometheus.Collector{h.ReadBytes, h.MatchedLines, h.Commits, h.Requests, h.lastMatch, h.unmatched}
}

// SetActivity shows in the metrics when each rule last matched.
func (h *Health) SetActivity(activities []meter.Activity) {
	for _, a := range activities {
		last := 0.0
		if !a.LastMatch.IsZero() {
			last = float64(a.LastMatch.UnixMilli()) / 1000
		}
		h.lastMatch.WithLabelValues(a.Rule).Set(last)
		h.unmatched.WithLabelValues(a.Rule).Set(float64(a.Silence.Bytes))
	}
}

// KeepRules removes rules that the configuration no longer has from the metrics.
func (h *Health) KeepRules(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range h.rules {
		if !slices.Contains(names, name) {
			h.MatchedLines.DeleteLabelValues(name)
		}
	}
	h.rules = names
}

// ForgetActivity takes every rule out of the metrics: the rules may be others
// from now on.
func (h *Health) ForgetActivity() {
	h.lastMatch.Reset()
	h.unmatched.Reset()
}

// SetReady notes that the first pass over the files is over.
func (h *Health) SetReady() { h.isReady.Do(func() { close(h.ready) }) }

// Ready is closed once the first pass over the files is over.
func (h *Health) Ready() <-chan struct{} { return h.ready }

// Raise notes a problem, or what it has become. Its Since is when it began.
func (h *Health) Raise(p meter.Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := problemKey{p.Code, p.Subject}
	old, known := h.problems[key]
	if known && old.Message == p.Message && old.Hint == p.Hint {
		return
	}
	p.Since = time.Now().UTC()
	if known {
		p.Since = old.Since
	}
	h.problems[key] = p
	h.tell()
}

// Clear notes that a problem is over, if there was one.
func (h *Health) Clear(code, subject string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := problemKey{code, subject}
	if _, known := h.problems[key]; known {
		delete(h.problems, key)
		h.tell()
	}
}

// Replace raises the problems given and clears every other one of these codes.
// It returns the problems that began and the problems that ended.
func (h *Health) Replace(codes []string, present []meter.Problem) (begun, ended []meter.Problem) {
	keep := make(map[problemKey]bool)
	for _, p := range present {
		keep[problemKey{p.Code, p.Subject}] = true
	}
	known := make(map[problemKey]bool)
	for _, p := range h.Problems() {
		key := problemKey{p.Code, p.Subject}
		known[key] = true
		if slices.Contains(codes, p.Code) && !keep[key] {
			h.Clear(p.Code, p.Subject)
			ended = append(ended, p)
		}
	}
	for _, p := range present {
		if !known[problemKey{p.Code, p.Subject}] {
			begun = append(begun, p)
		}
		h.Raise(p)
	}
	return begun, ended
}

func (h *Health) tell() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// Changed is closed when the problems are others than at the time of the call.
func (h *Health) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// Problems returns what is wrong, the longest standing first.
func (h *Health) Problems() []meter.Problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]meter.Problem, 0, len(h.problems))
	for _, p := range h.problems {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b meter.Problem) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Subject, b.Subject))
	})
	return list
}

// problemStore is the ledger.
type problemStore interface {
	SetProblems(context.Context, []meter.Problem) error
}

// keepPause is between two tries to keep the problems.
const keepPause = 10 * time.Second

// Keep writes the problems to the ledger whenever they change, until ctx ends,
// so that others can see them. First it removes the problems of an earlier agent.
func (h *Health) Keep(ctx context.Context, store problemStore, log *slog.Logger) {
	for {
		changed := h.Changed()
		err := store.SetProblems(ctx, h.Problems())
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			log.Debug("problems cannot be kept in the ledger", "error", err)
			again = time.After(keepPause)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again:
		}
	}
}

// Heartbeat shows that a loop is alive.
type Heartbeat struct {
	mu  sync.Mutex
	due time.Time
}

// Heartbeat returns the heartbeat of the loop with this name.
func (h *Health) Heartbeat(name string) *Heartbeat {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.heartbeats[name]
	if b == nil {
		b = new(Heartbeat)
		h.heartbeats[name] = b
	}
	return b
}

// Beat says that the loop is alive now and will say so again within the time
// given.
func (b *Heartbeat) Beat(within time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = time.Now().Add(within)
}

// Stop says that the loop has ended and will not beat again.
func (b *Heartbeat) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = time.Time{}
}

func (b *Heartbeat) late(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.due.IsZero() {
		return 0
	}
	return now.Sub(b.due)
}

// Alive returns an error that names the loop which has not been heard of for
// longer than it said, if there is one.
func (h *Health) Alive(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, b := range h.heartbeats {
		if late := b.late(now); late > 0 {
			return fmt.Errorf("the %s loop has not been heard of for %v longer than it should take", name, late.Round(time.Second))
		}
	}
	return nil
}
