package tailer

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// rejoin joins an entry to the generation that had its inode last, if its
// content still is that generation's.
func (t *Tailer) rejoin(e entry, entries []entry, now time.Time) {
	s := t.byInode[e.Inode]
	if s == nil {
		return
	}
	s.metAt = now
	stillEmpty := e.rotated() && e.Size == 0 && s.finished() && s.Offset == 0
	if s.isOpen() || stillEmpty || s.seen == e.FileState && !s.isBehind() { // or nothing was written since it was closed
		s.closedIdle = s.closedIdle || s.renewed && !s.finished()
		t.rename(s, e)
		t.found(s, e)
		s.Left, s.changed = false, s.changed || s.Left // it holds nothing else
		return
	}
	if s.isBlank() { // another file may have the inode by now
		if !s.goesBy(e.path) {
			t.markLost(s, now)
			return
		} else if e.rotated() {
			return // decide sees
		}
	}
	f, arch, match := t.open(e, s)
	switch {
	case f != nil && s.Born != 0 && t.disk.BornAt(f) != s.Born: // the inode was given to another file
		logfile.CloseFile(f)
		t.detach(s, e, now)
	case match == logfile.Same && (t.cameBackAlike(s, e) || t.wasTruncated(s, e, entries)):
		logfile.CloseFile(f)
		t.putBack(arch)
		t.detach(s, e, now)
	case match == logfile.Same || s.Offset == 0 && !s.finished() && f != nil:
		t.attach(s, e, f, arch, now)
	case t.rejoinCut(s, e, f, match, entries, now):
	default:
		if f != nil && s.Born != 0 && match != logfile.Unread && s.goesBy(e.path) {
			t.truncations[e.Inode] = s
		}
		logfile.CloseFile(f)
		if match != logfile.Unread {
			t.detach(s, e, now)
		}
	}
}

// detach takes an entry from the generation that had its inode last.
func (t *Tailer) detach(s *stream, e entry, now time.Time) {
	s.metAt = time.Time{}
	if s.finished() {
		t.disown(s)
	} else {
		t.markLost(s, now)
	}
}

// mayHaveLostPower reports whether a file that begins like the generation but
// does not hold all of it may be the same file, whose last bytes never reached
// the disk: it is new to this process.
func (t *Tailer) mayHaveLostPower(s *stream, e entry) bool {
	return s.isNewTo(e) && !e.archived
}

// cameBackAlike reports whether a finished generation's inode has come back to
// the path, or to an archive, with lines that are all alike: it was given to a new file.
func (t *Tailer) cameBackAlike(s *stream, e entry) bool {
	packed := e.archived && !s.Compressed
	return s.finished() && (!e.rotated() || packed) && s.isNewTo(e) && logfile.Alike(s.Head)
}

// wasTruncated reports whether a file that this process has not seen, and that
// holds the generation, holds it by chance, since its lines are alike: an unknown
// rotated form is a longer copy of it, and nothing but a truncation can have made
// it shorter than its copy.
func (t *Tailer) wasTruncated(s *stream, e entry, entries []entry) bool {
	if e.rotated() || e.archived || !s.isNewTo(e) || !logfile.Alike(s.Head) {
		return false
	}
	for _, c := range entries {
		if !s.goesBy(c.path) || !c.rotated() || c.archived || c.Size <= e.Size || t.byInode[c.Inode] != nil || t.isCopyOfFinished(c) {
			continue
		}
		f, _, match := t.open(c, s)
		logfile.CloseFile(f)
		if match == logfile.Same {
			return true
		}
	}
	return false
}

// isCopyOfFinished reports whether a plain file is as long as a generation of its
// path that is finished.
func (t *Tailer) isCopyOfFinished(e entry) bool {
	return slices.ContainsFunc(t.byPath[e.path], func(s *stream) bool { return s.finished() && s.EOFAt == e.Size })
}

// heldElsewhere reports whether another file than the entry's holds the
// generation. It leaves out copies that an earlier run knew. unsure means that not
// all files could be looked at.
func (t *Tailer) heldElsewhere(s *stream, e entry, entries []entry) (held, unsure bool) {
	for _, c := range entries {
		if !s.goesBy(c.path) || c.Inode == e.Inode || t.copies[c.Inode].FileState == c.FileState {
			continue
		}
		f, arch, match := t.open(c, s)
		logfile.CloseFile(f)
		t.putBack(arch)
		if match == logfile.Same {
			return true, false
		}
		unsure = unsure || match == logfile.Unread
	}
	return false, unsure
}

// own makes the generation the only owner of an inode.
func (t *Tailer) own(s *stream, at logfile.Inode, now time.Time) {
	if other := t.byInode[at]; other != nil && other != s {
		if other.finished() {
			t.disown(other)
		} else {
			t.markLost(other, now)
		}
	}
	if s.inode() != at {
		t.disown(s)
		s.Dev, s.Ino, s.Born, s.changed = at.Dev, at.Ino, 0, true
	}
	t.byInode[at] = s
}

// disown takes the inode from a generation.
func (t *Tailer) disown(s *stream) {
	if t.byInode[s.inode()] == s {
		delete(t.byInode, s.inode())
	}
	if s.inode() != (logfile.Inode{}) {
		s.Dev, s.Ino, s.Born, s.changed = 0, 0, 0, true
	}
}

// attach gives the generation its file.
func (t *Tailer) attach(s *stream, e entry, f logfile.File, arch *logfile.Archive, now time.Time) {
	t.own(s, e.Inode, now)
	if s.State == meter.Gap {
		t.anomalies.TakeBack(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: s.Path}, s.Missed)
	}
	s.metAt, s.renewed, s.lostAt = now, false, time.Time{}
	if f != nil && (s.Born == 0 || s.Offset == 0) {
		born := t.disk.BornAt(f)
		if s.Born != 0 && s.Born != born && !s.carries() {
			s.Before = 0 // nothing was read of the file that had the inode
		}
		s.Born, s.changed = born, true
	}
	t.cfg.Log.Debug("reading", "name", e.name, "path", s.Path, "generation", s.ID, "offset", s.Offset, "size", e.Size, "was", s.State)
	t.forgetCopy(e.Inode)
	t.keep(arch)
	t.progress = t.progress || !s.waiting // one that waits was closed to make room, and is opened again
	s.close()
	s.file, s.arch, s.seen, s.closedIdle, s.changed = f, arch, e.FileState, false, s.changed || s.seen != e.FileState
	s.readTo, s.skipped, s.grewAt, s.damaged = s.Offset, 0, now, nil
	s.ending = arch != nil && now.Sub(e.WrittenAt()) >= settle // nobody writes to it any more
	t.rename(s, e)
	if err := t.leave(s, e); err != nil {
		t.fail(e.name, err)
		t.reopen(s)
		return
	}
	if s.Compressed != e.archived {
		s.Compressed, s.changed = e.archived, true
	}
	switch {
	case !e.rotated() && !e.archived && (e.name == s.Path || s.isNamed(map[string]logfile.Inode{e.path: e.Inode})):
		t.become(s, meter.Live)
	case s.State == meter.Done && e.archived:
		s.close()
	case s.State == meter.Done && e.Size <= s.Offset:
		// stays as it is
	default:
		s.countedTorn = s.State == meter.Done && f != nil && s.endsTorn()
		t.become(s, meter.Rotated)
	}
	t.found(s, e)
	t.enqueue(s)
	if !s.isOpen() {
		t.fail(e.name, nil)
	}
	if s.arch == nil {
		return
	}
	s.length = s.arch.Length()
	t.archives += weight(e.name)
}

func (t *Tailer) become(s *stream, state meter.GenerationState) {
	if s.State != state {
		s.State, s.changed = state, true
	}
}

// found notes the name of a generation's file.
func (t *Tailer) found(s *stream, e entry) {
	if !e.rotated() && e.name == s.Path && s.State == meter.Rotated && s.arch == nil {
		t.become(s, meter.Live) // its path leads to it again
	}
	s.name, s.heldAt = e.name, t.lastScan
	if t.byName[e.name] == s {
		return
	}
	t.byName[e.name] = s
	if target, err := filepath.EvalSymlinks(e.name); err == nil {
		t.byName[target] = s
		if target != e.name {
			t.goBy(s, target)
		}
	}
}

// search looks for a lost generation among the rotated forms of its path that
// belong to no other. The path itself comes last: see movedTo. When the time for
// it is over, the loss is counted.
func (t *Tailer) search(s *stream, entries []entry, complete bool, now time.Time) {
	if s.lostAt.IsZero() || now.Before(s.lostAt) {
		s.lostAt = now
	}
	s.unsure = false
	var exact *entry // it holds what was consumed and no more: perhaps a copy that was made earlier
	for _, e := range t.candidates(s, entries) {
		f, arch, match := t.open(e, s)
		more := true
		if match == logfile.Same && isEvidence(s.Head) {
			more, match = t.holdsMore(f, arch, e, s)
		}
		if match == logfile.Same && more {
			t.take(s, e, f, arch, now)
			return
		}
		logfile.CloseFile(f)
		t.putBack(arch)
		s.unsure = s.unsure || match == logfile.Unread
		if match == logfile.Same && exact == nil {
			exact = &e
		}
	}
	if exact != nil && !s.unsure {
		if f, arch, match := t.open(*exact, s); match == logfile.Same {
			t.take(s, *exact, f, arch, now)
			return
		}
		s.unsure = true
	}
	if complete && !s.unsure {
		s.searched++
	}
	if complete && !s.unsure && now.Sub(s.lostAt) >= t.cfg.Search {
		t.giveUp(s)
	}
}

// holdsMore reports whether a file that holds the generation holds more than was
// consumed. The match is Unread until that is known.
func (t *Tailer) holdsMore(f logfile.File, arch *logfile.Archive, e entry, s *stream) (bool, logfile.Match) {
	if f != nil {
		return e.Size > s.Offset, logfile.Same
	}
	if arch.EndsAt(s.Offset) {
		return false, logfile.Same
	}
	more, err := arch.Reaches(s.Offset + 1)
	if err != nil {
		return false, logfile.Unread
	}
	return more, logfile.Same
}

// take gives a lost generation the file that holds it.
func (t *Tailer) take(s *stream, e entry, f logfile.File, arch *logfile.Archive, now time.Time) {
	if owner := t.byInode[e.Inode]; owner != nil {
		t.markLost(owner, now)
	}
	t.attach(s, e, f, arch, now)
}

// candidates lists the files that may hold a lost generation, the oldest first. If
// lines are alike, several files seem to hold it. Then the oldest was rotated first.
func (t *Tailer) candidates(s *stream, entries []entry) []entry {
	var found []entry
	for _, e := range entries {
		owner := t.byInode[e.Inode]
		if s.goesBy(e.path) && e.rotated() && (owner == nil || owner.isBlank()) {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b entry) int { return cmp.Compare(a.MTime, b.MTime) })
	return found
}

// giveUp ends the search for a generation.
func (t *Tailer) giveUp(s *stream) {
	s.changed = true
	known := max(s.seen.Size, s.EOFAt)
	if caughtUp := known == s.Offset && known > 0; caughtUp {
		s.State = meter.Done
		return
	}
	s.State = meter.Gap
	s.Missed = max(0, known-s.Offset)
	if s.Left {
		t.noteLeft(s.Path, s.Missed)
		return
	}
	t.anomalies.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: s.Path}, s.Missed,
		fmt.Sprintf("the file was gone before it could be read on from offset %d; %d bytes are known to be missed", s.Offset, s.Missed))
}
