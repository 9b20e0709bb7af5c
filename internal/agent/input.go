package agent

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/tailer"
)

// journalUnreadable is the code of the problem that a journal cannot be read.
const journalUnreadable = "journal_unreadable"

// input is all that the meter loop reads: the followed files, and the sources
// without files.
type input struct {
	*tailer.Tailer
	clocks   []*journal.Clock
	journals []*journal.Stream
	turn     int           // the journal that is read next; after the last one, the files are
	woken    chan struct{} // has a value after a journal had something to read
	behind   time.Time     // when a journal last returned old entries, or was first read
}

// newInput prepares to read the sources of a configuration. They go on from the
// positions in the ledger.
func newInput(cfg Config, follow tailer.Config) *input {
	in := &input{woken: make(chan struct{}, 1)}
	lastID := int64(0)
	for _, g := range follow.Known {
		lastID = max(lastID, g.ID)
	}
	newID := func() int64 { lastID++; return lastID }
	follow.NewID = newID
	for _, s := range cfg.Rules.Sources {
		if s.Journal != nil {
			in.journals = append(in.journals, journal.NewStream(in.journal(cfg, s, follow.Known, newID)))
		}
		if s.Every > 0 {
			in.clocks = append(in.clocks, journal.NewClock(journal.ClockConfig{
				Source: s.Name, Path: s.Stream(), Every: s.Every, Known: follow.Known, NewID: newID, Since: cfg.Since,
			}))
		}
	}
	in.Tailer = tailer.New(follow)
	return in
}

// journal returns how a source of the journal is read.
func (in *input) journal(cfg Config, s *rules.Source, known []meter.Generation, newID func() int64) journal.Config {
	c := journal.Config{
		Source: s.Name, Path: s.Stream(), Query: journal.NewQuery(cmp.Or(cfg.machine.ID, journal.MachineID()), s.Journal.Units, s.Journal.Identifiers, s.Journal.Matches),
		AtEnd: s.StartAt == "end", Known: known, NewID: newID, Wake: in.wake, Machine: cfg.machine,
	}
	if names, all := cfg.Rules.EntryFields(); !all {
		c.Fields = append([]string{}, names...)
	}
	return c
}

// wake ends a Wait. Any goroutine may call it.
func (in *input) wake() {
	select {
	case in.woken <- struct{}{}:
	default:
	}
}

// Next returns the next block of any source, and false if no source has anything
// to read at present. The block is valid until the next call.
func (in *input) Next(now time.Time) (meter.Block, bool) {
	for _, c := range in.clocks {
		if block, ok := c.Next(now); ok {
			return block, true
		}
	}
	for range len(in.journals) + 1 {
		turn := in.turn
		in.turn = (in.turn + 1) % (len(in.journals) + 1)
		if turn == len(in.journals) {
			if block, ok := in.Tailer.Next(now); ok {
				return block, true
			}
		} else if block, ok := in.journals[turn].Next(now); ok {
			if !block.Fresh {
				in.behind = now
			}
			return block, true
		}
	}
	return meter.Block{}, false
}

// journalPatience is how long a journal may take to return its next old entry.
const journalPatience = 10 * time.Second

// allRead reports whether everything was read that was written a minute ago, once
// Next has nothing to read. Files that wait for descriptors, or for the file before
// them, were not read. A journal is read by another process, which may have yet to
// begin.
func (in *input) allRead(now time.Time) bool {
	if in.behind.IsZero() {
		in.behind = now
	}
	for _, j := range in.journals {
		if j.Trouble() != nil || now.Sub(in.behind).Abs() < journalPatience {
			return false
		}
	}
	return in.Tailer.NotLookedAt() == 0 && !in.Tailer.Undecided()
}

// Wait sleeps as Tailer.Wait does, or until a journal has something to read.
func (in *input) Wait(ctx context.Context, until time.Time) {
	if len(in.journals) == 0 {
		in.Tailer.Wait(ctx, until)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-in.woken:
			cancel()
		case <-ctx.Done():
		}
	})
	in.Tailer.Wait(ctx, until)
	cancel()
	watching.Wait()
}

// toEnd has the journals read to their end, and no further.
func (in *input) toEnd() {
	for _, j := range in.journals {
		j.ToEnd()
	}
}

// unread returns which journals cannot be read, and why.
func (in *input) unread() (problems []meter.Problem) {
	for _, j := range in.journals {
		if err := j.Trouble(); err != nil {
			problems = append(problems, meter.Problem{
				Code: journalUnreadable, Subject: j.Path(), Message: j.Path() + " cannot be read: " + err.Error(),
				Hint: journal.Hint,
			})
		}
	}
	return problems
}

// Close closes all sources.
func (in *input) Close() {
	for _, j := range in.journals {
		j.Close()
	}
	in.Tailer.Close()
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
	for _, j := range in.journals {
		if j.Changed() {
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
	for _, j := range in.journals {
		generations = append(generations, j.Take(tally)...)
	}
	return generations, copies, globs
}

// seen returns when the clocks were last read, or zero without clocks.
func (in *input) seen() time.Time {
	if len(in.clocks) == 0 {
		return time.Time{}
	}
	return in.clocks[0].Seen()
}
