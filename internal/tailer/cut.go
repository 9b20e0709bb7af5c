package tailer

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// lastTrail returns the newest trail that there is of a stream.
func (t *Tailer) lastTrail(s *stream) []byte {
	switch {
	case s.Trail != nil:
		return s.Trail
	case s.file != nil && s.Offset > 0:
		return t.trailOf(s)
	case s.pastAt == s.Offset:
		return s.past
	}
	return nil
}

// trailOf returns the stream's trail for the commit: the trail of its open file, or
// the last one. Finished and compressed files have no trail.
func (t *Tailer) trailOf(s *stream) []byte {
	if s.Compressed || s.State == meter.Done && s.EOFAt == s.Offset && s.lostAt.IsZero() {
		return nil
	}
	if s.file == nil {
		return t.lastTrail(s)
	}
	if t.trail == nil {
		t.trail = make([]byte, logfile.TrailBytes)
	}
	trail, err := logfile.LeaveTrail(s.file, s.Offset, t.trail)
	if err != nil || s.verify() != nil { // the next read finds out
		return nil
	}
	return trail
}

// cut is what a power failure left of a file: a part of what was read of it,
// perhaps NULs, and what was written since.
type cut struct {
	at    int64 // where to go on
	exact bool  // nothing from there on was read, and nothing before it is unread
}

// cutOf returns where to go on in the stream's file, which does not hold all that
// was read; found is false where it holds no line of it, and is another file.
func (s *stream) cutOf(f io.ReaderAt, size int64, v logfile.Match) (c cut, found bool, err error) {
	head, err := logfile.ReadAt(f, 0, int(min(size, int64(len(s.Head)))))
	if err != nil {
		return c, false, err
	}
	holds := logfile.CommonPrefix(head, s.Head)
	lines := logfile.TrailLines(s.Trail)
	if s.Trail == nil {
		lines = logfile.TrailLines(s.past)
	}
	end, count, err := logfile.Standing(lines, f, size)
	if err != nil {
		return c, false, err
	}
	if s.Trail == nil && s.pastAt != s.Offset && count > 0 && end == lines[len(lines)-1].End {
		return s.cutBeforeTrail(f, size, v) // it was cut behind the trail and before the position
	}
	start := int64(0)
	if len(lines) > 0 {
		start = lines[0].Start
	}
	switch {
	case count > 0 && int64(holds) >= min(start, int64(len(s.Head))) || count >= logfile.LeastRun:
	case holds < len(s.Head) || int64(len(s.Head)) == s.Offset || start == 0 && len(lines) > 0:
		end = int64(bytes.LastIndexByte(s.Head[:holds], '\n') + 1)
	default: // it was cut behind the head and before the trail
		return s.cutBeforeTrail(f, size, v)
	}
	c.exact = true
	if c.at, err = logfile.BehindCut(f, end, size); err != nil || end > 0 {
		return c, true, err
	}
	next, err := logfile.ReadAt(f, int64(holds), 1)
	return c, holds > 0 && logfile.IsBlankData(next), err
}

// cutBeforeTrail is cutOf for a file that lost more than its trail covers. All bytes
// behind the position are new. Bytes before it may be new, too: they are missed, so
// that nothing is counted twice.
func (s *stream) cutBeforeTrail(f io.ReaderAt, size int64, v logfile.Match) (cut, bool, error) {
	if size >= s.Offset {
		if v == logfile.Blanked { // so all that was written since is behind the position
			return cut{at: s.Offset, exact: true}, true, nil
		}
		last, err := logfile.ReadAt(f, s.Offset-1, 1)
		if err != nil || string(last) == "\n" {
			return cut{at: s.Offset}, true, err
		}
		next, err := logfile.NextNewline(f, s.Offset, size)
		return cut{at: next}, true, err
	}
	blank, err := logfile.EndsBlank(f, size)
	return cut{at: size, exact: blank}, true, err
}

// rejoinCut goes on with a generation if a power failure cut the end of its file. It
// reports whether that was so, and takes over the file then.
func (t *Tailer) rejoinCut(s *stream, e entry, f logfile.File, v logfile.Match, entries []entry, now time.Time) bool {
	if f == nil || s.Offset == 0 || v == logfile.Same || v == logfile.Unread || !t.mayHaveLostPower(s, e) {
		return false
	}
	wasFinished := s.finished()
	c, found, err := s.cutOf(f, e.Size, v)
	if err == nil && found && wasFinished {
		found, err = logfile.EndsBlank(f, e.Size) // else it is a copy, or another file
		c.at = e.Size
	}
	if err == nil && !found {
		return false
	}
	held, unsure := false, false
	if err == nil {
		held, unsure = t.heldElsewhere(s, e, entries)
	}
	if held {
		return false
	}
	var fresh *stream
	if err == nil && !unsure {
		fresh, err = t.goOnBehind(s, e, f, c.at, now)
	}
	if err != nil {
		t.fail(e.name, err)
	}
	if err != nil || unsure {
		f.Close()
		return true
	}
	t.cfg.Log.Warn("the end of what was read of a file is gone, as after a power failure: going on behind it", "path", e.name, "offset", c.at)
	if !wasFinished && !c.exact {
		t.anomalies.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: s.Path}, 0,
			fmt.Sprintf("%s lost more of its end than can be found out: reading goes on at offset %d, and what was written since then before it may be missed", e.name, c.at))
	}
	t.attach(fresh, e, f, nil, now)
	return true
}

// goOnBehind ends a generation that lost its end in its own file, and begins another
// one for the file, which goes on at the offset. What was read of the first one stays
// known: a copy may hold it still.
func (t *Tailer) goOnBehind(s *stream, e entry, f logfile.File, at int64, now time.Time) (*stream, error) {
	if !s.finished() && logfile.IsBlankData(s.Mark) { // it has read nothing since an earlier cut
		t.takeFromIndex(s)
		err := s.jump(f, at)
		s.EOFAt, s.cutTo = -1, at
		t.index(s)
		return s, err
	}
	t.takeFile(s)
	if s.lostAt = now; !s.finished() { // a generation that was lost keeps its trail
		s.State, s.EOFAt = meter.Done, s.Offset
	}
	fresh := t.begin(s.Path, e.FileState, meter.Live)
	for _, name := range s.Names {
		t.goBy(fresh, name)
	}
	for _, next := range t.family(s) {
		if next.Before == s.ID && s.ID != 0 {
			next.Before, next.changed = fresh.ID, true
		}
	}
	fresh.Left = s.Left
	if err := fresh.jump(f, at); err != nil {
		t.forget(fresh)
		return nil, err
	}
	fresh.cutTo, fresh.asked = at, true
	t.index(fresh)
	return fresh, nil
}
