package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// summed returns a fleet that is large enough for its limits to hold over chance, when
// seconds are summed by five.
func summed(s setting) result {
	s.agents, s.seed = 5000, 1
	if s.interval == 0 {
		s.interval = time.Minute
	}
	r := simulate(s)
	for i := range r.perSecond {
		until := min(i/5*5+5, len(r.perSecond))
		if i%5 == 0 {
			sum := 0
			for _, n := range r.perSecond[i:until] {
				sum += n
			}
			for j := i; j < until; j++ {
				r.perSecond[j] = sum / 5
			}
		}
	}
	return r
}

func TestFleetKeepsItsLimits(t *testing.T) {
	for _, s := range outages {
		r := summed(s)
		if broken := r.broken(); len(broken) > 0 {
			t.Errorf("%+v: %s", s, strings.Join(broken, "; "))
		}
		var b strings.Builder
		r.print(&b)
		for _, want := range []string{"5000 agents", "at rest", "after the outage", " 0 expired, 0 left"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%q is not in\n%s", want, b.String())
			}
		}
		if s.skus > 0 && !strings.Contains(b.String(), "chance may add") {
			t.Errorf("chance is not in\n%s", b.String())
		}
		took := r.ended.Sub(r.start.Add(time.Duration(r.outage[1]) * time.Second))
		if most := 30*time.Second + s.outage/3; took > max(most, 2*time.Minute) {
			t.Errorf("%+v: the last agent has caught up %v after it", s, took)
		}
	}
}

func TestLimitsAreFound(t *testing.T) {
	r := summed(setting{outage: 10 * time.Minute})
	r.perSecond[r.rest[0]] *= 10
	r.perSecond[r.outage[0]] *= 20
	last := len(r.perSecond) - 1
	r.perSecond[last] = 10 * slices.Max(r.perSecond)
	r.left++
	if broken := r.broken(); len(broken) != 4 {
		t.Errorf("four limits are broken, and it tells of %q", broken)
	}
}
