package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// calm is a fleet that is large enough for its limits to hold over chance, when
// seconds are summed by five.
func calm(outage time.Duration) result {
	r := simulate(setting{agents: 5000, interval: time.Minute, outage: outage, seed: 1})
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
	r := calm(50 * time.Minute)
	if broken := r.broken(); len(broken) > 0 {
		t.Error(strings.Join(broken, "; "))
	}
	if want := r.records + r.left; want == 0 || r.records%(5000*47/10) != 0 {
		t.Errorf("%d records are accepted: not whole windows of the fleet", r.records)
	}
	var b strings.Builder
	r.print(&b)
	for _, want := range []string{"5000 agents", "at rest", "after the outage", " 0 expired, 0 left"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestLimitsAreFound(t *testing.T) {
	r := calm(10 * time.Minute)
	r.perSecond[r.rest[0]] *= 10
	last := len(r.perSecond) - 1
	r.perSecond[last] = 10 * slices.Max(r.perSecond)
	r.left++
	if broken := r.broken(); len(broken) != 3 {
		t.Errorf("three limits are broken, and it tells of %q", broken)
	}
}
