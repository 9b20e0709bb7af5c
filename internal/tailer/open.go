package tailer

import (
	"errors"
	"math"
	"os"
	"slices"
	"syscall"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// open opens the entry's file and compares it with the generation. A plain
// file is returned open, an archive only when it holds the generation.
func (t *Tailer) open(e entry, s *stream) (logfile.File, *logfile.Archive, logfile.Match) {
	if e.archived {
		a, err := t.openArchive(e)
		if errors.Is(err, logfile.ErrDamaged) && t.settled(e.FileState, t.lastScan) {
			return nil, nil, logfile.Other // that does not change
		} else if err != nil {
			return nil, nil, logfile.Unread
		}
		if s.State == meter.Done && s.EOFAt == s.Offset && s.Offset > 0 && logfile.BeginsAlike(a.Head, s.Head) && a.EndsAt(s.EOFAt) {
			return nil, a, logfile.Same
		}
		match, err := a.Holds(&s.Generation)
		if err != nil {
			t.fail(e.name, err)
		}
		if match != logfile.Same {
			t.putBack(a)
			return nil, nil, match
		}
		return nil, a, match
	}
	f, err := t.openFile(e)
	if err != nil {
		return nil, nil, logfile.Unread
	}
	match, err := logfile.Compare(f, e.Size, &s.Generation)
	if err != nil {
		t.fail(e.name, err)
		f.Close()
		return nil, nil, logfile.Unread
	}
	return f, nil, match
}

// openEntry opens the entry's file, plain or compressed.
func (t *Tailer) openEntry(e entry) (f logfile.File, arch *logfile.Archive, err error) {
	if !e.archived {
		f, err = t.openFile(e)
		return f, nil, err
	}
	arch, err = t.openArchive(e)
	return nil, arch, err
}

// maxWeight is what the compressed files that are read at a time weigh together:
// four of the heaviest.
const maxWeight = 32

// weight returns how much memory a compressed file takes, as a weight. gzip takes next
// to none. A format with a window takes up to twice maxWindow.
func weight(name string) int {
	switch logfile.Compression(name) {
	case ".gz":
		return 1
	case ".bz2":
		return 4
	}
	return 8
}

// openFile opens the entry's plain file. It must still be the file that the scan saw.
func (t *Tailer) openFile(e entry) (logfile.File, error) {
	if !t.makeRoom() {
		t.outOfDescriptors = true
		t.passed++
		return nil, errCrowded
	}
	f, err := t.disk.Open(e.name)
	if err != nil {
		if !logfile.IsMissing(err) {
			t.fail(e.name, err)
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !e.anyInode && logfile.FileStateOf(info).Inode != e.Inode {
		err = os.ErrNotExist // renamed since: the next scan sees where to
		t.rescan[e.path] = 2
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// descriptorLimit is how many descriptors the process may have.
func descriptorLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur)
}

// errCrowded is returned by openFile when as many files are open as may be. The
// file's turn comes when the others have been read.
var errCrowded = errors.New("too many open files")

// makeRoom counts a descriptor that is about to be opened. At the limit it closes the
// files that have been quiet longest. It reports whether there is room.
func (t *Tailer) makeRoom() bool {
	if t.opened++; t.opened <= t.cfg.MaxOpen {
		return true
	}
	var idle []*stream
	t.opened = 1
	for _, s := range t.streams {
		if !s.isOpen() {
			continue
		}
		t.opened++
		if s.file != nil && !s.seen.Unlinked && (t.surveying || s.isIdle() || s.waiting) {
			idle = append(idle, s)
		}
	}
	slices.SortFunc(idle, func(a, b *stream) int { return a.grewAt.Compare(b.grewAt) })
	for _, s := range idle[:min(len(idle), max(1, t.cfg.MaxOpen/10))] {
		if s.isIdle() {
			s.Trail = t.trailOf(s)
			s.close()
			s.closedIdle = true
		} else {
			t.reopen(s)
		}
		t.opened--
	}
	if t.opened > t.cfg.MaxOpen {
		t.opened--
		return false
	}
	return true
}
