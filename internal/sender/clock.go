package sender

import (
	"net/http"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

const (
	// nearlyExpired is how old a record is when an attempt may arrive too late.
	nearlyExpired = meter.UsableFor - time.Minute

	// aheadMargin is how far the API's clock may be from what we know of it.
	aheadMargin = time.Second

	// lenience is how far the API may stretch its limits for timestamps. A Date
	// that says more against an accepted record is not the API's time.
	lenience = 2 * time.Minute

	// mostDrift is how far our clock may move against the monotonic clock
	// before we conclude that somebody set it.
	mostDrift = 2 * time.Second
)

// clock holds what is known of the API's clock: the Date of answers with a
// verdict, and nothing else. Pages of load balancers have dates of their own.
type clock struct {
	mu     sync.Mutex
	skew   time.Duration // the API's clock minus ours
	at     time.Time     // when that was observed; the monotonic clock tells how long ago
	wall   time.Time     // what our clock showed then
	latest time.Time     // the latest time that the API's clock has shown
}

// observe takes in the Date of an answer, with our times of its request and
// its arrival. A Date is cut to the second. So a difference of less than a
// second and half the round trip counts as none.
func (c *clock) observe(server, sent, answered time.Time) {
	travel := answered.Sub(sent) / 2
	skew := server.Add(time.Second / 2).Sub(answered.Add(-travel))
	if skew.Abs() <= time.Second+travel {
		skew = 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skew, c.at, c.wall = skew, answered, answered.Round(0)
	if server.After(c.latest) {
		c.latest = server
	}
}

// hasPassed reports whether the API's clock has been seen at t or later.
func (c *clock) hasPassed(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.latest.Before(t)
}

// known reports whether the API's clock was observed, and ours was not set since.
func (c *clock) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.at.IsZero() && !c.wasSet(time.Now())
}

// wasSet reports whether our clock was set since the API's was observed. c.mu
// is held.
func (c *clock) wasSet(now time.Time) bool {
	drift := now.Round(0).Sub(c.wall) - now.Sub(c.at)
	return drift.Abs() > mostDrift
}

// get returns the skew. It returns 0 if our clock was set since: nobody asks
// about a record that waits by an old skew.
func (c *clock) get() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wasSet(time.Now()) {
		return 0
	}
	return c.skew
}

// now returns the API's time, as far as it is known; ours otherwise.
func (c *clock) now() time.Time { return time.Now().Add(c.get()) }

// isOld reports whether an attempt at a record of this timestamp may find it expired.
func (c *clock) isOld(timestamp time.Time) bool { return c.now().Sub(timestamp) > nearlyExpired }

// isAhead reports whether the API's clock may not have reached the timestamp.
func (c *clock) isAhead(timestamp time.Time) bool { return timestamp.After(c.now().Add(-aheadMargin)) }

// agrees reports whether the API's clock and ours show about the same time. If they
// do not, nobody knows which of them is wrong.
func (c *clock) agrees() bool { return c.known() && c.get().Abs() <= lenience }

// vouchesFor reports whether the API certainly takes a record of this timestamp now.
func (c *clock) vouchesFor(timestamp time.Time) bool {
	return c.agrees() && !c.isOld(timestamp) && !c.isAhead(timestamp)
}

// dated is the Date of an answer.
type dated struct {
	date           string
	sent, answered time.Time
}

// observeAnswer believes the Date of an answer that has a verdict, unless it
// contradicts what the API accepted.
func (c *clock) observeAnswer(d dated, accepted []time.Time) {
	server, err := http.ParseTime(d.date)
	if err != nil {
		return
	}
	for _, timestamp := range accepted {
		if age := server.Sub(timestamp); age < -lenience || age > meter.UsableFor+lenience {
			return
		}
	}
	c.observe(server, d.sent, d.answered)
}
