package journal

import (
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// ClockConfig says what a Clock gives.
type ClockConfig struct {
	Source string        // its name
	Path   string        // of its generations
	Every  time.Duration // the length of a stretch, in whole seconds

	Known []meter.Generation // of the ledger, of any source
	NewID func() int64       // returns the ID of a new generation

	// Since is when an agent of this process last read the clock. It ran without a
	// pause from then on. Zero: the agent begins with the first call of Next.
	Since time.Time
}

// Clock gives an event for each stretch of UTC time at whose end the agent runs.
// Stretches are aligned to the Unix epoch. It gives no stretch twice, whatever
// the machine's clock does: it keeps the stretches that it gave, in runs.
//
// It belongs to one goroutine.
type Clock struct {
	cfg    ClockConfig
	length int64  // of a stretch, in seconds
	runs   []*run // of stretches that follow one another, by their time
	seen   time.Time
	ahead  []int64 // beginnings of stretches that are still to be given, ascending
	missed meter.Tally
}

// run is a generation of the clock: stretches without a gap. It reaches from its
// Born to its Offset, in seconds since 1970.
type run struct {
	meter.Generation
	changed bool
}

func (r *run) start() int64 { return r.Born / int64(time.Second) }

// mostRuns bounds the number of runs. Beyond it the two oldest become one, and the
// time between them counts as given.
const mostRuns = 100

// NewClock returns a clock that goes on where the ledger left it.
func NewClock(cfg ClockConfig) *Clock {
	c := &Clock{cfg: cfg, length: int64(cfg.Every / time.Second), seen: cfg.Since}
	for _, g := range cfg.Known {
		if g.Path == cfg.Path && g.State != meter.Forgotten {
			c.runs = append(c.runs, &run{Generation: g})
		}
	}
	c.cfg.Known = nil
	slices.SortFunc(c.runs, func(a, b *run) int { return int(min(1, max(-1, a.start()-b.start()))) })
	return c
}

// Next returns the events of stretches that have ended, and false if no stretch
// has. Afterwards they count as given: the positions that Take returns are behind
// them.
func (c *Clock) Next(now time.Time) (meter.Block, bool) {
	c.pass(now)
	if len(c.ahead) == 0 {
		return meter.Block{}, false
	}
	first := c.ahead[0]
	n := 1
	for n < len(c.ahead) && c.ahead[n] == first+int64(n)*c.length {
		n++
	}
	to := first + int64(n)*c.length
	c.ahead = c.ahead[n:]
	r := c.give(first, to)
	return c.block(r.Generation, first, to, now), true
}

// pass notes the stretches that have ended since the last call.
func (c *Clock) pass(now time.Time) {
	if c.seen.IsZero() {
		c.seen = now
	}
	from := c.seen.Round(0)
	ran := now.Sub(c.seen) // by the monotonic clock, which nobody sets and which rests while the machine sleeps
	if jump := now.Round(0).Sub(from) - ran; jump.Abs() > time.Second {
		from = now.Round(0).Add(-ran) // somebody set the clock, or the machine slept
	}
	c.seen = now
	if len(c.runs) == 0 {
		c.insert(from.Unix()-mod(from.Unix(), c.length), 0)
	}
	end := from.Unix() - mod(from.Unix(), c.length) + c.length
	noted := c.ahead
	for ; end <= now.Unix(); end += c.length {
		start := end - c.length
		given := slices.ContainsFunc(c.runs, func(r *run) bool { return start < r.Offset && r.start() < end })
		if _, again := slices.BinarySearch(noted, start); !given && !again {
			c.ahead = append(c.ahead, start)
		}
	}
	slices.Sort(c.ahead)
}

// mod returns the rest of a division, which is never negative.
func mod(seconds, length int64) int64 { return (seconds%length + length) % length }

// give notes that the stretches from one time to another are given, and returns
// their run. After the clock was set back, they may count as missed already.
func (c *Clock) give(from, to int64) *run {
	c.unmiss(from, to)
	for _, r := range c.runs {
		if r.Offset == from && r.Query == c.cfg.Every.String() {
			r.Offset, r.EOFAt = to, to
			c.turnTo(r)
			return r
		}
	}
	last := c.runs[len(c.runs)-1]
	r := c.insert(from, to-from)
	if missed := (from - last.Offset) / c.length; missed > 0 {
		r.Missed = missed
		c.missed.AddAnomaly(c.missedKey(), 0, "the first began at "+time.Unix(last.Offset, 0).UTC().Format(time.RFC3339))
		c.missed.Anomalies[c.missedKey()].Count += missed - 1
	}
	return r
}

func (c *Clock) missedKey() meter.AnomalyKey {
	return meter.AnomalyKey{Kind: meter.StretchMissed, Subject: c.cfg.Source}
}

// unmiss withdraws the missed stretches from one time to another. Each run knows
// how many stretches were missed before it.
func (c *Clock) unmiss(from, to int64) {
	for _, r := range c.runs {
		if r.start() < to {
			continue
		}
		for range min((to-from)/c.length, r.Missed) {
			c.missed.TakeBack(c.missedKey(), 0)
			r.Missed--
			r.changed = true
		}
		return
	}
}

// insert begins a run at a time, with a length in seconds.
func (c *Clock) insert(from, length int64) *run {
	r := &run{Generation: meter.Generation{
		ID: c.cfg.NewID(), Path: c.cfg.Path, Offset: from + length, EOFAt: from + length, Born: from * int64(time.Second),
		Query: c.cfg.Every.String(),
	}}
	c.turnTo(r)
	i := len(c.runs)
	for i > 0 && c.runs[i-1].start() > from {
		i--
	}
	c.runs = slices.Insert(c.runs, i, r)
	return r
}

// turnTo makes r the run that goes on now.
func (c *Clock) turnTo(r *run) {
	for _, other := range c.runs {
		if other.State == meter.Live && other != r {
			other.State, other.changed = meter.Done, true
		}
	}
	r.State, r.changed = meter.Live, true
}

// block returns the events of the stretches from one time to another. Each
// text is the last second of its stretch, and the event counts at that time.
func (c *Clock) block(g meter.Generation, from, to int64, now time.Time) meter.Block {
	b := Stretches(g, from, to)
	b.Sources, b.ReadAt, b.Fresh = []string{c.cfg.Source}, now, now.Unix()-to < 60
	return b
}

// IsClock reports whether a clock gave the events of a generation.
func IsClock(g meter.Generation) bool { return strings.HasPrefix(g.Path, clockPath) }

const clockPath = "clock:"

// Stretches returns the events of a clock's generation from one time to another,
// in seconds since 1970.
func Stretches(g meter.Generation, from, to int64) meter.Block {
	every, err := time.ParseDuration(g.Query)
	if length := int64(every / time.Second); err == nil && length > 0 {
		return stretches(g, length, from, to)
	}
	return meter.Block{}
}

func stretches(g meter.Generation, length, from, to int64) meter.Block {
	b := meter.Block{Generation: g.ID, Path: g.Path, Start: from}
	for start := from; start+length <= to; start += length {
		b.Data = time.Unix(start+length-1, 0).UTC().AppendFormat(b.Data, time.RFC3339)
		b.Data = append(b.Data, '\n')
		b.Events = append(b.Events, meter.Event{End: len(b.Data), From: start, To: start + length})
	}
	return b
}

// Due returns when the stretch ends that now is in.
func (c *Clock) Due(now time.Time) time.Time {
	left := c.length - mod(now.Unix(), c.length)
	return now.Add(time.Duration(left)*time.Second - time.Duration(now.Nanosecond()))
}

// Seen returns when Next was last called: a Since for the next clock.
func (c *Clock) Seen() time.Time { return c.seen }

// Changed reports whether there is anything for Take to return.
func (c *Clock) Changed() bool {
	return !c.missed.Empty() || slices.ContainsFunc(c.runs, func(r *run) bool { return r.changed })
}

// Take returns the generations that changed since the last call, and moves the
// missed stretches since then into tally. Commit both together with the counts of
// the blocks since the last call.
func (c *Clock) Take(tally *meter.Tally) (generations []meter.Generation) {
	for len(c.runs) > mostRuns {
		oldest, next := c.runs[0], c.runs[1]
		oldest.State = meter.Forgotten
		next.Born, next.Missed, next.changed = oldest.Born, 0, true
		generations = append(generations, oldest.Generation)
		c.runs = c.runs[1:]
	}
	for _, r := range c.runs {
		if r.changed {
			r.changed = false
			generations = append(generations, r.Generation)
		}
	}
	tally.AddAnomalies(&c.missed)
	c.missed.Reset()
	return generations
}
