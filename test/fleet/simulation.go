package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/pace"
)

// setting is what a simulation begins with.
type setting struct {
	agents   int
	interval time.Duration
	outage   time.Duration
	begins   time.Duration // of the outage, from the beginning of a window
	skus     int           // of every agent; 0: the kinds of agents are mixed
	seed     uint64
}

const (
	tick    = 10 * time.Millisecond // agents that act in the same tick act in any order
	latency = 100 * time.Millisecond
	width   = 4 // requests at a time for a backlog, as the send loop has it

	// The send loop suspects SKUs when deliveries have failed for so long.
	suspected = 55 * time.Second

	warmUp  = 3 // windows before anything is measured
	atRest  = 10
	longest = 4 * time.Hour   // after the outage
	after   = 3 * time.Minute // that is watched after the last agent has caught up
)

// kinds are the agents of the fleet: how many SKUs each bills in every window,
// and how many of ten agents are so.
var kinds = []struct{ skus, ofTen int }{{1, 7}, {5, 2}, {30, 1}}

// agent is one machine. Its sealed records are counted by window.
type agent struct {
	pace    *pace.Pace
	skus    int
	waiting []sealed // the oldest first
	records int      // in waiting
	width   int
	planned int // when it acts next, in ticks; an earlier plan is void

	failing time.Time // since when deliveries fail; zero: they do not
	halved  bool      // since then each half of the SKUs had a request of its own
	probed  bool      // the last request held one record alone
	probe   time.Time // when it tries a record alone
}

// sealed is a number of records of one window.
type sealed struct {
	end       time.Time // of the window
	timestamp time.Time
	records   int
}

// fleet is the world of the simulation.
type fleet struct {
	setting
	start  time.Time
	agents []agent
	plans  map[int][]int32 // by tick: agents that may act
	away   [2]time.Time    // the API does not answer between these
	behind int             // records of the time before the API came back that wait
	result
}

// simulate runs the fleet until nothing waits after the outage.
func simulate(s setting) result {
	random := rand.New(rand.NewPCG(s.seed, 0))
	f := &fleet{setting: s, start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), plans: make(map[int][]int32)}
	f.away[0] = f.start.Add((warmUp+atRest)*s.interval + s.begins)
	f.away[1] = f.away[0].Add(s.outage)
	f.result.begin(f)
	for i := range s.agents {
		f.agents = append(f.agents, agent{
			pace: pace.New(pace.Config{
				Interval: s.interval, Random: random.Float64,
				Identity: fmt.Sprintf("%016x %016x", random.Uint64(), random.Uint64()),
			}),
			skus: cmp.Or(s.skus, skus(i)), width: 1,
		})
	}
	perWindow := int(s.interval / tick)
	for at := 1; ; at++ {
		now := f.start.Add(time.Duration(at) * tick)
		if at%perWindow == 0 {
			f.seal(now, at)
		}
		for _, i := range f.plans[at] {
			if a := &f.agents[i]; a.planned == at {
				f.act(a, i, now, at)
			}
		}
		delete(f.plans, at)
		if now.After(f.away[1]) && f.behind == 0 {
			f.caughtUp(now)
		}
		if now.After(f.away[1].Add(longest)) || !f.result.ended.IsZero() && now.After(f.result.ended.Add(after)) {
			f.result.left = f.behind
			return f.result
		}
	}
}

func skus(i int) int {
	i %= 10
	for _, kind := range kinds {
		if i < kind.ofTen {
			return kind.skus
		}
		i -= kind.ofTen
	}
	panic("fleet: the kinds are not ten of ten")
}

// seal ends a window: every agent has records of it, and those that wait for
// nothing begin to.
func (f *fleet) seal(now time.Time, at int) {
	timestamp := now.Add(-min(f.interval, time.Minute)) // as early as it can be in an agent that is busy
	for i := range f.agents {
		a := &f.agents[i]
		if a.records == 0 {
			f.plan(a, int32(i), at, 0)
		}
		a.waiting = append(a.waiting, sealed{now, timestamp, a.skus})
		a.records += a.skus
		if !now.After(f.away[1]) {
			f.behind += a.skus
		}
	}
}

// plan has an agent act after a pause.
func (f *fleet) plan(a *agent, i int32, at int, pause time.Duration) {
	a.planned = at + int((pause+tick-1)/tick)
	f.plans[a.planned] = append(f.plans[a.planned], i)
}

// act is a step of the agent's send loop.
func (f *fleet) act(a *agent, i int32, now time.Time, at int) {
	oldest := a.waiting[0].timestamp
	if wait := a.pace.Wait(now, oldest, meter.UsableFor-now.Sub(oldest)); wait > 0 {
		f.plan(a, i, at, wait)
		return
	}
	requests := min(a.width, (a.records+meter.MaxRecords-1)/meter.MaxRecords)
	most := a.width * meter.MaxRecords
	a.width = 1
	away := !now.Before(f.away[0]) && now.Before(f.away[1])
	alone := a.alone(now)
	switch {
	case alone:
		requests = 1
	case a.halves(now):
		requests = 2
	}
	f.requested(now, requests)
	switch {
	case away:
		a.failed(now, alone)
		f.plan(a, i, at, a.pace.Failed(now, false, 0))
		return
	case alone:
		a.failing = time.Time{}
		f.accept(a, 1, now)
		a.pace.Answered(now)
		f.plan(a, i, at, latency)
		return
	}
	a.failing = time.Time{}
	full := a.records >= most
	taken := min(a.records, most)
	f.accept(a, taken, now)
	a.pace.Succeeded(now, taken, func() int { return a.records })
	a.pace.Requested(now, requests)
	if full && !a.pace.Spacing() {
		a.width = min(2*most/meter.MaxRecords, width)
	}
	if a.records > 0 {
		f.plan(a, i, at, latency)
		return
	}
	a.pace.Idle(now)
}

// halves reports whether the agent sends its records in two requests now. When
// deliveries have failed for a minute, one of its SKUs may be at fault.
func (a *agent) halves(now time.Time) bool {
	return a.skus > 1 && !a.halved && a.suspects(now)
}

// suspects reports whether deliveries have failed for long enough.
func (a *agent) suspects(now time.Time) bool {
	return !a.failing.IsZero() && now.Sub(a.failing) >= suspected
}

// alone reports whether the agent tries one of its records alone: now and then when
// both halves have failed.
func (a *agent) alone(now time.Time) bool {
	return a.suspects(now) && a.records > 1 && a.halved && !a.probed && !now.Before(a.probe)
}

// pauseAlone bounds the time until a record is tried alone.
func (a *agent) pauseAlone() time.Duration {
	if a.skus == 1 {
		return 4 * time.Minute
	}
	return time.Minute
}

// failed notes a failed delivery.
func (a *agent) failed(now time.Time, alone bool) {
	suspects, halves := a.suspects(now), a.halves(now)
	switch {
	case a.failing.IsZero():
		a.failing, a.halved = now, false
	case suspects && (halves || alone || !a.halved):
		a.halved = true
		a.probe = now.Add(a.pace.Draw(a.pauseAlone()))
	}
	a.probed = alone
}

// accept takes the agent's n oldest records.
func (f *fleet) accept(a *agent, n int, now time.Time) {
	for n > 0 {
		oldest := &a.waiting[0]
		taken := min(n, oldest.records)
		f.accepted(now.Sub(oldest.timestamp), taken)
		oldest.records -= taken
		if !oldest.end.After(f.away[1]) {
			f.behind -= taken
		}
		a.records -= taken
		n -= taken
		if oldest.records == 0 {
			a.waiting = a.waiting[1:]
		}
	}
}
