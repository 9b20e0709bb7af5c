package agent

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/silence"
)

const (
	commitPause = time.Second            // between commits while there is something to commit
	tallyLimit  = 10_000                 // counts in memory; more are committed at once
	keyedLimit  = 65_536                 // lines with keys in memory; more are committed at once
	idlePause   = time.Minute            // the longest sleep; the tailer's own poll is shorter
	finalCommit = 3 * time.Second        // how long the last commit of a shutdown may take
	retryCommit = 500 * time.Millisecond // first pause after a failed commit; doubles up to maxRetry
	maxRetry    = 10 * time.Second
	meterBeat   = 2 * time.Minute // a step takes less, a sleep and a failing commit included
	keepPause   = time.Minute     // between commits that keep how long rules have been silent
)

// mostReported bounds how many of the log's warnings are remembered. Over the years
// the names of files grow without end.
const mostReported = 1000

// unknownSeal is the next seal while only the ledger knows it: it is due.
var unknownSeal = time.Unix(0, 0)

// ledgerUnwritable is the code of the problem that the ledger takes no commits.
const ledgerUnwritable = "ledger_unwritable"

// meterLoop turns files into open records, and open records into sealed ones.
type meterLoop struct {
	tailer    *input
	matcher   *rules.Matcher
	ledger    *ledger.Ledger
	health    *monitor.Health
	heartbeat *monitor.Heartbeat
	log       *slog.Logger
	now       func() time.Time // time.Now, except in tests that set the clock

	batch      ledger.Batch // read and counted since the last commit; its tally is never nil
	lastCommit time.Time
	passed     bool      // the first look at all files is over, and was committed at once
	nextSeal   time.Time // the end of the earliest open window; zero where none is open
	clock      time.Time // what the clock showed when records were last sealed

	silence *silence.Watch
	kept    time.Time // when the ledger last took what silence knows
	ending  bool      // the next commit is the last
	clocks  clockWatch
	fresh   freshness
	peaks   peakClock

	reported map[meter.AnomalyKey]bool // anomalies that the log has, at most mostReported
	unread   []string                  // what readAll could not read
}

func (l *meterLoop) run(ctx context.Context) {
	defer l.heartbeat.Stop()
	for ctx.Err() == nil {
		l.heartbeat.Beat(meterBeat)
		l.step(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalCommit)
	defer cancel()
	l.ending = true
	l.commit(last)
}

// step reads, commits when it is time, and sleeps. It sleeps only when it has read
// everything, until there may be more.
func (l *meterLoop) step(ctx context.Context) {
	if drained, err := l.read(ctx); drained && err == nil {
		l.health.SetReady()
		l.tailer.Wait(ctx, l.wakeAt(l.now()))
	}
}

// read reports whether the tailer has read everything. It fails
// only when ctx has ended.
func (l *meterLoop) read(ctx context.Context) (drained bool, err error) {
	for ctx.Err() == nil {
		block, ok := l.tailer.Next(l.now())
		if !ok {
			drained = true
			l.fresh.drained(l.now())
			if now := l.now(); l.tailer.allRead(now) {
				l.peaks.drained(now)
			}
			break
		}
		l.match(block)
		l.health.ReadBytes.Add(float64(len(block.Data)))
		if l.due(l.now()) {
			break
		}
	}
	if l.due(l.now()) || drained && !l.passed {
		err = l.commit(ctx)
	}
	l.passed = l.passed || drained
	return drained, err
}

// match counts the lines of a block, and notes which rules found something.
func (l *meterLoop) match(block meter.Block) {
	if len(block.Data) == 0 {
		return // the tailer has more to do than reading
	}
	l.silence.Read(block.Sources, len(block.Data))
	if block.Events == nil {
		block.Fresh = l.fresh.fresh(block)
	}
	seen := l.matcher.Match(block, l.batch.Tally)
	for _, rule := range seen.Rules {
		l.silence.Matched(rule, l.now())
	}
	if block.Fresh {
		l.clocks.see(seen.Times, block.ReadAt)
	}
}

// due reports whether it is time to commit: a second has passed, a window has
// ended, or much has been counted.
func (l *meterLoop) due(now time.Time) bool {
	since := now.Sub(l.lastCommit)
	return since >= commitPause || since < 0 || l.sealDue(now) || l.full()
}

// full reports whether much has been counted since the last commit.
func (l *meterLoop) full() bool {
	t := l.batch.Tally
	return len(t.Counts) >= tallyLimit || t.Keyed.Len()+len(t.Peaks) >= keyedLimit
}

func (l *meterLoop) sealDue(now time.Time) bool {
	return l.peaks.due() || !l.nextSeal.IsZero() && (!now.Before(l.nextSeal) || l.setBack(now))
}

// setBack reports whether the clock shows an earlier time than it did. Windows follow
// the clock that people set, and the monotonic clock does not show such a step.
func (l *meterLoop) setBack(now time.Time) bool {
	return now.Round(0).Before(l.clock)
}

func (l *meterLoop) wakeAt(now time.Time) time.Time {
	at := l.tailer.dueBefore(now.Add(idlePause), now)
	if !l.batch.Empty() || l.tailer.Changed() {
		at = l.lastCommit.Add(commitPause)
	}
	for _, due := range []time.Time{l.nextSeal, l.peaks.wakeAt(now)} {
		if !due.IsZero() && due.Before(at) {
			at = due
		}
	}
	return at
}

// commit makes positions and counts durable and seals the records whose window
// has ended. If the ledger fails, commit tries again until it works or ctx ends.
// Until then it reads nothing, so nothing is lost.
func (l *meterLoop) commit(ctx context.Context) error {
	l.take()
	l.lastCommit = l.now()
	l.attend(l.lastCommit)
	if l.batch.Empty() && !l.sealDue(l.lastCommit) {
		l.clock = l.lastCommit.Round(0)
		return nil
	}
	if err := l.insist(ctx, func() error { return l.write(ctx, l.now()) }); err != nil {
		return err
	}
	return l.insist(ctx, func() error { return l.seal(ctx, l.now()) })
}

// take adds the positions behind what was counted to the batch. The tailer
// hands each out once: until they are committed, they stay with the counts.
func (l *meterLoop) take() {
	generations, copies, globs := l.tailer.Take(l.batch.Tally)
	l.batch.Generations = append(l.batch.Generations, generations...) // where one is in it twice, the later holds
	l.batch.Copies = append(l.batch.Copies, copies...)
	if l.batch.Globs == nil {
		l.batch.Globs = globs
		return
	}
	maps.Copy(l.batch.Globs, globs)
}

// write commits the batch and begins the next.
func (l *meterLoop) write(ctx context.Context, now time.Time) error {
	begun := time.Now()
	if err := l.ledger.Commit(ctx, l.batch, now); err != nil {
		return err
	}
	l.health.Commits.Observe(time.Since(begun).Seconds())
	for key, count := range l.batch.Tally.Counts {
		l.health.MatchedLines.WithLabelValues(key.Rule.Name).Add(float64(count.Lines))
	}
	for ref, top := range l.batch.Tally.Peaks {
		l.peaks.added()
		l.health.MatchedLines.WithLabelValues(ref.Peak.Rule).Add(float64(top.Lines))
	}
	l.report(l.batch.Tally)
	l.batch.Tally.Reset()
	l.batch = ledger.Batch{Tally: l.batch.Tally}
	l.nextSeal = unknownSeal
	return nil
}

// report speaks of each kind of anomaly once for every rule, source or path;
// the ledger has their numbers.
func (l *meterLoop) report(tally *meter.Tally) {
	for key, a := range tally.Anomalies {
		if key.Kind == meter.History {
			l.log.Info("a source held lines before its first scan", "source", key.Subject, "files", a.Count, "bytes", a.Bytes, "example", a.Example)
			continue
		}
		if l.reported[key] || key.Kind == meter.Repeated {
			continue
		}
		if key.Kind == meter.StretchMissed {
			l.log.Info("no agent ran when a stretch of time ended: it is not billed", "source", key.Subject, "stretches", a.Count, "example", a.Example)
			continue
		}
		if l.reported == nil || len(l.reported) >= mostReported {
			l.reported = make(map[meter.AnomalyKey]bool)
		}
		l.reported[key] = true
		// The example may hold a part of a line, which the journal's readers need not
		// be allowed to see. `meterlog status` shows it.
		l.log.Warn("input was not counted as it should be: further cases go to the ledger only", "kind", key.Kind, "subject", key.Subject, "count", a.Count)
	}
}

// seal counts the peaks of stretches that are over. Then it closes the records whose
// window has ended by now. When the clock was set back, it closes all: by the new clock their windows would end too late for the API. An
// event that comes late for such a window opens another record.
func (l *meterLoop) seal(ctx context.Context, now time.Time) (err error) {
	if err := l.peaks.close(ctx, l.ledger, l.peaks.closing(now)); err != nil {
		return err
	}
	seal := l.ledger.Seal
	if l.setBack(now) {
		seal = l.ledger.SealAll
	}
	if _, err = seal(ctx, now); err != nil {
		return err
	}
	if l.setBack(now) {
		l.log.Warn("the clock was set back: open records are sealed", "from", l.clock.UTC(), "to", now.UTC())
	}
	l.clock = now.Round(0)
	l.nextSeal, err = l.ledger.NextSeal(ctx)
	return err
}

// insist repeats work on the ledger until it succeeds or ctx ends. It speaks
// up when the trouble begins, changes and ends.
func (l *meterLoop) insist(ctx context.Context, work func() error) error {
	said := ""
	for pause := retryCommit; ; pause = min(2*pause, maxRetry) {
		err := work()
		if err == nil {
			if said != "" {
				l.log.Info("the ledger can be written again: reading goes on")
				l.health.Clear(ledgerUnwritable, "")
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err.Error() != said {
			said = err.Error()
			l.log.Error("the ledger cannot be written: reading stops until it can; nothing is lost", "error", err)
			if _, stopped := ledgerProblem(err); !stopped { // the keeper raises the others
				l.health.Raise(meter.Problem{Code: ledgerUnwritable, Message: said + ": reading stops until it can be written",
					Hint: "free space on the disk of the state folder, or see what the kernel's log says of it; nothing is lost meanwhile"})
			}
		}
		l.heartbeat.Beat(meterBeat)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// noteUnread notes the files, folders and patterns that cannot be read.
func (l *meterLoop) noteUnread(now time.Time) {
	l.unread = nil
	for _, p := range l.tailer.unread() {
		l.unread = append(l.unread, p.Message)
	}
	for _, f := range l.tailer.Survey(now) {
		if f.Problem != "" {
			l.unread = append(l.unread, f.Name+": "+f.Problem)
		}
	}
}

// readAll reads every file to its end once. It seals all that was counted, except
// windows that have not begun. An error of the ledger ends it.
func (l *meterLoop) readAll(ctx context.Context) error {
	defer l.tailer.Close()
	l.tailer.toEnd()
	for ctx.Err() == nil {
		block, ok := l.tailer.Next(l.now())
		if ok {
			l.match(block)
		}
		now := l.now()
		if ok && now.Sub(l.lastCommit) < commitPause && !l.full() {
			continue
		}
		l.take()
		if l.attend(now); !ok {
			l.batch.Activity = l.silence.Activities()
		}
		if err := l.write(ctx, now); err != nil {
			return err
		}
		l.lastCommit = now
		if !ok {
			l.noteUnread(now)
			if err := l.peaks.closeOver(ctx, l.ledger, now); err != nil {
				return err
			}
			_, err := l.ledger.SealBegun(ctx, now)
			return err
		}
	}
	return ctx.Err()
}
