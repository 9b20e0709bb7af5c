// Package pace says when an agent sends its next request, so that the agents
// of a fleet do not march in step.
//
// # Promises
//
// The records of a window are sealed at its end, on every machine at the same
// second. Each agent waits from there for a time of its own, shorter than the
// window and at most [Widest]. It comes from a hash of machine and ledger, so
// it stays the same for one agent.
//
// While deliveries fail, the pauses grow with the time that they have failed.
// After a long outage an agent sends what was held back a little faster than
// it sends at other times. Neither wait delays a record into the last minutes
// of its hour.
//
// # Ownership
//
// A Pace is owned by one goroutine. It keeps no clock: each method takes now.
package pace

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Widest is the longest time over which an agent's deliveries are spread. Over
// 30 seconds 100,000 agents with a window of a minute would send twice their
// mean rate, and in some seconds more by chance. The two seconds above 30 leave
// room for chance.
const Widest = 32 * time.Second

const (
	firstPause  = time.Second      // after a first failed delivery
	growth      = 2                // of the pauses
	shortOutage = 10 * time.Second // the longest pause until the outage is old
	operators   = 20 * time.Second // the same where somebody must act
	longOutage  = 45 * time.Second // the longest pause
	lag         = 6                // a pause takes at most this part of the outage

	longFailure = 5 * time.Minute // a shorter outage holds back too little to spread
	reserve     = 5 * time.Minute // a record with less of its hour left does not wait
)

// Config says what a Pace spreads. The zero value spreads nothing: every
// delivery goes at once.
type Config struct {
	Interval time.Duration  // the length of a window
	Identity string         // names machine and ledger; "": deliveries are not spread
	Random   func() float64 // draws from [0, 1); nil: rand.Float64
}

// Pace is the schedule of one agent's requests.
type Pace struct {
	interval time.Duration
	offset   time.Duration // from the end of a window to the delivery
	spread   bool
	random   func() float64

	failures int       // in a row
	failing  time.Time // since when deliveries fail; zero: they do not
	begun    time.Time // when Wait let the last request go
	spacing  time.Duration
	next     time.Time // while spacing is set: when the next request may go
}

// New returns the pace of one agent.
func New(cfg Config) *Pace {
	p := &Pace{interval: cfg.Interval, random: cfg.Random}
	if p.random == nil {
		p.random = rand.Float64
	}
	if cfg.Identity != "" && cfg.Interval > 0 {
		p.spread = true
		p.offset = Offset(cfg.Identity, cfg.Interval)
	}
	return p
}

// Offset returns how long after the end of a window the agent with this
// identity delivers.
func Offset(identity string, interval time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(identity))
	x := h.Sum64() // its high bits are alike for names that end alike: mix them
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return time.Duration(float64(x>>11) / (1 << 53) * float64(min(interval, Widest)))
}

// Wait returns how long the next request waits. left is how long the API takes
// the oldest record that it holds. While deliveries fail, the pauses of Failed
// are all that there is to wait.
func (p *Pace) Wait(now time.Time, left time.Duration) time.Duration {
	if wait := p.wait(now, left); wait > 0 {
		return wait
	}
	p.begun = now
	return 0
}

func (p *Pace) wait(now time.Time, left time.Duration) time.Duration {
	if !p.spread || !p.failing.IsZero() {
		return 0
	}
	var wait time.Duration
	if p.spacing > 0 {
		wait = min(p.next.Sub(now), p.spacing)
	} else {
		begun := meter.WindowAt(now, p.interval).StartTime()
		wait = begun.Add(p.offset).Sub(now)
	}
	if left-wait < reserve {
		return 0
	}
	return max(wait, 0)
}

// CatchingUp reports whether what an outage held back goes at its own pace:
// one request at a time.
func (p *Pace) CatchingUp() bool { return p.spacing > 0 }

// Requested notes how many requests went out at now.
func (p *Pace) Requested(now time.Time, requests int) {
	p.next = now.Add(time.Duration(requests) * p.spacing)
}

// Idle notes that no sealed record is left.
func (p *Pace) Idle() { p.spacing = 0 }

// Failed notes a failed delivery and returns how long to wait before the next.
// slow says that somebody must act before it can succeed; asked is how long the
// API asks to wait. The time that the delivery took is part of the pause. So an API
// that hangs gets as many requests as an API that refuses.
func (p *Pace) Failed(now time.Time, slow bool, asked time.Duration) time.Duration {
	if p.failing.IsZero() || now.Before(p.failing) {
		p.failing = now
	}
	p.failures++
	least := shortOutage
	if slow {
		least = operators
	}
	longest := least
	if p.spread {
		longest = min(max(now.Sub(p.failing)/lag, least), longOutage)
	}
	pause := min(float64(firstPause)*math.Pow(growth, float64(p.failures-1)), float64(longest))
	pause *= 1 - p.random()/3
	taken := max(now.Sub(p.begun), 0)
	return max(time.Duration(pause)-taken, min(time.Duration(pause), firstPause), asked)
}

// Succeeded notes a delivery that succeeded at now. sealed returns the number
// of records that still wait; Succeeded calls it only after a long outage.
func (p *Pace) Succeeded(now time.Time, sealed func() int) {
	if p.failing.IsZero() {
		return
	}
	outage := now.Sub(p.failing)
	p.failing, p.failures = time.Time{}, 0
	if p.spread && outage >= longFailure {
		p.spacing = p.spacingAfter(outage, sealed())
		p.Requested(now, 1)
	}
}

// spacingAfter returns the time between two requests that makes five of them
// where two are usual: with fewer the end would be far, with more the API would
// see all agents come back at once.
func (p *Pace) spacingAfter(outage time.Duration, sealed int) time.Duration {
	perWindow := float64(sealed) * float64(p.interval) / float64(outage)
	usual := max(math.Ceil(perWindow/meter.MaxRecords), 1)
	return time.Duration(float64(min(p.interval, time.Minute)) * 2 / 5 / usual)
}
