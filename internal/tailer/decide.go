package tailer

import (
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// decide settles what a file is whose inode belongs to no generation.
func (t *Tailer) decide(e entry, entries []entry, now time.Time) {
	blank := t.byInode[e.Inode]
	if blank != nil && (!blank.isBlank() || !e.rotated() || blank.seen == e.FileState && !blank.isBehind()) {
		return
	}
	if t.isCopy(e, now) {
		return
	}
	if !e.rotated() && !e.archived {
		if !t.movedTo(e, entries, now) {
			t.adopt(e, now)
		}
		return
	}
	switch from, s := t.origin(e, now); from {
	case copied, garbage:
		if blank != nil {
			t.markLost(blank, now)
		}
		if s.ID != 0 && !s.heldAt.Equal(now) {
			place := t.placeOf(s)
			if place == hidden || place == gone && t.isBusy(s) {
				t.leaveUnclear(e)
				return
			}
			if place == gone && t.extends(e, s, now) {
				return
			}
		}
		t.cfg.Log.Debug("copy of a known file", "name", e.name, "path", e.path, "generation", s.ID)
		t.noteCopy(e.FileState, s, now)
		if from != garbage {
			t.fail(e.name, nil)
		}
	case unclear:
		if t.leaveUnclear(e); s != nil {
			t.unclear = t.unclear[:len(t.unclear)-1] // it is no other piece of the log
		}
	case stranger:
		if e.archived && t.unfinished(e, entries, now) {
			t.leaveUnclear(e)
			return
		}
		if blank == nil {
			t.adopt(e, now)
		} else if f, arch, err := t.openEntry(e); err == nil {
			t.attach(blank, e, f, arch, now)
		}
	}
}

// leaveUnclear leaves it to the next scan to tell what a file is.
func (t *Tailer) leaveUnclear(e entry) {
	t.undecided = true
	t.unclear = append(t.unclear, e)
	t.rescan[e.path] = max(t.rescan[e.path], 2)
}

// copyOf says that a file in this state holds what is counted as another's.
type copyOf struct {
	logfile.FileState
	stream *stream
}

// noteCopy remembers that a file holds what is counted as the stream's.
func (t *Tailer) noteCopy(at logfile.FileState, s *stream, now time.Time) {
	t.copies[at.Inode], s.heldAt = copyOf{at, s}, now
	if s.ID != 0 {
		t.newCopies = append(t.newCopies, meter.Copy{FileState: at.Public(), Of: s.ID})
	}
}

// forgetCopy withdraws what was concluded of the inode's file.
func (t *Tailer) forgetCopy(at logfile.Inode) {
	if copy, ok := t.copies[at]; ok {
		delete(t.copies, at)
		t.newCopies = append(t.newCopies, meter.Copy{FileState: copy.Public()})
	}
}

// knowCopies takes up what is known of copies of the streams.
func (t *Tailer) knowCopies(copies []meter.Copy, streams []*stream) {
	if len(copies) == 0 {
		return
	}
	byID := make(map[int64]*stream, len(streams))
	for _, s := range streams {
		byID[s.ID] = s
	}
	for _, c := range copies {
		if s := byID[c.Of]; s != nil && s.State != meter.Lost {
			at := logfile.FileState{Inode: logfile.Inode{Dev: c.Dev, Ino: c.Ino}, Size: c.Size, MTime: c.MTime, CTime: c.CTime}
			if _, newer := t.copies[at.Inode]; !newer {
				t.copies[at.Inode] = copyOf{at, s}
			}
		}
	}
}

// isCopy reports whether the entry's file is still as it was when it was found to
// hold what is counted elsewhere. A rename changes its ctime alone: then its first
// bytes must agree as well.
func (t *Tailer) isCopy(e entry, now time.Time) bool {
	copy, ok := t.copies[e.Inode]
	if !ok {
		return false
	}
	if copy.FileState != e.FileState {
		if copy.Size != e.Size || copy.MTime != e.MTime || !t.beginsAs(e, copy.stream) {
			t.forgetCopy(e.Inode)
			return false
		}
		t.noteCopy(e.FileState, copy.stream, now)
	}
	copy.stream.heldAt, copy.stream.holder = now, e.name
	return true
}

// beginsAs reports whether the entry's file has the stream's first bytes.
func (t *Tailer) beginsAs(e entry, s *stream) bool {
	f, arch, err := t.openEntry(e)
	if err != nil {
		return false
	}
	defer logfile.CloseFile(f)
	defer t.putBack(arch)
	return beginsAs(f, arch, s.Head)
}

// extends goes on with a generation whose own file is gone in a file that holds
// more of it, and reports whether that was so. The file may be a copy from another
// machine, or a late writer was later than the follower waited.
func (t *Tailer) extends(e entry, s *stream, now time.Time) bool {
	if s.Offset == 0 {
		return false
	}
	f, arch, match := t.open(e, s)
	if match != logfile.Same {
		logfile.CloseFile(f)
		t.putBack(arch)
		return false
	}
	more := f != nil && e.Size > s.Offset
	if arch != nil && !arch.EndsAt(s.Offset) {
		var err error
		if more, err = arch.Reaches(s.Offset + 1); err != nil {
			t.undecided = true
		}
	}
	if !more {
		logfile.CloseFile(f)
		t.putBack(arch)
		return false
	}
	if s.State == meter.Done {
		t.become(s, meter.Rotated)
	}
	t.attach(s, e, f, arch, now)
	return true
}

// movedTo goes on with a generation of the entry's path in its new file, and
// reports whether that was so: the new file holds all that was read of it and
// its own is gone. A program wrote the file again (sed -i, an editor), or its file
// system came back.
func (t *Tailer) movedTo(e entry, entries []entry, now time.Time) bool {
	for _, s := range t.byPath[e.path] {
		gone := false
		if s.file != nil {
			at, err := t.fileState(s)
			gone = err == nil && at.Unlinked
		} else if s.arch == nil {
			gone = !slices.ContainsFunc(entries, func(other entry) bool { return other.Inode == s.inode() })
		}
		if isTimeless(s.Head) && (s.finished() || e.Size == s.Offset) {
			continue // which a new file looks like as well
		}
		if !gone || s.heldAt.Equal(now) || s.unsure || e.Size < s.Offset || s.Offset == 0 {
			continue
		}
		if t.isBusy(s) {
			t.leaveUnclear(e)
			return true
		}
		f, arch, match := t.open(e, s)
		if match == logfile.Same {
			t.attach(s, e, f, arch, now)
			return true
		}
		logfile.CloseFile(f)
		t.putBack(arch)
	}
	return false
}

// adopt begins a generation for a file that none holds.
func (t *Tailer) adopt(e entry, now time.Time) {
	known, since := t.followedSince(e.path)
	if t.surveying && t.listOnly(e) {
		return
	}
	f, arch, err := t.openEntry(e)
	if err != nil {
		return
	}
	state := meter.Live
	late := e.rotated() || e.archived // no live log
	if late {
		state = meter.Rotated
	}
	s := t.begin(e.path, e.FileState, state)
	switch {
	case late && (!known || e.WrittenAt().Before(since)):
		err = t.baseline(s, e, f, arch)
	case !known && (t.startsAtEnd(e.path) || t.isLeft(e.path)) && f != nil:
		var end int64
		if end, err = logfile.LastNewline(f, e.Size); err == nil {
			err = s.jump(f, end)
		}
		if err == nil && t.isLeft(e.path) {
			t.noteLeft(e.path, end)
		}
	}
	if err != nil {
		t.fail(e.name, err)
		t.forget(s)
		logfile.CloseFile(f)
		t.putBack(arch)
		return
	}
	if before := t.truncations[e.Inode]; before != nil && s.Offset == 0 {
		s.Before = before.ID
	}
	t.cfg.Log.Debug("new file", "name", e.name, "path", e.path, "generation", s.ID, "offset", s.Offset, "size", e.Size)
	t.attach(s, e, f, arch, now)
	t.adopted = append(t.adopted, s)
}

// forget takes back the begin of a stream that came to nothing.
func (t *Tailer) forget(s *stream) {
	t.remove(map[*stream]bool{s: true})
}

// baseline marks a rotated file as old: only lines that are appended from now on
// count.
func (t *Tailer) baseline(s *stream, e entry, f logfile.File, arch *logfile.Archive) error {
	s.State = meter.Done
	if arch != nil {
		s.Head, s.Compressed = arch.Head, true
		return nil
	}
	s.EOFAt = e.Size
	return s.jump(f, e.Size)
}

// followedSince returns since when a pattern that matches the path is
// followed; known is false while the first scan of all of them is under way.
func (t *Tailer) followedSince(path string) (known bool, since time.Time) {
	for _, source := range t.cfg.Sources {
		for _, pattern := range source.Paths {
			first, scanned := t.globs[pattern]
			if scanned && glob.Match(pattern, path) && (!known || first.Before(since)) {
				known, since = true, first
			}
		}
	}
	return known, since
}

func (t *Tailer) startsAtEnd(path string) bool {
	for _, source := range t.cfg.Sources {
		if source.follows(path) {
			return source.AtEnd
		}
	}
	return false
}
