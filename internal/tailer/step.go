package tailer

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// stepTime bounds one step of the work that hands out no lines: a part of a scan,
// or a part of an archive that is compared. Then the files have their turn.
const stepTime = 50 * time.Millisecond

// sweep is a scan under way. It goes on step by step, between the reads.
type sweep struct {
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	ended bool // it was broken off

	waiting bool          // for descriptors, in its last part
	began   time.Time     // the beginning of its step
	cost    time.Duration // of its steps until now
}

// beginScan begins a scan. Two scans never have the same time, as a file that one
// of them has met counts as there.
func (t *Tailer) beginScan(now time.Time) {
	at := now
	if now.Equal(t.askedFor) {
		at = t.lastScan.Add(1)
	}
	t.askedFor, t.lastScan = now, at
	t.progress = false
	s := &sweep{}
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.yield = yield
		t.scan(at)
	})
	t.sweep = s
}

// scanOn lets the scan under way go on for a step.
func (t *Tailer) scanOn() {
	s := t.sweep
	s.began = time.Now()
	_, more := s.next()
	s.cost += time.Since(s.began)
	if !more {
		t.endScan()
	}
}

func (t *Tailer) endScan() {
	if t.sweep == nil {
		return
	}
	t.sweep.stop()
	t.sweep = nil
	t.askNow()
}

// askNow has the files read that the scan has found, the longest first: nothing is
// longer than what it was copied from.
func (t *Tailer) askNow() {
	for _, s := range t.unasked {
		t.enqueue(s)
	}
	t.unasked = nil
	slices.SortStableFunc(t.queue, func(a, b *stream) int {
		switch x, y := a.isUnasked(), b.isUnasked(); {
		case x && y:
			return cmp.Compare(b.seen.Size, a.seen.Size)
		case x:
			return 1
		case y:
			return -1
		}
		return 0
	})
}

// awaitRoom lets the open files be read, if no more can be opened, so that some can
// be closed. The scan has found all files by then, and has still to judge the rest. It
// reports whether the scan may go on.
func (t *Tailer) awaitRoom(rest []entry) bool {
	if t.sweep == nil || t.opened < t.cfg.MaxOpen {
		return true
	}
	t.orderCopies()
	t.askNow()
	told := t.unclear
	t.unclear = slices.DeleteFunc(slices.Concat(told, rest), func(e entry) bool { return t.byInode[e.Inode] != nil })
	defer func() { t.unclear = told }()
	t.sweep.waiting = true
	for len(t.queue) > 0 && !t.sweep.ended {
		clear(t.states)
		t.sweep.ended = !t.sweep.yield(struct{}{})
	}
	t.sweep.waiting = false
	return !t.sweep.ended
}

// breathe ends a step of the scan when it has cost enough, and reports whether the
// scan may go on. Between two steps files may be read, begun and dropped.
func (t *Tailer) breathe() bool {
	switch {
	case t.sweep == nil:
		return true
	case t.sweep.ended:
		return false
	case time.Since(t.sweep.began) < stepTime:
		return true
	}
	clear(t.states) // they are old now
	t.sweep.ended = !t.sweep.yield(struct{}{})
	return !t.sweep.ended
}

// isBroken reports whether the scan under way was broken off.
func (t *Tailer) isBroken() bool { return t.sweep != nil && t.sweep.ended }

// isDue reports whether a scan is to begin.
func (t *Tailer) isDue(now time.Time) bool {
	switch {
	case t.sweep != nil:
		return false
	case !now.Before(t.nextScan), now.Before(t.askedFor): // or the clock was set back
		return true
	}
	return t.outOfDescriptors && t.progress && len(t.queue) == 0 // some files can be closed now, and others opened
}

// Next returns the next block of lines, and false when everything is read. A block
// without data means that there is more to do, and that the caller may do something
// else first. The block's data is valid until the next call. Its lines are consumed:
// the positions that Take returns are behind them.
func (t *Tailer) Next(now time.Time) (meter.Block, bool) {
	until := time.Now().Add(stepTime)
	for {
		working := t.work(now)
		if block, ok := t.readNext(now, until); ok {
			return block, true
		}
		if !working && len(t.queue) == 0 && !t.isDue(now) {
			return meter.Block{}, false
		}
		if !time.Now().Before(until) {
			return meter.Block{}, true
		}
	}
}

// work does a step of what is not reading, if there is something and its turn has
// come, and reports whether there was something.
func (t *Tailer) work(now time.Time) bool {
	if t.isDue(now) {
		t.beginScan(now)
	}
	if len(t.queue) > 0 && time.Since(t.worked) < stepTime {
		return t.sweep != nil
	}
	if len(t.queue) > 0 || t.sweep != nil || len(t.inspected) > 0 {
		t.heed(t.watch.heard(), time.Now()) // there may be no Wait for long
	}
	working := t.sweep != nil
	if working {
		t.scanOn()
	} else {
		working = t.inspectOn(now)
	}
	t.worked = time.Now()
	return working
}
