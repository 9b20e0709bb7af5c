package tailer

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// origin compares a rotated form with every generation of its path. With
// copied it returns the generation. With unclear it may return a generation that begins
// as the file does.
func (t *Tailer) origin(e entry, now time.Time) (answer, *stream) {
	settled := t.settled(e.FileState, now)
	switch {
	case e.Size > 0:
	case !settled:
		return unclear, nil
	case e.archived:
		return copied, &stream{} // of nothing
	default:
		return stranger, nil // its late writer may still come
	}
	file, arch, err := t.openEntry(e)
	if errors.Is(err, logfile.ErrDamaged) && settled {
		return garbage, &stream{}
	} else if err != nil {
		return unclear, nil
	}
	defer logfile.CloseFile(file)
	defer t.putBack(arch)
	result, lost := stranger, false
	var of *stream    // which it is a copy of
	var begun *stream // which begins as it does
	candidates, err := t.candidatesOf(e, arch)
	if err != nil {
		return unclear, nil
	}
	for _, s := range candidates {
		if s.inode() == e.Inode {
			continue
		}
		var from answer
		if e.archived {
			from = t.archiveOrigin(arch, e, s, now)
		} else {
			from = t.fileOrigin(file, e, s, now)
		}
		if arch != nil && arch.Pending() {
			from = unclear // the next steps tell
		}
		if from == copied && of == nil {
			of = s
		}
		if from == unclear {
			result = unclear
			lost = lost || s.State == meter.Lost
			if beginning, err := s.beginning(); err == nil && isEvidence(beginning) && beginsAs(file, arch, beginning) {
				begun = s
			}
		}
	}
	if of != nil && !lost { // the search for a lost one comes first
		return copied, of
	}
	return result, begun
}

// beginsAs reports whether an open file has these first bytes.
func beginsAs(f logfile.File, arch *logfile.Archive, want []byte) bool {
	if arch != nil {
		return logfile.BeginsAlike(arch.Head, want)
	}
	head, err := logfile.ReadAt(f, 0, meter.HeadSize)
	return err == nil && logfile.BeginsAlike(head, want)
}

// candidatesOf returns the generations that a rotated form may hold: the generations
// of its path and, for an archive, generations that begin like it or have a similar
// name.
func (t *Tailer) candidatesOf(e entry, arch *logfile.Archive) ([]*stream, error) {
	all := t.byPath[e.path]
	if arch == nil {
		return all, nil
	}
	kin, err := t.kin(arch.Head)
	if err != nil {
		return nil, err
	}
	namesakes, err := t.namesakes(e, arch.Head)
	all = slices.Clone(all)
	for _, s := range append(kin, namesakes...) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all, err
}

// namesakes returns the generations with this content from beginning to end, if
// the archive's name is one of theirs with something before or after it. A short
// archive is known by nothing else.
func (t *Tailer) namesakes(e entry, head []byte) (found []*stream, err error) {
	if len(head) == meter.HeadSize || logfile.Alike(head) {
		return nil, nil
	}
	dir, base := filepath.Split(logfile.Uncompressed(e.name))
	ext := filepath.Ext(base)
	stem := strings.TrimSuffix(base, ext)
	for i := 1; i < len(stem); i++ {
		if !apart(stem[i-1], stem[i]) {
			continue
		}
		for _, name := range []string{stem[:i], stem[i:]} {
			if err := t.wakePath(dir + name + ext); err != nil {
				return nil, err
			}
			for _, s := range t.byPath[dir+name+ext] {
				if s.Offset == int64(len(head)) && bytes.Equal(s.Head, head) {
					found = append(found, s)
				}
			}
		}
	}
	return found, nil
}

// apart reports whether a name may end between the two characters.
func apart(a, b byte) bool {
	letter := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	return !(letter(a) && letter(b)) && !(digit(a) && digit(b))
}

// isHeld reports whether the scan under way met a file that is the generation's
// own, or a copy of it.
func (t *Tailer) isHeld(s *stream, now time.Time) bool {
	return s.arch != nil || s.file != nil && !isUnlinked(s.file) || s.metAt.Equal(now) || s.heldAt.Equal(now)
}

func (t *Tailer) fileOrigin(f logfile.File, e entry, s *stream, now time.Time) answer {
	settled := t.settled(e.FileState, now)
	if t.onlyLooksAlike(e, s, now) {
		return stranger
	}
	match, err := logfile.Compare(f, e.Size, &s.Generation)
	switch {
	case err != nil:
		return unclear
	case match == logfile.Same && s.finished() && e.Size > s.Offset && t.isHeld(s, now):
		return stranger // it has the same header
	case match == logfile.Same:
		return copied
	case match == logfile.Shorter && s.finished() && !logfile.IsBlankData(s.Head): // blanks begin alike
		_, holds, err := t.endHolds(f, e.Size, s, t.placeOf(s))
		if err != nil {
			return unclear
		} else if !holds {
			return stranger
		}
		return copied
	case match == logfile.Shorter && s.State == meter.Lost:
		return unclear
	case s.State == meter.Live || s.State == meter.Rotated:
		prefix, err := s.beginsWith(t.disk, f, e.Size)
		if err != nil || prefix && !settled {
			return unclear // a copy of what is unread, perhaps still being written
		} else if prefix {
			return copied
		}
	}
	return stranger
}

// archiveOrigin decompresses no more than the head, unless it must.
func (t *Tailer) archiveOrigin(a *logfile.Archive, e entry, s *stream, now time.Time) answer {
	beginning, err := s.beginning()
	switch {
	case err != nil:
		return unclear
	case !logfile.BeginsAlike(a.Head, beginning):
		return stranger
	case s.Offset == 0 && !s.finished() && isEvidence(beginning):
		return unclear // of the generation's file nothing is read yet
	case s.State == meter.Rotated || s.State == meter.Lost && s.goesBy(e.path):
		return unclear // another program may still be compressing it, or the comparison goes on
	case s.finished() && s.EOFAt < 0:
		if t.isElsewhere(s, now) && logfile.Alike(s.Head) && s.seen.Size != e.Size {
			return stranger
		}
		return copied
	}
	if s.finished() && a.EndsAt(s.EOFAt) {
		alone, err := t.beginsAlone(s)
		if err != nil {
			return unclear
		} else if alone || s.Offset == 0 {
			return copied
		}
	}
	switch match, err := a.Holds(&s.Generation); {
	case err != nil:
		return unclear
	case match == logfile.Same && (t.archiveOnlyLooksAlike(a, s, now) || t.goesOnOtherwise(a, s)):
		return stranger
	case match == logfile.Same && s.finished() && t.isHeld(s, now) && t.reaches(a, s.Offset+1):
		return stranger // it has the same header
	case match == logfile.Same || match == logfile.Shorter && s.State == meter.Gap:
		return copied
	case match == logfile.Shorter && isEvidence(a.Head):
		return t.endOrigin(a, s)
	}
	return stranger
}

// beginsAlone reports whether no other generation begins as this one does. Then its
// beginning and its length tell its archive without more of it being decompressed.
func (t *Tailer) beginsAlone(s *stream) (bool, error) {
	kin, err := t.kin(s.Head)
	return !slices.ContainsFunc(kin, func(other *stream) bool { return other != s }), err
}

// endOrigin decides whether the end of a short archive is the generation's too, as
// far as the archive says how long it is.
func (t *Tailer) endOrigin(a *logfile.Archive, s *stream) answer {
	size, known := a.ContentSize()
	if !known || size == 0 || size > s.Offset {
		return copied
	}
	switch _, holds, err := t.endHolds(a, size, s, t.placeOf(s)); {
	case err != nil:
		return unclear
	case !holds:
		return stranger
	}
	return copied
}

// onlyLooksAlike reports whether a plain rotated form differs from the generation
// although their lines are alike. It does if the generation's own file is there under
// a rotated name and has another length: a rotation makes no second copy. It also does
// if the generation's file is there under its path, unchanged in this scan, and shorter.
func (t *Tailer) onlyLooksAlike(e entry, s *stream, now time.Time) bool {
	if !logfile.Alike(s.Head) {
		return false
	}
	size, elsewhere := t.sizeOf(s), t.isElsewhere(s, now)
	return size >= 0 && (e.Size > size || elsewhere && e.Size < size) && (elsewhere || t.isStill(s))
}

// archiveOnlyLooksAlike is onlyLooksAlike for an archive at the generation's
// position.
func (t *Tailer) archiveOnlyLooksAlike(a *logfile.Archive, s *stream, now time.Time) bool {
	if !logfile.Alike(s.Head) || !t.isElsewhere(s, now) && !t.isStill(s) {
		return false
	}
	size := t.sizeOf(s)
	return size >= s.Offset && t.reaches(a, size+1)
}

// goesOnOtherwise reports whether an archive differs from the generation's own file
// behind the position.
func (t *Tailer) goesOnOtherwise(a *logfile.Archive, s *stream) bool {
	if s.file == nil || s.finished() {
		return false
	}
	own, err := logfile.ReadAt(s.file, s.Offset, meter.MarkSize)
	if err != nil || len(own) == 0 {
		return false
	}
	found := make([]byte, len(own))
	n, _ := a.ReadAt(found, s.Offset) // if that takes more than a step, then the archive is pending
	return !bytes.Equal(found[:n], own[:n])
}

// reaches reports whether an archive is known to hold this many bytes. Until that is
// known, the archive is pending.
func (t *Tailer) reaches(a *logfile.Archive, length int64) bool {
	reaches, _ := a.Reaches(length)
	return reaches
}

// isElsewhere reports whether the scan has met the generation's own file under a
// rotated name.
func (t *Tailer) isElsewhere(s *stream, now time.Time) bool {
	return s.metAt.Equal(now) && s.name != "" && !s.goesBy(s.name)
}

// isStill reports whether the generation's file, open under its path, is as the
// scan under way found it: it was not truncated behind its back.
func (t *Tailer) isStill(s *stream) bool {
	at, met := t.states[s.inode()]
	if s.State != meter.Live || s.file == nil || !met {
		return false
	}
	info, err := s.file.Stat()
	return err == nil && logfile.FileStateOf(info) == at
}

// sizeOf returns how long the stream's content is; -1 where that is not known.
func (t *Tailer) sizeOf(s *stream) int64 {
	switch {
	case s.State == meter.Done:
		return s.EOFAt
	case s.file != nil:
		if at, err := t.fileState(s); err == nil {
			return at.Size
		}
	}
	return -1
}

// unfinished reports whether a compressed file may still be being written: it
// was touched just now, or the plain file is still there.
func (t *Tailer) unfinished(e entry, entries []entry, now time.Time) bool {
	plain := strings.TrimSuffix(e.name, logfile.Compression(e.name))
	for _, other := range entries {
		if other.name == plain && other.rotated() && plain != e.name {
			return true
		}
	}
	return now.Sub(e.WrittenAt()).Abs() < settle
}
