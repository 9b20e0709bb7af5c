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
			from = t.disk.archiveOrigin(arch, s)
		} else {
			from = t.disk.fileOrigin(file, e, s, settled)
		}
		if from == copied {
			return copied, s
		}
		result = max(result, from)
	}
	return result, nil
}

func (d disk) fileOrigin(f file, e entry, s *stream, settled bool) origin {
	verdict, err := compare(f, e.size, &s.Generation)
	switch {
	case err != nil:
		return undecided
	case verdict == same || verdict == blanked:
		return copied
	case verdict == shorter && s.finished():
		return copied
	case verdict == shorter && s.State == meter.Lost:
		return undecided
	case s.State == meter.Live || s.State == meter.Rotated:
		prefix, err := s.beginsWith(d, f, e.size)
		if err != nil || prefix && !settled {
			return undecided // a copy of what is unread, perhaps still being written
		} else if prefix {
			return copied
		}
	}
	return unknown
}

// archiveOrigin decompresses no more than the head, unless it must.
func (d disk) archiveOrigin(a *archive, s *stream) origin {
	beginning, err := s.beginning()
	switch {
	case err != nil:
		return undecided
	case !beginsAlike(a.head, beginning):
		return unknown
	case !s.finished() && s.State != meter.Live:
		return undecided // what compresses it may still be at work, and so are we
	case s.finished() && (s.EOFAt < 0 || a.endsAt(s.EOFAt)):
		return copied
	}
	again, err := d.openArchive(a.file.Name())
	if err != nil {
		return undecided
	}
	defer again.Close()
	switch verdict, err := again.holds(&s.Generation); {
	case err != nil:
		return undecided
	case verdict == same || verdict == shorter && s.State == meter.Gap:
		return copied
	}
	return unknown
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
	age := now.Sub(e.writtenAt())
	return age >= 0 && age < settle
}
