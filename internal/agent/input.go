package agent

import (
	"time"

	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/tailer"
)

// input is all that the meter loop reads: the followed files, and the sources
// without files.
type input struct {
	*tailer.Tailer
	clocks []*journal.Clock
}

// newInput prepares to read the sources of a configuration. They go on from the
// positions in the ledger.
func newInput(cfg Config, follow tailer.Config) *input {
	in := new(input)
	lastID := int64(0)
	for _, g := range follow.Known {
		lastID = max(lastID, g.ID)
	}
	newID := func() int64 { lastID++; return lastID }
	follow.NewID = newID
	for _, s := range cfg.Rules.Sources {
		if s.Every > 0 {
			in.clocks = append(in.clocks, journal.NewClock(journal.ClockConfig{
				Source: s.Name, Path: s.Stream(), Every: s.Every, Known: follow.Known, NewID: newID, Since: cfg.Since,
			}))
		}
	}
	in.Tailer = tailer.New(follow)
	return in
}

// Next returns the next block of any source, and false if no source has anything
// to read at present. The block is valid until the next call.
func (in *input) Next(now time.Time) (meter.Block, bool) {
	for _, c := range in.clocks {
		if block, ok := c.Next(now); ok {
			return block, true
		}
	}
	return in.Tailer.Next(now)
}

// dueBefore returns when a source has something to read without being notified,
// if that is before at, and else at.
func (in *input) dueBefore(at, now time.Time) time.Time {
	for _, c := range in.clocks {
		if due := c.Due(now); due.Before(at) {
			at = due
		}
	}
	return at
}

// Changed reports whether there is anything for Take to return.
func (in *input) Changed() bool {
	for _, c := range in.clocks {
		if c.Changed() {
			return true
		}
	}
	return in.Tailer.Changed()
}

// Take does for all sources what Tailer.Take does.
func (in *input) Take(tally *meter.Tally) (generations []meter.Generation, copies []meter.Copy, globs map[string]time.Time) {
	generations, copies, globs = in.Tailer.Take(tally)
	for _, c := range in.clocks {
		generations = append(generations, c.Take(tally)...)
	}
	return generations, copies, globs
}

// seen returns when the clocks were last read; zero if there are none.
func (in *input) seen() time.Time {
	if len(in.clocks) == 0 {
		return time.Time{}
	}
	return in.clocks[0].Seen()
}
