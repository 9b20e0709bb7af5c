package tailer

import (
	"errors"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// origin is where the content of a rotated form comes from.
type origin int

const (
	unknown   origin = iota // no generation holds it
	copied                  // a generation holds it
	undecided               // it may be a copy that is still being written
	damaged                 // it cannot be decompressed, and nobody writes to it any more
)

// origin compares a rotated form with every generation of its path. With
// copied it returns the generation.
func (t *Tailer) origin(e entry, now time.Time) (origin, *stream) {
	settled := t.settled(e.look, now)
	switch {
	case e.size > 0:
	case !settled:
		return undecided, nil
	case e.archived:
		return copied, &stream{} // of nothing
	default:
		return unknown, nil // its late writer may be yet to come
	}
	file, arch, err := t.openEntry(e)
	if errors.Is(err, errDamaged) && settled {
		return damaged, &stream{}
	} else if err != nil {
		return undecided, nil
	}
	defer closeFile(file)
	defer closeArchive(arch)
	result := unknown
	for _, s := range t.byPath[e.path] {
		if s.inode() == e.inode {
			continue
		}
		var from origin
		if e.archived {
			from = t.archiveOrigin(arch, e, s, now)
		} else {
			from = t.fileOrigin(file, e, s, now)
		}
		if from == copied {
			return copied, s
		}
		if from == undecided {
			result = undecided
		}
	}
	return result, nil
}

func (t *Tailer) fileOrigin(f file, e entry, s *stream, now time.Time) origin {
	settled := t.settled(e.look, now)
	if t.onlyLooksAlike(e, s, now) {
		return unknown
	}
	verdict, err := compare(f, e.size, &s.Generation)
	switch {
	case err != nil:
		return undecided
	case verdict == same:
		return copied
	case verdict == shorter && s.finished() && !isBlankData(s.Head): // blanks begin alike
		return copied
	case verdict == shorter && s.State == meter.Lost:
		return undecided
	case s.State == meter.Live || s.State == meter.Rotated:
		prefix, err := s.beginsWith(t.disk, f, e.size)
		if err != nil || prefix && !settled {
			return undecided // a copy of what is unread, perhaps still being written
		} else if prefix {
			return copied
		}
	}
	return unknown
}

// archiveOrigin decompresses no more than the head, unless it must.
func (t *Tailer) archiveOrigin(a *archive, e entry, s *stream, now time.Time) origin {
	beginning, err := s.beginning()
	switch {
	case err != nil:
		return undecided
	case !beginsAlike(a.head, beginning):
		return unknown
	case !s.finished() && s.State != meter.Live:
		return undecided // what compresses it may still be at work, and so are we
	case s.finished() && s.EOFAt < 0:
		if t.isElsewhere(s, now) && alike(s.Head) && s.seen.size != e.size {
			return unknown
		}
		return copied
	case s.finished() && a.endsAt(s.EOFAt):
		return copied
	}
	again, err := t.disk.openArchive(a.file.Name())
	if err != nil {
		return undecided
	}
	defer again.Close()
	switch verdict, err := again.holds(&s.Generation); {
	case err != nil:
		return undecided
	case verdict == same && t.archiveOnlyLooksAlike(again, s, now):
		return unknown
	case verdict == same || verdict == shorter && s.State == meter.Gap:
		return copied
	}
	return unknown
}

// onlyLooksAlike reports whether a plain rotated form is no copy of the
// generation, though their lines are alike: the generation's own file is there
// under a rotated name, of which rotation makes no other copy, and is not as long;
// or it is there under its path, unchanged in this scan, and shorter.
func (t *Tailer) onlyLooksAlike(e entry, s *stream, now time.Time) bool {
	if !alike(s.Head) {
		return false
	}
	size, elsewhere := t.sizeOf(s), t.isElsewhere(s, now)
	return size >= 0 && (e.size > size || elsewhere && e.size < size) && (elsewhere || t.isStill(s))
}

// archiveOnlyLooksAlike is onlyLooksAlike for an archive that stands at the
// generation's position.
func (t *Tailer) archiveOnlyLooksAlike(a *archive, s *stream, now time.Time) bool {
	if !alike(s.Head) || !t.isElsewhere(s, now) && !t.isStill(s) {
		return false
	}
	size := t.sizeOf(s)
	return size >= s.Offset && a.reaches(size+1)
}

// isElsewhere reports whether the scan has met the generation's own file under a
// rotated name.
func (t *Tailer) isElsewhere(s *stream, now time.Time) bool {
	return s.metAt.Equal(now) && s.name != s.Path && s.name != ""
}

// isStill reports whether the generation's file, open under its path, is as the
// scan under way found it: it was not truncated behind its back.
func (t *Tailer) isStill(s *stream) bool {
	at, met := t.looks[s.inode()]
	if s.State != meter.Live || s.file == nil || !met {
		return false
	}
	info, err := s.file.Stat()
	return err == nil && lookAt(info) == at
}

// sizeOf returns how long the stream's content is; -1 where that is not known.
func (t *Tailer) sizeOf(s *stream) int64 {
	switch {
	case s.State == meter.Done:
		return s.EOFAt
	case s.file != nil:
		if at, err := t.look(s); err == nil {
			return at.size
		}
	}
	return -1
}

// unfinished reports whether a compressed file may still be being written: it
// was touched just now, or the plain file is still there.
func (t *Tailer) unfinished(e entry, entries []entry, now time.Time) bool {
	plain := strings.TrimSuffix(e.name, compression(e.name))
	for _, other := range entries {
		if other.name == plain && other.rotated() {
			return true
		}
	}
	return now.Sub(e.writtenAt()).Abs() < settle
}
