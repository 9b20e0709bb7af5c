package tailer

import (
	"os"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// reload does what an agent does whose sources change: a last commit, and
// another tailer that takes the open files over.
func (s *scene) reload(sources ...Source) {
	s.t.Helper()
	s.commit()
	open := s.tailer.Handover()
	s.tailer.Close()
	s.cfg.Sources, s.cfg.Open = sources, open
	s.start()
	s.cfg.Open = nil
}

func (s *scene) source(name string, patterns ...string) Source {
	source := Source{Name: name}
	for _, p := range patterns {
		source.Paths = append(source.Paths, s.path(p))
	}
	return source
}

func TestReloadKeepsWhatWasDeletedUnread(t *testing.T) {
	for _, first := range []string{"one\n", ""} {
		t.Run(first, func(t *testing.T) {
			s := follow(t, "app.log")
			s.append("app.log", first+"to")
			s.read()
			s.append("app.log", "rn\ntwo\nlast")
			s.check(os.Remove(s.path("app.log")))
			s.reload(s.source("s0", "*.log"), s.source("new", "app.log"))
			s.append("app.log", "three\n")
			s.append("other.log", "four\n")
			s.expect("torn", "two", "three", "four")
			s.pass(10 * time.Second)
			s.expect("last")
			s.wantAnomalies(nil)
		})
	}
}

func TestReloadKeepsAnArchiveThatWasDeletedUnread(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 30_000) // more than one block
	s.append("app.log", "first\n")
	s.expect("first")
	s.kill()
	s.append("app.log", text)
	s.rename("app.log", "app.log.1")
	s.compress("app.log.1")
	s.pass(time.Minute)
	s.start()
	b, ok := nextOf(s.tailer, s.now)
	if !ok || len(b.Data) >= len(text) {
		t.Fatalf("the first block is %d bytes of %d", len(b.Data), len(text))
	}
	n := len(splitLines(b.Data))
	s.check(os.Remove(s.path("app.log.1.gz")))
	s.reload(s.cfg.Sources...)
	s.expect(want[n:]...)
	s.pass(20 * time.Second)
	s.expect()
	s.wantAnomalies(nil)
}

// After a last commit that failed the ledger is behind the old tailer.
func TestReloadReadsAgainWhatWasNotCommitted(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\n")
	s.expect("one")
	s.append("app.log", "two\n")
	s.read()
	s.check(os.Remove(s.path("app.log")))
	open := s.tailer.Handover()
	s.tailer.Close()
	s.cfg.Open = open
	s.start()
	s.expect("two")
	s.wantAnomalies(nil)
}

func TestReloadDoesNotTrustADescriptor(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 30)
	s.append("app.log", text)
	s.expect(want...)
	open := s.tailer.Handover()
	s.tailer.Close()
	s.check(os.Truncate(s.path("app.log"), 0))
	again, all := lines("again", 50)
	s.append("app.log", again)
	s.cfg.Open = open
	s.start()
	if s.tailer.streams[0].file != nil {
		t.Error("a file with other content was taken over")
	}
	s.expect(all...)
}

func TestReloadClosesWhatNoSourceFollows(t *testing.T) {
	s := follow(t, "*.log")
	s.append("a.log", "one\n")
	s.append("b.log", "two\n")
	s.expect("one", "two")
	open := s.tailer.Handover()
	b := open[2]
	s.tailer.Close()
	s.cfg.Sources, s.cfg.Open = []Source{s.source("a", "a.log")}, open
	s.start()
	if _, err := b.Stat(); err == nil {
		t.Error("a descriptor that nothing needs is still open")
	}
}

func TestReloadWithSourcesThatComeAndGo(t *testing.T) {
	s := follow(t, "a.log")
	a, b := s.source("a", "a.log"), s.source("b", "b*.log")
	s.append("a.log", "a1\n")
	s.append("b.log", "b1\n")
	s.append("b2.log", "c1\n")
	s.expect("a1")
	s.reload(a, b)
	s.expect("b1", "c1")
	left := s.committed[1]
	s.reload(b)
	s.append("a.log", "a2\n")
	s.rename("a.log", "a.log.1")
	s.append("a.log", "a3\n")
	s.append("b.log", "b2\n")
	s.expect("b2")
	if got := s.committed[1]; got.Offset != left.Offset || got.State != meter.Live {
		t.Fatalf("a generation that nobody follows became %+v", got)
	}
	s.reload(a, s.source("b", "b.log"))
	s.append("b2.log", "nobody reads it\n")
	s.expect("a2", "a3")
	s.reload(a, b)
	s.expect("nobody reads it")
	s.wantAnomalies(nil)
}

// A reload, or a clock that is set back, says nothing of how long a file is quiet.
func TestLateWriterAfterAReloadOrAClockStep(t *testing.T) {
	for name, happens := range map[string]func(s *scene){
		"reload":                   func(s *scene) { s.reload(s.cfg.Sources...) },
		"the clock is set back":    func(s *scene) { s.pass(-time.Hour) },
		"the clock is set forward": func(s *scene) { s.pass(30 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			s := follow(t, "app.log")
			s.append("app.log", "one\n")
			s.expect("one")
			s.rename("app.log", "app.log.1")
			s.append("app.log", "two\n")
			s.expect("two")
			s.pass(6 * time.Second)
			s.expect()
			s.pass(time.Second)
			s.expect()
			if got := s.tailer.streams[0].State; got != meter.Done {
				t.Fatalf("the rotated file is %s", got)
			}
			happens(s)
			s.expect()
			s.append("app.log.1", "late\n")
			s.expect("late")
		})
	}
}

func TestReloadWaitsForTheEndOfATornLine(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\nto")
	s.expect("one")
	s.rename("app.log", "app.log.1")
	s.append("app.log", "two\n")
	s.expect("two")
	s.reload(s.cfg.Sources...)
	s.expect()
	s.append("app.log.1", "rn\n")
	s.expect("torn")
}
