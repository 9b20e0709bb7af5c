// Package pace says when an agent sends its next request, so that the agents
// of a fleet do not march in step.
//
// # Promises
//
// The records of a window are sealed at its end, on every machine at the same
// second. Each agent waits from there for a time of its own, shorter than the
// window and at most [Widest]. It comes from a hash of machine and ledger, so
// it stays the same for one agent. An agent that needs several requests for a
// window spreads them evenly over the window.
//
// A delivery that failed is tried again within half a minute. So an agent
// delivers again half a minute after any outage at the latest, and the agents
// of a fleet do not come back at once. After a longer outage an agent sends
// what was held back a few times as fast as at other times. No wait delays a
// record into the last minutes of its hour.
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

// Widest is the longest time over which the agents' moments are spread.
const Widest = 30 * time.Second

const (
	firstPause = time.Second      // after a first failed delivery
	growth     = 2                // of the pauses
	longest    = 10 * time.Second // of the pauses
	operators  = 20 * time.Second // the same where somebody must act
	jitter     = 3                // a pause is up to this part of it shorter, by chance

	// An agent that spreads its deliveries pauses for almost half a window, at most
	// 29.8 s. Shorter pauses would show the API too many attempts, longer ones would
	// keep a delivery waiting for more than half a minute. More chance would move some
	// agents into the seconds of others.
	spreadPart   = 29.8 / 60
	spreadJitter = 200
	flowing      = 10 * time.Second // after an answer so lately, one failure does not make an outage

	longOutage = 100 * time.Second // a shorter outage holds back too little to spread
	haste      = 3.5               // after a longer one: how many requests go where one is usual
	leastGap   = time.Second       // a round that needs closer requests is not spread
	reserve    = 5 * time.Minute   // a record with less of its hour left does not wait
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
	round    time.Duration // the interval, at most a minute: over it an agent spreads several requests
	offset   time.Duration // from the end of a window to the delivery
	spread   bool
	random   func() float64

	failures  int       // in a row
	failing   time.Time // since when deliveries fail; zero: they do not
	answered  time.Time // the time of the last delivery that succeeded
	recovered time.Time // when the last outage ended
	begun     time.Time // when Wait let the last request go

	spacing time.Duration // between the requests of a round; 0: no round is under way
	next    time.Time     // while spacing is set: when the next request may go
}

// New returns the pace of one agent.
func New(cfg Config) *Pace {
	p := &Pace{interval: cfg.Interval, round: min(cfg.Interval, time.Minute), random: cfg.Random}
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

// Wait returns how long the next request waits. oldest is the timestamp of the
// oldest record that it holds, and left how long the API still takes that record.
// While deliveries fail, the pauses of Failed are all that there is to wait.
func (p *Pace) Wait(now, oldest time.Time, left time.Duration) time.Duration {
	if wait := p.wait(now, oldest); wait > 0 && left-wait >= reserve {
		return wait
	}
	p.begun = now
	return 0
}

func (p *Pace) wait(now, oldest time.Time) time.Duration {
	if !p.spread || !p.failing.IsZero() {
		return 0
	}
	if p.spacing > 0 {
		return min(p.next.Sub(now), p.round)
	}
	moment := meter.WindowAt(now, p.interval).StartTime().Add(p.offset).Sub(now)
	calm := p.recovered.Add(p.round / 2).Sub(now)
	switch {
	case calm <= 0 || calm > p.round/2: // the latter by a clock that was set back
		return moment
	case meter.WindowAt(oldest, p.interval).EndTime().After(p.recovered):
		return max(moment, calm) // other agents still come back
	}
	return 0 // the outage held it back
}

// Spacing reports whether requests go one at a time, with pauses in between.
func (p *Pace) Spacing() bool { return p.spacing > 0 }

// Hurry ends the spacing of requests: the backlog is this machine's alone.
func (p *Pace) Hurry() { p.spacing = 0 }

// Requested notes how many requests went out at now.
func (p *Pace) Requested(now time.Time, requests int) {
	if next := now.Add(time.Duration(requests) * p.spacing); next.After(p.next) || p.next.Sub(now) > p.round {
		p.next = next
	}
}

// Idle notes that no sealed record is left at now.
func (p *Pace) Idle(now time.Time) {
	if !p.failing.IsZero() {
		p.recovered = now
	}
	p.spacing, p.failing, p.failures = 0, time.Time{}, 0
}

// Failed notes a failed delivery and returns how long to wait before the next.
// slow says that somebody must act before it can succeed; asked is how long the
// API asks to wait. The time that the delivery took is part of the pause. So an API
// that hangs gets as many requests as an API that refuses.
func (p *Pace) Failed(now time.Time, slow bool, asked time.Duration) time.Duration {
	if p.failing.IsZero() || now.Before(p.failing) {
		p.failing = now
	}
	p.failures++
	most := longest
	if slow {
		most = operators
	}
	pause := time.Duration(min(float64(firstPause)*math.Pow(growth, float64(p.failures-1)), float64(most)))
	part := jitter
	if least := time.Duration(spreadPart * float64(p.round)); p.spread && least > pause && !p.flows(now) {
		pause, part = least, spreadJitter
	}
	pause -= time.Duration(p.random() * float64(pause) / float64(part))
	taken := max(now.Sub(p.begun), 0)
	return max(pause-taken, min(pause, firstPause), asked)
}

// flows reports whether a single delivery failed among others that succeed.
func (p *Pace) flows(now time.Time) bool {
	since := now.Sub(p.answered)
	return p.failures == 1 && since >= 0 && since < flowing
}

// Answered notes that the API answered a request, which does not show yet that
// deliveries succeed again.
func (p *Pace) Answered(now time.Time) { p.failures, p.answered = 0, now }

// Draw returns a time below atMost, by chance. It is shorter where windows are shorter
// than a minute, and 0 where nothing is spread.
func (p *Pace) Draw(atMost time.Duration) time.Duration {
	if !p.spread {
		return 0
	}
	return time.Duration(p.random() * float64(atMost) * p.round.Minutes())
}

// Succeeded notes that a delivery of this number of records succeeded at now. sealed returns
// the number of records that still wait.
func (p *Pace) Succeeded(now time.Time, records int, sealed func() int) {
	failed, outage := !p.failing.IsZero(), now.Sub(p.failing)
	p.failing, p.failures, p.answered = time.Time{}, 0, now
	if failed {
		p.recovered = now
	}
	switch {
	case !p.spread:
	case failed && outage >= longOutage:
		p.spacing = p.spacingAfter(p.windows(now.Add(-outage), now), records, sealed())
		p.next = now.Add(p.round/2 + p.Draw(30*time.Second)) // the other agents have come back then
	case !failed && p.spacing == 0:
		p.spacing = p.spacingAtRest(records, sealed())
	}
}

// spacingAtRest returns the time between the deliveries that a window takes. It returns
// 0 if one is enough, or if spacing would make them too slow.
func (p *Pace) spacingAtRest(records, left int) time.Duration {
	gap := p.round / time.Duration(deliveries(left, records)+1)
	if left == 0 || gap < leastGap {
		return 0
	}
	return gap
}

// windows returns the number of windows whose records an outage has held back.
func (p *Pace) windows(from, to time.Time) int {
	held := meter.WindowAt(to, p.interval).Start - meter.WindowAt(from, p.interval).Start
	return 1 + int(held/int64(p.interval/time.Second))
}

// spacingAfter returns the time between two deliveries after an outage that has held
// back the records of so many windows. With longer times the end would be far. With
// shorter ones the API would see all agents come back at once.
func (p *Pace) spacingAfter(windows, records, left int) time.Duration {
	if left == 0 {
		return 0
	}
	perWindow := (left + records + windows - 1) / windows
	usual := deliveries(perWindow, records)
	return time.Duration(float64(p.round) / haste / float64(max(usual, 1)))
}

// deliveries returns the number of deliveries that n records take.
func deliveries(n, records int) int {
	records = max(records, 1)
	return (n + records - 1) / records
}
