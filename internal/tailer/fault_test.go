package tailer

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// faults has the operations on some files fail, by operation and name.
type faults map[string]error

func (f faults) disk() logfile.Disk {
	return logfile.Disk{
		BornAt: logfile.BornAt,
		Open: func(name string) (logfile.File, error) {
			if err := f["open "+name]; err != nil {
				return nil, &fs.PathError{Op: "open", Path: name, Err: err}
			}
			opened, err := logfile.OS.Open(name)
			if err != nil {
				return nil, err
			}
			return faulty{opened, f}, nil
		},
		Stat: func(name string) (fs.FileInfo, error) {
			if err := f["stat "+name]; err != nil {
				return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
			}
			return os.Stat(name)
		},
		ReadDir: func(name string) ([]fs.DirEntry, error) {
			if err := f["readdir "+name]; err != nil {
				return nil, &fs.PathError{Op: "open", Path: name, Err: err}
			}
			return os.ReadDir(name)
		},
	}
}

type faulty struct {
	logfile.File
	faults faults
}

// errShort has a read return half of what was asked for.
var errShort = io.EOF

func (f faulty) ReadAt(p []byte, offset int64) (int, error) {
	switch err := f.faults["read "+f.Name()]; err {
	case nil:
		return f.File.ReadAt(p, offset)
	case errShort:
		n, _ := f.File.ReadAt(p[:len(p)/2], offset)
		return n, io.EOF
	default:
		return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
	}
}

func (f faulty) Read(p []byte) (int, error) {
	if err := f.faults["read "+f.Name()]; err != nil {
		return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
	}
	return f.File.Read(p)
}

func (f faulty) Stat() (fs.FileInfo, error) {
	if err := f.faults["fstat "+f.Name()]; err != nil {
		return nil, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return f.File.Stat()
}

// withFaults has the scene's files come from a disk that can be made to fail,
// and what is logged kept.
func (s *scene) withFaults() (faults, *strings.Builder) {
	f, log := make(faults), new(strings.Builder)
	s.cfg.disk = f.disk()
	s.cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	return f, log
}

// wantSaid wants each kind of message said so many times.
func wantSaid(t *testing.T, log *strings.Builder, cannot, again int) {
	t.Helper()
	if n := strings.Count(log.String(), "cannot follow file"); n != cannot {
		t.Errorf("trouble was reported %d times, want %d:\n%s", n, cannot, log)
	}
	if n := strings.Count(log.String(), "followed again"); n != again {
		t.Errorf("its end was reported %d times, want %d:\n%s", n, again, log)
	}
}

func TestFaultsOfOneFile(t *testing.T) {
	for _, test := range []struct {
		operation string
		err       error
		restart   bool
	}{
		{"open", syscall.EIO, true},
		{"open", syscall.ESTALE, true},
		{"open", syscall.EMFILE, true},
		{"open", syscall.EACCES, true},
		{"read", syscall.EIO, true},
		{"read", syscall.EIO, false},
		{"read", syscall.ESTALE, false},
		{"read", syscall.EACCES, false},
		{"stat", syscall.EACCES, true},
		{"stat", syscall.EACCES, false},
		{"stat", syscall.EIO, false},
	} {
		t.Run(fmt.Sprintf("%s %v restart=%v", test.operation, test.err, test.restart), func(t *testing.T) {
			s := follow(t, "*.log")
			faults, log := s.withFaults()
			s.append("a.log", "one\nto")
			s.append("b.log", "two\n")
			s.expect("one", "two")
			if test.restart {
				s.kill()
			}
			faults[test.operation+" "+s.path("a.log")] = test.err
			open := test.operation == "stat" && !test.restart // then it can be read
			if !open {
				s.append("a.log", "rn\nunread\n")
			}
			s.append("b.log", "three\n")
			s.expect("three")
			s.pass(time.Minute)
			s.append("b.log", "four\n")
			s.append("c.log", "five\n")
			s.expect("four", "five")
			wantSaid(t, log, 1, 0)
			if problem := s.below(s.tailer.Survey(s.now))[0].Problem; !strings.Contains(problem, test.err.Error()) {
				t.Errorf("the survey tells of %q", problem)
			}
			delete(faults, test.operation+" "+s.path("a.log"))
			if open {
				s.append("a.log", "rn\nunread\n")
			}
			s.expect("torn", "unread")
			wantSaid(t, log, 1, 1)
			s.wantAnomalies(nil)
			if g := s.committed[1]; g.State != meter.Live || len(s.committed) != 3 {
				t.Errorf("%d generations, the first is %s", len(s.committed), g.State)
			}
		})
	}
}

// Rotated files that cannot be read for longer than a lost one is looked for
// are no loss.
func TestFaultsOfRotatedFiles(t *testing.T) {
	for _, name := range []string{"app.log.1", "app.log.1.gz", "app.log.1.zst"} {
		for _, operation := range []string{"open", "read", "stat", "readdir"} {
			t.Run(operation+" "+name, func(t *testing.T) {
				s := follow(t, "app.log")
				faults, log := s.withFaults()
				s.append("app.log", "one\n")
				s.expect("one")
				s.append("app.log", "unread\n")
				s.kill()
				s.rename("app.log", "app.log.1")
				if _, ext, ok := strings.Cut(name, ".1."); ok {
					s.compressAs("app.log.1", "."+ext)
				}
				s.append("app.log", "new\n")
				fault := operation + " " + s.path(name)
				if operation == "readdir" {
					fault = operation + " " + s.dir
				}
				faults[fault] = syscall.EIO
				s.pass(time.Minute)
				s.expect("new")
				s.pass(time.Minute)
				s.expect()
				wantSaid(t, log, 1, 0)
				delete(faults, fault)
				s.expect("unread")
				wantSaid(t, log, 1, 1)
				s.wantAnomalies(nil)
			})
		}
	}
}

func TestShortReads(t *testing.T) {
	s := follow(t, "app.log")
	faults, _ := s.withFaults()
	text, want := lines("line", 500)
	s.append("app.log", text+"to")
	s.expect(want...)
	s.append("app.log", "rn\nunread\n")
	s.rename("app.log", "app.log.1")
	faults["read "+s.path("app.log")] = errShort // the name it was opened by
	faults["read "+s.path("app.log.1")] = errShort
	s.expect()
	s.pass(20 * time.Second)
	s.expect()
	clear(faults)
	s.expect("torn", "unread")
	s.wantAnomalies(nil)
}

// A file that is shorter than the position may be what a power failure left, or
// what copytruncate did, while the copy cannot be read.
func TestTruncatedWhileDownAndTheCopyIsUnreadable(t *testing.T) {
	s := follow(t, "app.log")
	faults, _ := s.withFaults()
	s.append("app.log", "one\ntwo\nthree\n")
	s.expect("one", "two", "three")
	s.append("app.log", "unread\n")
	s.kill()
	s.copy("app.log", "app.log.1")
	s.check(os.Truncate(s.path("app.log"), 0))
	s.append("app.log", "one\n") // it begins as it did
	faults["open "+s.path("app.log.1")] = syscall.EIO
	s.expect()
	delete(faults, "open "+s.path("app.log.1"))
	s.expect("unread", "one")
	s.wantAnomalies(nil)
}

func TestFolderThatCannotBeLookedInto(t *testing.T) {
	s := follow(t, "*/*.log")
	_, log := s.withFaults()
	s.check(os.Symlink("a", s.path("a"))) // which nobody can follow, not even root
	s.check(os.Mkdir(s.path("b"), 0o755))
	s.append("b/x.log", "two\n")
	s.expect("two")
	s.expect()
	wantSaid(t, log, 1, 0)
	s.check(os.Remove(s.path("a")))
	s.check(os.Mkdir(s.path("a"), 0o755))
	s.append("a/x.log", "one\n")
	s.expect("one")
	wantSaid(t, log, 1, 1)
}
