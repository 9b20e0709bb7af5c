package tailer

import (
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/meter"
)

// decide settles what a file is whose inode belongs to no generation.
func (t *Tailer) decide(e entry, entries []entry, now time.Time) {
	blank := t.byInode[e.inode]
	if blank != nil && (!blank.isBlank() || !e.rotated() || blank.seen == e.look) {
		return
	}
	if alias, ok := t.aliases[e.look]; ok {
		alias.stream.heldAt = now
		return
	}
	if !e.rotated() {
		if !t.movedTo(e, entries, now) && !(e.archived && t.unfinished(e, entries, now)) {
			t.adopt(e, now)
		}
		return
	}
	switch from, s := t.origin(e, now); from {
	case copied, damaged:
		if blank != nil {
			t.lose(blank, now)
		}
		if s.finished() && !s.isOpen() && !s.metAt.Equal(now) && t.extends(e, s, now) {
			return
		}
		t.cfg.Log.Debug("copy of a known file", "name", e.name, "path", e.path, "generation", s.ID)
		t.aliases[e.look], s.heldAt = copyOf{s, e.name}, now
		if from != damaged {
			t.fail(e.name, nil)
			t.keepIn(s, e.look, e.name, now)
		}
	case undecided:
		t.undecided = true
		t.restless[e.path] = max(t.restless[e.path], 2)
	case unknown:
		if e.archived && t.unfinished(e, entries, now) {
			t.undecided = true
			t.restless[e.path] = max(t.restless[e.path], 2)
			return
		}
		if blank == nil {
			t.adopt(e, now)
		} else if f, arch, err := t.openEntry(e); err == nil {
			t.bind(blank, e, f, arch, now)
		}
	}
}

// copyOf is a file whose content is counted as that of another.
type copyOf struct {
	stream *stream
	name   string
}

// keepIn remembers a finished generation by the archive that is all that is
// left of it.
func (t *Tailer) keepIn(s *stream, at look, name string, now time.Time) {
	if s.State != meter.Done || s.isOpen() || s.metAt.Equal(now) || compression(name) == "" {
		return
	}
	if t.byInode[s.inode()] == s {
		delete(t.byInode, s.inode())
	}
	t.byInode[at.inode] = s
	s.Dev, s.Ino, s.Compressed, s.changed = at.dev, at.ino, true, true
	s.seen, s.name, s.metAt = at, name, now
}

// extends goes on with a finished generation whose own file is gone in a file
// that holds more of it, and reports whether that was so: a late writer was
// later than we waited, or the search for it was given up too early.
func (t *Tailer) extends(e entry, s *stream, now time.Time) bool {
	if s.Offset == 0 {
		return false
	}
	f, arch, verdict := t.open(e, s)
	if verdict != same {
		closeFile(f)
		closeArchive(arch)
		return false
	}
	more := f != nil && e.size > s.Offset
	if arch != nil && !arch.endsAt(s.Offset) {
		more = arch.reaches(s.Offset + 1)
	}
	if !more {
		closeFile(f)
		closeArchive(arch)
		return false
	}
	s.State, s.changed = meter.Rotated, true
	t.bind(s, e, f, arch, now)
	return true
}

// movedTo goes on with a generation of the entry's path in its new file, and
// reports whether that was so: the new file holds all that was read of it and
// its own is gone, since it was written anew (sed -i, an editor) or came back
// with its file system.
func (t *Tailer) movedTo(e entry, entries []entry, now time.Time) bool {
	for _, s := range t.byPath[e.path] {
		gone := false
		if s.file != nil {
			at, err := t.look(s)
			gone = err == nil && at.unlinked
		} else if s.arch == nil {
			gone = !slices.ContainsFunc(entries, func(other entry) bool { return other.inode == s.inode() })
		}
		if s.finished() && alike(s.Head) {
			continue // which a new file looks like as well
		}
		if !gone || s.unsure || e.size < s.Offset || s.Offset == 0 {
			continue
		}
		f, arch, verdict := t.open(e, s)
		if verdict == same {
			t.bind(s, e, f, arch, now)
			return true
		}
		closeFile(f)
		closeArchive(arch)
	}
	return false
}

// adopt begins a generation for a file that none holds.
func (t *Tailer) adopt(e entry, now time.Time) {
	known, since := t.followedSince(e.path)
	f, arch, err := t.openEntry(e)
	if err != nil {
		return
	}
	state := meter.Live
	if e.rotated() || e.archived {
		state = meter.Rotated
	}
	s := t.begin(e.path, e.look, state)
	switch {
	case e.rotated() && (!known || e.writtenAt().Before(since)):
		err = t.baseline(s, e, f, arch)
	case !known && t.startsAtEnd(e.path) && f != nil:
		var end int64
		if end, err = lastNewline(f, e.size); err == nil {
			err = s.jump(f, end)
		}
	}
	if err != nil {
		t.fail(e.name, err)
		t.forget(s)
		closeFile(f)
		closeArchive(arch)
		return
	}
	t.cfg.Log.Debug("new file", "name", e.name, "path", e.path, "generation", s.ID, "offset", s.Offset, "size", e.size)
	t.bind(s, e, f, arch, now)
}

// forget takes back the begin of a stream that came to nothing.
func (t *Tailer) forget(s *stream) {
	delete(t.byInode, s.inode())
	t.streams = slices.DeleteFunc(t.streams, func(other *stream) bool { return other == s })
	t.byPath[s.Path] = slices.DeleteFunc(t.byPath[s.Path], func(other *stream) bool { return other == s })
}

// baseline marks a rotated file as one that was there before: only what is
// appended to it from now on counts.
func (t *Tailer) baseline(s *stream, e entry, f file, arch *archive) error {
	s.State = meter.Done
	if arch != nil {
		s.Head, s.Compressed = arch.head, true
		return nil
	}
	s.EOFAt = e.size
	return s.jump(f, e.size)
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
