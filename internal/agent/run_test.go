package agent

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

func TestRunGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.sent("a.log", 3)
	stop := s.run()
	until(t, "the first lines are counted", func() bool { return s.counted(sku) == 3 })
	s.sent("a.log", 4)
	stop()
	if n := s.counted(sku); n != 3 && n != 7 {
		t.Fatalf("%d lines are counted at the end of the first run", n)
	}
	s.sent("a.log", 5) // while nobody watches
	defer s.run()()
	until(t, "all is billed", func() bool { return s.billed(sku) == 12 })
	s.sent("a.log", 1)
	until(t, "what comes later is billed as well", func() bool { return s.billed(sku) == 13 })
}

// A file of many blocks that nobody writes to any more gives no notifications:
// between its blocks the agent must not wait for one, nor call itself ready.
func TestRunReadsABacklogWithoutPause(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.sent("a.log", 1)
	s.write("a.log", strings.Repeat("mail queued\n", 1<<18)) // 12 blocks
	s.sent("a.log", 1)
	defer s.run()()
	until(t, "the last line is counted", func() bool { return s.counted(sku) == 2 })
}

// What an earlier run left open is delivered by the next, even where nothing
// is written to the logs any more.
func TestRunSealsWhatAnEarlierRunLeftOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.leaveOpen(2)
	defer s.run()()
	until(t, "the open record is billed", func() bool { return s.billed(sku) == 2 })
}

// leaveOpen leaves behind an open record whose window has passed, as a run that
// was killed then.
func (s *site) leaveOpen(amount int64) {
	s.t.Helper()
	s.write("a.log", "mail queued\n")
	s.once()
	book := must(ledger.Open(s.t.Context(), filepath.Join(s.dir, "state")))
	defer book.Close()
	known := must(book.Generations(s.t.Context()))
	window := meter.WindowAt(time.Now().Add(-10*time.Second), time.Second)
	var tally meter.Tally
	tally.Add(meter.CountKey{Rule: &s.config.Rules[0].Rule, Window: window, Generation: known[0].ID}, amount, 0, known[0].Offset, window.Start)
	if err := book.Commit(s.t.Context(), ledger.Batch{Tally: &tally}, window.StartTime()); err != nil {
		s.t.Fatal(err)
	}
}

// leaveSealed does the same, sealed: it is to be delivered at once.
func (s *site) leaveSealed(amount int64) {
	s.t.Helper()
	s.leaveOpen(amount)
	book := must(ledger.Open(s.t.Context(), filepath.Join(s.dir, "state")))
	defer book.Close()
	if n := must(book.Seal(s.t.Context(), time.Now())); n != 1 {
		s.t.Fatalf("%d records sealed, want 1", n)
	}
}

// A commit that fails and is broken off by the end of the run is made up for
// by the last one: positions with counts, or neither.
func TestLastCommitTakesThePositionsOfTheFailedOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.write("a.log", "mail queued\n")
	s.once() // makes the ledger
	s.alter(breakCommits)
	s.sent("a.log", 5)
	ctx, cancel := context.WithCancel(t.Context())
	repaired := make(chan error, 1)
	s.logged.on("the ledger cannot be written", func() { // in the meter loop
		repaired <- alter(filepath.Join(s.dir, "state"), repairCommits)
		cancel()
	})
	s.runUntil(ctx)()
	if err := <-repaired; err != nil {
		t.Fatal(err)
	}
	if n := s.counted(sku); n != 5 {
		t.Fatalf("the last commit left %d counted, want 5", n)
	}
	if !s.once().AllAccepted() {
		t.Error("not all was accepted")
	}
	s.wantBilled(sku, 5)
}

func TestRunCountsEveryRotation(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.sent("a.log", 3)
	stop := s.run()
	defer func() { stop() }()
	until(t, "the first file is counted", func() bool { return s.counted(sku) == 3 })
	s.sent("a.log", 2)
	s.rename("a.log", "a.log.1")
	s.sent("a.log", 4)
	s.sent("a.log.1", 1) // a late writer
	until(t, "both are billed", func() bool { return s.billed(sku) == 10 })
}
