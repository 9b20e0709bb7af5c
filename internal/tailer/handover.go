package tailer

import (
	"errors"
	"os"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// Handover gives up the open files, by generation ID, for the Config.Open of a
// Tailer that is made from the ledger after the last commit: a file that was
// deleted and not read to its end is nowhere else. The Tailer can then only be
// closed.
func (t *Tailer) Handover() map[int64]*os.File {
	t.endScan()
	open := make(map[int64]*os.File)
	for _, s := range t.streams {
		switch {
		case s.file != nil:
			give(open, s.ID, s.file)
			s.file = nil
		case s.arch != nil:
			give(open, s.ID, s.arch.Release())
			s.arch = nil
		}
	}
	return open
}

func give(open map[int64]*os.File, id int64, f logfile.File) {
	if f, ok := f.(*os.File); ok { // as all are but in tests
		open[id] = f
	}
}

// takeOver goes on with the open files of an earlier Tailer where they hold the
// generations that are known.
func (t *Tailer) takeOver(open map[int64]*os.File) {
	for _, s := range t.streams {
		f := open[s.ID]
		if f == nil || s.State == meter.Gap || s.State == meter.Lost {
			continue
		}
		if info, err := f.Stat(); err != nil || logfile.FileStateOf(info).Inode != s.inode() {
			continue
		}
		if !s.Compressed && t.holdsPlain(f, s) {
			s.file, s.name, s.renewed = f, f.Name(), false
			t.enqueue(s)
			delete(open, s.ID)
		} else if s.Compressed {
			t.takeArchive(f, s)
			delete(open, s.ID)
		}
	}
	for _, f := range open {
		f.Close()
	}
}

// holdsPlain reports whether a descriptor of the generation's inode, which was
// open all the time, still leads to its content.
func (t *Tailer) holdsPlain(f *os.File, s *stream) bool {
	if s.Offset == 0 {
		return !s.finished()
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	match, err := logfile.Compare(f, info.Size(), &s.Generation)
	return err == nil && match == logfile.Same
}

// takeArchive reads a compressed file from its beginning again.
func (t *Tailer) takeArchive(f *os.File, s *stream) {
	if s.finished() {
		f.Close()
		return
	}
	a := logfile.NewArchive(f)
	a.Step()
	if err := a.Begin(); err != nil {
		a.Close()
		return
	}
	match, err := a.Holds(&s.Generation)
	if undecided := errors.Is(err, logfile.ErrUndecided); !undecided && (err != nil || match != logfile.Same && s.Offset > 0) {
		a.Close()
		return
	}
	s.arch, s.name, s.renewed = a, f.Name(), false
	t.enqueue(s)
}
