package tailer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// rotations begins a scene in which two rotated files of app.log were read.
func rotations(t *testing.T) *scene {
	s := follow(t, "app.log")
	s.append("app.log", "one\n")
	s.expect("one")
	s.rename("app.log", "app.log.2")
	s.append("app.log", "two\n")
	s.expect("two")
	s.rename("app.log", "app.log.1")
	s.append("app.log", "three\n")
	s.expect("three")
	return s
}

// idle lets so many days pass, in which nothing is written.
func (s *scene) idle(days int) {
	s.t.Helper()
	for range 24 * days {
		s.pass(time.Hour)
		s.expect()
	}
}

func (s *scene) wantForgotten(want int) {
	s.t.Helper()
	got := 0
	for _, g := range s.committed {
		if g.State == meter.Forgotten {
			got++
		}
	}
	if got != want {
		s.t.Fatalf("%d of %d generations are forgotten, want %d", got, len(s.committed), want)
	}
}

func TestForgotten(t *testing.T) {
	s := rotations(t)
	s.idle(20)
	s.wantForgotten(0) // both are there
	text, err := os.ReadFile(s.path("app.log.2"))
	s.check(err)
	written := s.now.Add(-20 * 24 * time.Hour)
	s.check(os.Remove(s.path("app.log.2")))
	s.idle(6)
	s.wantForgotten(0) // not so soon
	s.idle(2)
	s.wantForgotten(1)
	if n := len(s.tailer.streams); n != 2 {
		t.Errorf("%d generations are in memory, want 2", n)
	}

	s.check(os.WriteFile(s.path("app.log.3"), text, 0o644)) // from a backup
	s.check(os.Chtimes(s.path("app.log.3"), written, written))
	s.idle(2)
	s.kill()
	s.append("app.log", "four\n")
	s.rename("app.log", "app.log.0")
	s.append("app.log", "five\n")
	s.expect("four", "five")
	s.wantAnomalies(nil)
}

// What was copied or compressed is content of a file, as well as a renamed file.
func TestWhatFilesHoldIsNotForgotten(t *testing.T) {
	s := rotations(t)
	s.compress("app.log.2")
	s.copy("app.log.1", "app.log.5")
	s.check(os.Remove(s.path("app.log.1")))
	s.idle(20)
	s.kill()
	s.expect()
	s.idle(20)
	s.wantForgotten(0)
}

func TestNothingIsForgottenUnseen(t *testing.T) {
	unseen := errors.New("input/output error")
	s := rotations(t)
	s.cfg.disk = logfile.OS
	s.cfg.disk.ReadDir = func(name string) ([]fs.DirEntry, error) { return nil, unseen }
	s.kill()
	s.check(os.Remove(s.path("app.log.2")))
	s.idle(20)
	s.wantForgotten(0)
	unseen = nil
	s.cfg.disk.ReadDir = os.ReadDir
	s.kill()
	s.idle(20)
	s.wantForgotten(1)
}

// A restart begins the time again in which no file may hold it.
func TestForgottenOnlyWhatWasLookedForAllTheTime(t *testing.T) {
	s := rotations(t)
	s.check(os.Remove(s.path("app.log.2")))
	for range 5 {
		s.idle(6)
		s.kill()
	}
	s.wantForgotten(0)
	s.idle(9)
	s.wantForgotten(1)
}

func TestFileOfTwoGenerations(t *testing.T) {
	s := follow(t, "*.log")
	s.append("a.log", "one\n")
	s.append("b.log", "two\n")
	s.expect("one", "two")
	a, b := s.tailer.byPath[s.path("a.log")][0], s.tailer.byPath[s.path("b.log")][0]
	mine := b.Ino
	b.Ino = a.Ino // as only a fault of ours could do
	if s.tailer.breach() == nil {
		t.Fatal("no breach was found")
	}
	s.tailer.barShared()
	s.append("b.log", "three\n")
	s.tailer.enqueue(b)
	if block, err := s.tailer.readBlock(b, s.now); err == nil || len(block.Data) > 0 {
		t.Errorf("read %q of a file that two generations have, error %v", block.Data, err)
	}
	problems := 0
	for _, f := range s.tailer.Survey(s.now) {
		if f.Problem != "" {
			problems++
		}
	}
	if problems != 2 {
		t.Errorf("%d files have a problem, want 2", problems)
	}
	b.Ino = mine
	s.tailer.barShared()
	s.expect("three")
}

// breach returns an error if two unfinished generations share an inode.
func (t *Tailer) breach() error {
	for _, pair := range t.shared() {
		return fmt.Errorf("%w: %d and %d of %q, inode %d", errShared, pair[0].ID, pair[1].ID, pair[1].Path, pair[1].Ino)
	}
	return nil
}
