package tailer

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

const (
	censusPause = time.Hour          // between looks at all rotated forms
	absence     = 7 * 24 * time.Hour // after which a finished generation that no file holds is forgotten: a file system may be away over a weekend
)

// A finished generation is known for as long as a file holds its content, so that
// it is not counted again. A generation is forgotten when no file has held it for a
// week. A file may come back after that, from a backup or with its file system. Then
// it counts as old: the patterns count as followed for only a week. Nothing unread is
// that old, as the tailer looks at all rotated forms all the time.

// callCensus has the rotated forms of all paths looked at in this scan, if it is
// time, and reports whether it is.
func (t *Tailer) callCensus(now time.Time) (bool, error) {
	if t.lastCensus.IsZero() {
		t.lastCensus = now
	}
	if now.Sub(t.lastCensus) < censusPause {
		return t.callAtRest()
	}
	t.lastCensus = now
	t.barShared()
	for path := range t.byPath {
		t.rescan[path] = max(t.rescan[path], 1)
	}
	t.rest.due = slices.Collect(maps.Keys(t.rest.ids))
	return true, nil
}

// takeCensus forgets the generations that no file has held in the last censuses. A
// census that could not see everything does not count.
func (t *Tailer) takeCensus(entries []entry, now time.Time) {
	if t.outOfDescriptors || t.undecided || t.hasUnreadable() {
		return
	}
	met := make(map[logfile.FileState]bool, len(entries))
	for _, e := range entries {
		met[e.FileState] = true
	}
	for at, copy := range t.copies {
		if !met[copy.FileState] && t.listedForms[copy.stream.Path] {
			t.forgetCopy(at)
		}
	}
	gone := make(map[*stream]bool)
	for _, s := range t.streams {
		switch {
		case !t.listedForms[s.Path]:
		case !s.finished() || s.isOpen() || s.heldAt.Equal(now):
			s.absentSince = time.Time{}
		case s.absentSince.IsZero():
			s.absentSince = now
		case now.Sub(s.absentSince) >= absence:
			gone[s] = true
		}
	}
	if len(gone) > 0 {
		t.drop(gone)
		t.followSince(now.Add(-absence))
	}
}

// hasUnreadable reports whether a folder, or a rotated form, cannot be looked into at
// present.
func (t *Tailer) hasUnreadable() bool {
	if len(t.unreadable) > 0 {
		return true
	}
	for name, f := range t.failures {
		if !f.refused && t.pathOf(name, nil) != name {
			return true
		}
	}
	return false
}

// errShared is a breach of what everything rests on: a file belongs to one
// generation.
var errShared = errors.New("two generations have one file")

// shared returns the unfinished generations that share an inode, in pairs.
func (t *Tailer) shared() (pairs [][2]*stream) {
	owners := make(map[logfile.Inode]*stream, len(t.streams))
	for _, s := range t.streams {
		if s.finished() || s.inode() == (logfile.Inode{}) {
			continue
		}
		if other := owners[s.inode()]; other != nil {
			pairs = append(pairs, [2]*stream{other, s})
		}
		owners[s.inode()] = s
	}
	return pairs
}

// barShared stops the reading of files that two unfinished generations share, until
// they do not. Nobody knows which of the two counts the lines.
func (t *Tailer) barShared() {
	for _, s := range t.streams {
		s.barred = false
	}
	for _, pair := range t.shared() {
		for _, s := range pair {
			s.barred = true
			t.fail(s.lastName(), errShared)
		}
	}
}

// drop forgets streams.
func (t *Tailer) drop(gone map[*stream]bool) {
	t.remove(gone)
	for s := range gone {
		if s.State = meter.Forgotten; s.taken {
			t.forgotten = append(t.forgotten, s.Generation)
		}
	}
}

// remove takes streams out of memory.
func (t *Tailer) remove(gone map[*stream]bool) {
	isGone := func(s *stream) bool { return gone[s] }
	t.streams = slices.DeleteFunc(t.streams, isGone)
	paths := make(map[string]bool)
	for s := range gone {
		paths[s.Path] = true
		for _, name := range s.Names {
			paths[name] = true
		}
		if t.byInode[s.inode()] == s {
			delete(t.byInode, s.inode())
		}
		t.takeFromIndex(s)
	}
	for path := range paths {
		t.byPath[path] = slices.DeleteFunc(t.byPath[path], isGone)
		if len(t.byPath[path]) == 0 {
			delete(t.byPath, path)
		}
	}
	for name, s := range t.byName {
		if gone[s] {
			delete(t.byName, name)
		}
	}
}

// followSince takes rotated forms that were written to before for old.
func (t *Tailer) followSince(since time.Time) {
	for _, source := range t.cfg.Sources {
		for _, pattern := range source.Paths {
			if first, ok := t.globs[pattern]; ok && first.Before(since) {
				t.globs[pattern], t.newGlobs[pattern] = since, since
			}
		}
	}
}
