package agent

import (
	"context"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

// readingPatience is how long a stretch of a rule with peak waits for a reader that is
// behind, when the API will soon take it no more.
const readingPatience = time.Minute

// peakClock knows when stretches of rules with peak may be closed. The meter loop
// owns it.
//
// A stretch is closed when everything was read that stood in the logs when its lines
// were no longer awaited. A reader that is behind must not cost the whole record: 55
// minutes after its end a stretch is closed with what was read. If the API takes no
// record of it any more, it waits for the reader again.
type peakClock struct {
	rules    []*meter.Rule
	interval time.Duration
	allRead  time.Time // when everything was read last; zero until then
	behind   time.Time // since when a reader may be behind: the same, or when the agent started
	next     time.Time // when the next stretch may be closed; zero if none is open
}

// drained notes that everything was read.
func (c *peakClock) drained(now time.Time) { c.allRead, c.behind = now.Round(0), now }

// added notes that samples were committed.
func (c *peakClock) added() { c.next = unknownSeal }

// due reports whether a stretch can be closed.
func (c *peakClock) due() bool { return !c.next.IsZero() && !c.allRead.Before(c.next) }

// wakeAt returns when a stretch may be closed next, and zero if none is open. While a
// reader is behind, it is asked again every second.
func (c *peakClock) wakeAt(now time.Time) time.Time {
	if !c.next.IsZero() && !c.next.After(now) && !c.due() {
		return now.Add(time.Second)
	}
	return c.next
}

// closing says which stretches are to be closed at now. How long a reader has been
// behind does not change when the clock is set.
func (c *peakClock) closing(now time.Time) ledger.Closing {
	if c.behind.IsZero() {
		c.behind = now
	}
	patient := now.Sub(c.behind) <= readingPatience
	now = now.Round(0)
	if c.allRead.After(now) { // the clock was set back
		c.allRead = now
	}
	closing := ledger.Closing{Now: now, Read: c.allRead, Interval: c.interval, Rules: c.rules}
	if !patient {
		closing.From, closing.Over = now.Add(-meter.UsableFor), now.Add(-meter.LateAfter)
	}
	return closing
}

// close closes stretches, and finds out when the next may be closed. While the
// ledger closes none, it is asked again every second.
func (c *peakClock) close(ctx context.Context, book *ledger.Ledger, closing ledger.Closing) error {
	if c.next.IsZero() {
		return nil
	}
	if _, err := book.ClosePeaks(ctx, closing); err != nil {
		return err
	}
	next, err := book.NextClosing(ctx)
	if err != nil {
		return err
	}
	if c.next = next; c.due() {
		c.next = closing.Now.Add(time.Second)
	}
	return nil
}

// closeOver closes every stretch that is over by the clock. It is for an agent that
// has read everything and ends.
func (c *peakClock) closeOver(ctx context.Context, book *ledger.Ledger, now time.Time) error {
	return c.close(ctx, book, ledger.Closing{Now: now, Over: now, Interval: c.interval, Rules: c.rules})
}
