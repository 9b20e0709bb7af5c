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

// Vitals is what a running agent tells of itself. Make one with NewVitals. Its
// methods may be called concurrently.
type Vitals struct {
	// Counters since the start, for the loops to advance.
	ReadBytes    prometheus.Counter
	MatchedLines *prometheus.CounterVec // by rule
	Commits      prometheus.Histogram   // seconds that each took
	Requests     *prometheus.CounterVec // deliveries by outcome: answered, failed

	lastMatch, unmatched *prometheus.GaugeVec // by rule: see SetActivity

	survey survey // the last look at the files

	mu       sync.Mutex
	rules    []string // that MatchedLines may know
	problems map[problemKey]meter.Problem
	changed  chan struct{} // closed, and replaced, when problems change
	pulses   map[string]*Pulse
	ready    chan struct{}
	isReady  sync.Once
}

type problemKey struct{ code, subject string }

// NewVitals is of an agent that has done nothing yet.
func NewVitals() *Vitals {
	return &Vitals{
		ReadBytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "meterlog_read_bytes_total", Help: "Bytes of whole lines read from log files since the start."}),
		MatchedLines: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meterlog_matched_lines_total", Help: "Lines that counted since the start, by rule."}, []string{"rule"}),
		Commits: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "meterlog_commit_duration_seconds", Help: "How long commits of positions and counts took.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5}}),
		Requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meterlog_deliveries_total", Help: "Deliveries of a batch of records since the start, by outcome."}, []string{"outcome"}),
		lastMatch: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "meterlog_rule_last_match_timestamp_seconds", Help: "Unix time at which a rule last counted a line; 0 where it never did."}, []string{"rule"}),
		unmatched: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "meterlog_rule_unmatched_bytes", Help: "Bytes of a rule's sources that were read since it last counted a line."}, []string{"rule"}),
		problems:  make(map[problemKey]meter.Problem),
		changed:   make(chan struct{}),
		pulses:    make(map[string]*Pulse),
		ready:     make(chan struct{}),
	}
}

func (v *Vitals) collectors() []prometheus.Collector {
	return []prometheus.Collector{v.ReadBytes, v.MatchedLines, v.Commits, v.Requests, v.lastMatch, v.unmatched}
}

// SetActivity shows in the metrics when each rule last matched.
func (v *Vitals) SetActivity(activities []meter.Activity) {
	for _, a := range activities {
		last := 0.0
		if !a.LastMatch.IsZero() {
			last = float64(a.LastMatch.UnixMilli()) / 1000
		}
		v.lastMatch.WithLabelValues(a.Rule).Set(last)
		v.unmatched.WithLabelValues(a.Rule).Set(float64(a.Silence.Bytes))
	}
}

// KeepRules removes rules that the configuration no longer has from the metrics.
func (v *Vitals) KeepRules(names []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range v.rules {
		if !slices.Contains(names, name) {
			v.MatchedLines.DeleteLabelValues(name)
		}
	}
	v.rules = names
}

// ForgetActivity takes every rule out of the metrics: the rules may be others
// from now on.
func (v *Vitals) ForgetActivity() {
	v.lastMatch.Reset()
	v.unmatched.Reset()
}

// SetReady notes that the first pass over the files is over.
func (v *Vitals) SetReady() { v.isReady.Do(func() { close(v.ready) }) }

// Ready is closed once the first pass over the files is over.
func (v *Vitals) Ready() <-chan struct{} { return v.ready }

// Raise notes a problem, or what it has become. Its Since is when it began.
func (v *Vitals) Raise(p meter.Problem) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := problemKey{p.Code, p.Subject}
	old, known := v.problems[key]
	if known && old.Message == p.Message && old.Hint == p.Hint {
		return
	}
	p.Since = time.Now().UTC()
	if known {
		p.Since = old.Since
	}
	v.problems[key] = p
	v.tell()
}

// Clear notes that a problem is over, if there was one.
func (v *Vitals) Clear(code, subject string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := problemKey{code, subject}
	if _, known := v.problems[key]; known {
		delete(v.problems, key)
		v.tell()
	}
}

// Replace raises the problems given and clears every other one of these codes.
// It returns the problems that began and the problems that ended.
func (v *Vitals) Replace(codes []string, present []meter.Problem) (begun, ended []meter.Problem) {
	keep := make(map[problemKey]bool)
	for _, p := range present {
		keep[problemKey{p.Code, p.Subject}] = true
	}
	known := make(map[problemKey]bool)
	for _, p := range v.Problems() {
		key := problemKey{p.Code, p.Subject}
		known[key] = true
		if slices.Contains(codes, p.Code) && !keep[key] {
			v.Clear(p.Code, p.Subject)
			ended = append(ended, p)
		}
	}
	for _, p := range present {
		if !known[problemKey{p.Code, p.Subject}] {
			begun = append(begun, p)
		}
		v.Raise(p)
	}
	return begun, ended
}

func (v *Vitals) tell() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// Changed is closed when the problems are others than at the time of the call.
func (v *Vitals) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// Problems returns what is wrong, the longest standing first.
func (v *Vitals) Problems() []meter.Problem {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]meter.Problem, 0, len(v.problems))
	for _, p := range v.problems {
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
func (v *Vitals) Keep(ctx context.Context, store problemStore, log *slog.Logger) {
	for {
		changed := v.Changed()
		err := store.SetProblems(ctx, v.Problems())
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

// Pulse shows that a loop is alive.
type Pulse struct {
	mu  sync.Mutex
	due time.Time
}

// Pulse returns the pulse of the loop with this name.
func (v *Vitals) Pulse(name string) *Pulse {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.pulses[name]
	if p == nil {
		p = new(Pulse)
		v.pulses[name] = p
	}
	return p
}

// Beat says that the loop is alive now and will say so again within the time
// given.
func (p *Pulse) Beat(within time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = time.Now().Add(within)
}

// Rest says that the loop has ended and will not beat again.
func (p *Pulse) Rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = time.Time{}
}

func (p *Pulse) late(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due.IsZero() {
		return 0
	}
	return now.Sub(p.due)
}

// Alive returns an error that names the loop which has not been heard of for
// longer than it said, if there is one.
func (v *Vitals) Alive(now time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, p := range v.pulses {
		if late := p.late(now); late > 0 {
			return fmt.Errorf("the %s loop has not been heard of for %v longer than it should take", name, late.Round(time.Second))
		}
	}
	return nil
}
