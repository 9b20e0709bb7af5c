package sender

import (
	"net/http"
	"testing"
	"time"
)

func TestSkewIsForgottenWhenTheClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second, -3 * time.Second} {
		var c clock
		if c.get() != 0 {
			t.Error("skew known before any answer")
		}
		now := time.Now()
		c.observe(now.Add(-time.Hour).UTC().Format(http.TimeFormat), now, now)
		if got := c.get(); (got + time.Hour).Abs() > time.Second {
			t.Errorf("skew %v, want an hour behind", got)
		}
		c.wall = c.wall.Add(-step) // as if our clock had been set forward by step since
		if got := c.get(); got != 0 {
			t.Errorf("clock set by %v: skew %v is still believed", step, got)
		}
		now = time.Now()
		c.observe(now.Add(step).UTC().Format(http.TimeFormat), now, now)
		if got := c.get(); (got - step).Abs() > time.Second {
			t.Errorf("skew %v after another answer, want %v", got, step)
		}
	}
}
