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
	c.skew = skew
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

func (c *clock) get() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew
}
