package tailer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// A torn line is the last line of a file, still without its newline. It waits until its
// end comes, or until nobody can write it any more. Over a copytruncate the copy
// ends with the line's beginning and the truncated file begins with its end: the
// beginning is carried to the generation that the truncated file began.

// begun reports whether more of the stream was consumed than NULs.
func (s *stream) begun() bool { return !logfile.IsBlankData(s.Mark) }

// carries reports whether the stream's first line began in an earlier generation
// and has not counted yet.
func (s *stream) carries() bool { return len(s.Carry) > 0 && !s.begun() }

// endsTorn reports whether the position is within a line, whose end may still come.
// Where a file was cut, the next line begins.
func (s *stream) endsTorn() bool {
	last := byte('\n')
	if len(s.Mark) > 0 {
		last = s.Mark[len(s.Mark)-1]
	}
	return s.arch == nil && last != '\n' && last != 0 && s.Offset != s.cutTo
}

// tornWait returns how long a rotated file must be quiet before its last line
// counts.
func (t *Tailer) tornWait(s *stream) time.Duration {
	isTorn := s.readTo > s.Offset && s.blankTo < s.readTo || s.carries()
	if s.file == nil || !isTorn || s.seen.Unlinked && !hasWriter(s.file) {
		return t.cfg.Quiet
	}
	return t.cfg.Torn
}

// hasWriter reports whether a program has the file open for writing. It reports
// false where the system does not tell.
func hasWriter(f logfile.File) bool {
	opened, ok := f.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.FcntlInt(opened.Fd(), unix.F_SETLEASE, unix.F_RDLCK) // granted only if nobody writes
	if err == nil {
		unix.FcntlInt(opened.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN)
}

// before returns the generation whose file was truncated when the stream began, or nil.
func (t *Tailer) before(s *stream) *stream {
	all, id := t.family(s), s.Before
	i := slices.IndexFunc(all, func(s *stream) bool { return s.ID == id && id != 0 })
	if i < 0 {
		return nil
	}
	return all[i]
}

// successor returns the generation that its file began when it was truncated, if
// nothing of that was read yet; nil otherwise.
func (t *Tailer) successor(s *stream) *stream {
	for _, next := range t.family(s) {
		if next.Before == s.ID && !next.begun() && !next.finished() {
			return next
		}
	}
	return nil
}

// waits reports whether the first line of a file may be the end of a line in a copy,
// which was not read to its end yet, or of which the scan does not know yet that it is
// one.
func (t *Tailer) waits(s *stream, now time.Time) bool {
	before := t.before(s)
	unclear := t.mayComeAfter(s)
	if !unclear && (before == nil || before.finished()) || s.carries() {
		s.waiting = false
		return false
	}
	s.waiting = t.waitsFor(s, before, unclear, now)
	return s.waiting
}

func (t *Tailer) waitsFor(s, before *stream, unclear bool, now time.Time) bool {
	if s.waitsSince.IsZero() || now.Before(s.waitsSince) {
		s.waitsSince = now
	}
	late := now.Sub(s.waitsSince) >= t.cfg.Search
	if before == nil || before.finished() || late {
		return !late
	}
	before.awaited = true
	switch {
	case unclear:
		return true
	case before.State == meter.Lost:
		return before.searched < 2
	case before.isOpen():
		return before.queued || before.readTo != before.Offset || before.readTo < before.seen.Size || before.arch != nil
	}
	return before.Compressed || before.seen.Size != before.Offset
}

// mayComeAfter reports whether the last scan met a file that it could not judge yet, and
// that may be a copy of what the stream's file held before it was truncated. Such a copy
// is younger than the copy that is known to come before the stream.
func (t *Tailer) mayComeAfter(s *stream) bool {
	if s.Born == 0 || len(t.unclear) == 0 {
		return false
	}
	since := s.Born
	if before := t.before(s); before != nil {
		since = before.seen.MTime
	}
	return slices.ContainsFunc(t.unclear, func(e entry) bool {
		return e.Inode != s.inode() && e.Size > 0 && s.goesBy(e.path) && e.MTime >= since && e.MTime <= s.writtenAt() && !isNewer(e.name, s.lastName(), s.Path)
	})
}

// isNewer reports whether a rotated form has a newer number or date than another name of
// the same log, as far as the names tell.
func isNewer(name, other, path string) bool {
	newer, known := logfile.Newer(name, other, path)
	return known && newer
}

// isCarriedLater reports whether the torn line at the end of a copy goes on in a file,
// and a scan has still to tell whether another copy comes in between.
func (t *Tailer) isCarriedLater(s *stream) bool {
	next := t.successor(s)
	return next != nil && t.mayComeAfter(next)
}

// carry hands the torn line at the end of a copy to the generation that the truncated
// file began. It reports whether there is one.
func (t *Tailer) carry(s *stream, beginning []byte) bool {
	next := t.successor(s)
	if next == nil || s.arch != nil && !s.ending {
		return false
	}
	carried := bytes.Clone(beginning)
	if s.carries() {
		carried = slices.Concat(s.Carry, beginning)
		s.Carry = nil
	}
	if len(carried) > t.cfg.MaxLine {
		return false
	}
	t.cfg.Log.Debug("a line goes on in the truncated file", "path", s.Path, "generation", next.ID, "bytes", len(carried))
	next.Carry, next.changed = carried, true
	s.consume(beginning)
	t.finish(s)
	t.enqueue(next)
	return true
}

// readCarried reads the first line of a file, whose beginning an earlier
// generation ended with. The block begins as many bytes earlier.
func (t *Tailer) readCarried(s *stream, now time.Time) (meter.Block, error) {
	t.roomForLine()
	from := copy(t.long, s.Carry)
	n, err := s.read(t.long[from:], s.Offset)
	if err != nil {
		return meter.Block{}, err
	}
	if s.Offset+int64(n) > s.readTo {
		s.grewAt = now
	}
	s.readTo = s.Offset + int64(n)
	end := from + bytes.IndexByte(t.long[from:from+n], '\n') + 1
	switch {
	case end > from:
	case from+n == len(t.long):
		s.skipped = s.readTo
		t.enqueue(s)
		return meter.Block{}, nil
	case !t.atEnd(s):
		return meter.Block{}, nil
	case n > 0 && t.isCarriedLater(s):
		return meter.Block{}, nil
	case n > 0 && t.carry(s, t.long[from:from+n]):
		return meter.Block{}, nil
	case !s.ending:
		return meter.Block{}, nil // its end is still to come
	default:
		end = from + n
	}
	block := meter.Block{Generation: s.ID, Path: s.Path, Sources: s.sources, Names: s.otherNames(), Start: s.Offset - int64(from), Data: t.long[:end], ReadAt: now}
	read := s.readTo
	s.consume(t.long[from:end])
	if end == from { // the file holds no byte of it
		s.Carry = nil
	}
	s.readTo = read
	t.index(s)
	t.enqueue(s)
	return block, nil
}

// skipTorn moves the position over the end of a line whose beginning has counted
// as a whole line. It counts nothing: an anomaly reports it.
func (t *Tailer) skipTorn(s *stream, data []byte, now time.Time) error {
	end := bytes.IndexByte(data, '\n') + 1
	if end == 0 && len(data) < len(t.buffer) {
		if s.Offset+int64(len(data)) > s.readTo {
			s.grewAt = now
		}
		s.readTo = s.Offset + int64(len(data))
		if !s.ending || !t.atEnd(s) {
			return nil // the rest is still to come
		}
	}
	if end == 0 {
		end = len(data)
	}
	t.anomalies.AddAnomaly(meter.AnomalyKey{Kind: meter.TornLine, Subject: s.Path}, int64(end),
		fmt.Sprintf("the line before offset %d of %s counted without its last %d bytes, which came too late", s.Offset, s.name, end))
	s.consume(data[:end])
	s.countedTorn = s.endsTorn()
	t.enqueue(s)
	return nil
}

// orderCopies puts copies before what their logs have held since: those that the scan
// has found, and those whose logs it has found. It comes last, since a copy may be found
// before its log.
func (t *Tailer) orderCopies() {
	for _, s := range t.adopted {
		for _, n := range t.family(s) {
			if n.State == meter.Rotated && n.isOpen() && (n.Offset == 0 || n.readTo > n.Offset) && t.successor(n) == nil {
				t.comeAfter(n)
			}
		}
	}
	t.adopted = t.adopted[:0]
}

// comeAfter notes that the generation n is a copy of what a log of its path held before
// it was truncated, if it is that: no line of the log was read since, and the copy was
// made after the log and before the log's last write. Of several logs it is the
// youngest: the others were rotated before. Copies stand in the order of their times.
func (t *Tailer) comeAfter(n *stream) {
	copied := n.file
	since := func(log *stream) bool { return t.disk.BornAt(copied) > log.Born }
	if n.arch != nil {
		copied, since = n.arch.File, func(*stream) bool { return true }
	}
	if n.seen.Size == 0 || n.arch != nil && len(n.arch.Head) == 0 {
		return // it holds nothing that could go on
	}
	head, err := n.beginning()
	if n.arch != nil {
		head = n.arch.Head
	}
	if err != nil {
		return
	}
	var next *stream
	for _, s := range t.family(n) {
		wasThere := s != n && !s.Compressed && s.Born != 0 && s.Born <= n.seen.MTime && since(s)
		if wasThere && !isNewer(n.lastName(), s.lastName(), s.Path) && (s.State == meter.Live || s.writtenAt() >= n.seen.MTime) && (next == nil || s.Born > next.Born) {
			next = s
		}
	}
	if next == nil || next.begun() || next.finished() {
		return
	}
	begins, err := next.beginning()
	if err != nil || logfile.BeginsAlike(begins, head) && !repeats(head) { // it holds what was copied still
		return
	}
	for before := t.before(next); before != nil && !before.begun() && !before.finished() && before.seen.MTime > n.seen.MTime; {
		next, before = before, t.before(before)
	}
	n.Before, next.Before, next.changed = next.Before, n.ID, true
	n.Carry, next.Carry = next.Carry, nil
}

// writtenAt returns when the stream's file was last written to, in nanoseconds since 1970.
func (s *stream) writtenAt() int64 {
	if s.file == nil {
		return s.seen.MTime
	}
	info, err := s.file.Stat()
	if err != nil {
		return s.seen.MTime
	}
	return info.ModTime().UnixNano()
}

func (t *Tailer) roomForLine() {
	if len(t.long) < t.cfg.MaxLine {
		t.long = make([]byte, t.cfg.MaxLine)
	}
}
