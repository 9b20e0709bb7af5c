package sender

import (
	"net/http"
	"sync"
	"time"
)

// clock is what is known of the API's clock, from the Date of its answers.
type clock struct {
	mu     sync.Mutex
	skew   time.Duration // the API's clock minus ours
	at     time.Time     // when that was observed; the monotonic clock tells how long ago
	wall   time.Time     // what our clock showed then
	latest time.Time     // the latest time that the API's clock has shown
}

// observe takes in the Date of an answer to a request that was sent and
// answered at these times of ours. A Date is cut to the second, so that less
// than a second and half the round trip is no skew at all.
func (c *clock) observe(date string, sent, answered time.Time) {
	server, err := http.ParseTime(date)
	if err != nil {
		return
	}
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

// hasPassed reports whether the API's clock has been seen at t or behind it.
func (c *clock) hasPassed(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.latest.Before(t)
}

// trusted reports whether what is known of the API's clock, if anything, still
// holds.
func (c *clock) trusted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.IsZero() || !c.wasSet(time.Now())
}

// known reports whether the API's clock was observed, and ours not set since.
func (c *clock) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.at.IsZero() && !c.wasSet(time.Now())
}

// forget has the skew be unknown, as before the first observation.
func (c *clock) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skew, c.at = 0, time.Time{}
}

// wasSet reports whether our clock was set since the API's was observed. c.mu
// is held.
func (c *clock) wasSet(now time.Time) bool {
	drift := now.Round(0).Sub(c.wall) - now.Sub(c.at)
	return drift.Abs() > mostDrift
}

// mostDrift is how far our clock may have moved otherwise than the monotonic
// one before it passes for having been set.
const mostDrift = 2 * time.Second

// get returns the skew; 0, as if nothing were known, when our clock was set
// since it was observed: what lay in the API's future by the old skew would
// wait for an answer that nobody asks for.
func (c *clock) get() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wasSet(time.Now()) {
		return 0
	}
	return c.skew
}
