package tailer

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/meter"
)

// File is the position in one generation, or the reason why a name cannot be
// followed.
type File struct {
	Path       string   // the name that the application wrote to
	Name       string   // where it is now, as far as is known
	Sources    []string // names of those that follow its path
	Generation int64    // its ID, or 0
	Offset     int64    // bytes that were consumed
	Size       int64    // bytes there are, never below Offset; of a compressed file what its format tells, or at least its own size
	State      meter.GenerationState
	Problem    string // why it cannot be followed, or ""
	Refused    bool   // it is a link that the link policy refuses
}

// Survey returns the files that are followed at present, by path and age, and reads
// nothing of them. It leaves out finished generations, and rotated forms that may be
// copies.
//
// It has two uses. A running agent calls it between two blocks. A status makes a
// Tailer only for it, over positions that another process may be moving. There the
// first call looks for the files. Nothing on disk changes.
func (t *Tailer) Survey(now time.Time) []File {
	if t.lastScan.IsZero() {
		t.surveying, t.lastScan = true, now
		t.scan(now)
		t.surveying = false
	}
	var files []File
	named := make(map[string]bool)
	for _, s := range t.streams {
		if s.finished() {
			continue
		}
		f := t.survey(s)
		named[f.Name] = true
		files = append(files, f)
	}
	for name, f := range t.failures {
		if !named[name] {
			files = append(files, t.troubled(name, f))
		}
	}
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Generation, b.Generation), strings.Compare(a.Name, b.Name))
	})
	return files
}

// NotLookedAt returns how many files wait for descriptors, as the last scan found
// them.
func (t *Tailer) NotLookedAt() int { return t.notLookedAt }

// mostPeeked is how many new files a survey opens, to see whether they can be read.
const mostPeeked = 500

// listOnly begins a generation for a new log without opening it, once the survey
// has opened many.
func (t *Tailer) listOnly(e entry) bool {
	if e.rotated() || e.archived {
		return false
	}
	if t.peeked++; t.peeked <= mostPeeked {
		return false
	}
	s := t.begin(e.path, e.FileState, meter.Live)
	s.seen = e.FileState
	t.rename(s, e)
	t.found(s, e)
	return true
}

func (t *Tailer) survey(s *stream) File {
	f := File{
		Path: s.Path, Name: cmp.Or(s.name, s.Path), Sources: s.sources, Generation: s.ID,
		Offset: s.Offset, Size: max(s.Offset, s.EOFAt), State: s.State,
	}
	f.Problem = t.failures[f.Name].text
	switch {
	case s.Compressed:
		f.Size = max(f.Size, s.length)
	case s.file != nil:
		if info, err := s.file.Stat(); err == nil {
			f.Size = max(f.Size, info.Size())
		}
	case s.State == meter.Lost:
		f.Size = max(f.Size, s.seen.Size)
	default: // closed to make room, or not to be opened
		if at, err := t.disk.State(f.Name); err == nil && at.Inode == s.inode() {
			f.Size = max(f.Size, at.Size)
		}
	}
	return f
}

// troubled returns the File of a name that cannot be followed: a file, a folder or a
// pattern.
func (t *Tailer) troubled(name string, trouble failure) File {
	f := File{Path: t.pathOf(name, nil), Name: name, State: meter.Live, Problem: trouble.text, Refused: trouble.refused}
	if at, err := t.disk.State(name); err == nil {
		f.Size = at.Size
	}
	f.Sources = t.sourcesOf(f.Path)
	for _, s := range t.cfg.Sources {
		concerned := slices.ContainsFunc(s.Paths, func(p string) bool { return p == name || glob.Root(p) == name })
		if concerned && !slices.Contains(f.Sources, s.Name) {
			f.Sources = append(f.Sources, s.Name)
		}
	}
	return f
}
