package silence

import (
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

const (
	day = 24 * time.Hour

	// memory is how far back a silence still tells what is usual.
	memory = 14 * day

	// longestStep is the most time that passes between two calls of Tick while
	// the agent watches. Time beyond it was a pause: nobody watched.
	longestStep = 2 * time.Minute
)

// Rule names a rule and the sources that it applies to.
type Rule struct {
	Name    string
	Sources []string
}

// Watch measures the silence of every rule. Make one with New. It belongs to one
// goroutine.
type Watch struct {
	rules   []*watched // in the order of the configuration
	byName  map[string]*watched
	read    map[string]int64 // bytes read since New, by source
	watched time.Duration    // time watched since New
	ticked  time.Time        // when Tick was last called
}

// watched is a rule and where its present silence began.
type watched struct {
	Rule
	meter.Activity
	from meter.Stretch // the counters of Watch when the silence began, less what an earlier run measured
}

// New returns a watch that goes on with what an earlier one measured.
func New(rules []Rule, known []meter.Activity, now time.Time) *Watch {
	w := &Watch{byName: make(map[string]*watched), read: make(map[string]int64), ticked: now}
	for _, r := range rules {
		w.rules = append(w.rules, &watched{Rule: r})
		w.byName[r.Name] = w.rules[len(w.rules)-1]
	}
	for _, a := range known {
		if r := w.byName[a.Rule]; r != nil {
			r.Activity = a
			r.from = meter.Stretch{Bytes: -a.Silence.Bytes, Time: -a.Silence.Time}
		}
	}
	for _, r := range w.rules {
		r.Activity.Rule = r.Name
	}
	return w
}

// Tick lets the time pass that an agent watched since the last call.
func (w *Watch) Tick(now time.Time) {
	w.watched += min(max(0, now.Sub(w.ticked)), longestStep)
	w.ticked = now
}

// Read counts bytes that were read of the sources.
func (w *Watch) Read(sources []string, bytes int) {
	for _, name := range sources {
		w.read[name] += int64(bytes)
	}
}

// Matched notes that the rule counted a line of what was read last.
func (w *Watch) Matched(rule string, now time.Time) {
	r := w.byName[rule]
	if r == nil {
		return
	}
	now = now.UTC().Round(0)
	if r.LastMatch.IsZero() {
		r.FirstMatch = now
	} else {
		r.ended(w.silence(r), now)
	}
	r.LastMatch = now
	r.from = w.counters(r)
}

// ended notes a silence that has ended now.
func (r *watched) ended(s meter.Stretch, now time.Time) {
	today := now.Truncate(day)
	if n := len(r.Longest); n > 0 && r.Longest[n-1].Day.Equal(today) {
		r.Longest[n-1].Stretch = r.Longest[n-1].Max(s)
		return
	}
	r.Longest = slices.DeleteFunc(r.Longest, func(l meter.LongestOver) bool { return now.Sub(l.Day) > memory+day || l.Day.After(now) })
	r.Longest = append(r.Longest, meter.LongestOver{Day: today, Stretch: s})
}

// counters returns what was read of the rule's sources, and the time.
func (w *Watch) counters(r *watched) meter.Stretch {
	s := meter.Stretch{Time: w.watched}
	for _, name := range r.Sources {
		s.Bytes += w.read[name]
	}
	return s
}

func (w *Watch) silence(r *watched) meter.Stretch {
	now := w.counters(r)
	return meter.Stretch{Bytes: now.Bytes - r.from.Bytes, Time: now.Time - r.from.Time}
}

// Activities returns the silence of every rule. Its parts are valid until the
// next call of Matched.
func (w *Watch) Activities() []meter.Activity {
	all := make([]meter.Activity, len(w.rules))
	for i, r := range w.rules {
		all[i] = r.Activity
		all[i].Silence = w.silence(r)
	}
	return all
}
