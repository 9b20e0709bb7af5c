package tailer

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCopyFirstMetShort copies a log as cp does: it makes a file, then fills it.
func TestCopyFirstMetShort(t *testing.T) {
	for _, first := range []int{0, 500} {
		s := follow(t, "*.log")
		text, want := lines("line of some length to make evidence", 60)
		s.append("app.log", text)
		s.expect(want...)
		s.append("copy.log", text[:first])
		counted := s.read()
		s.commit()
		s.check(os.WriteFile(s.path("copy.log"), []byte(text), 0o644))
		if first == 0 {
			if s.expect(); len(counted) > 0 {
				t.Errorf("read %q of an empty file", counted)
			}
			s.kill()
			s.expect()
		}
	}
}

// TestCopyThatGrowsWithTheLog writes the whole log into another file again and
// again.
func TestCopyThatGrowsWithTheLog(t *testing.T) {
	s := follow(t, "*.log")
	text, want := lines("line of some length to make evidence", 60)
	s.append("app.log", text)
	s.expect(want...)
	for i := range 5 {
		s.check(os.WriteFile(s.path("mirror.log"), nil, 0o644))
		s.expect()
		s.check(os.WriteFile(s.path("mirror.log"), []byte(text), 0o644))
		s.expect()
		more, want := lines(strings.Repeat("x", i+1), 5)
		text += more
		s.append("app.log", more)
		s.expect(want...)
	}
}

// TestCopyOfALogThatWasHardlyRead has the copy and the log's unread lines found by
// one scan.
func TestCopyOfALogThatWasHardlyRead(t *testing.T) {
	s := follow(t, "*.log")
	text, want := lines("line of some length to make evidence", 60)
	first := strings.IndexByte(text, '\n') + 1
	second := first + strings.IndexByte(text[first:], '\n') + 1
	s.append("b.log", text[:second])
	s.expect(slices.Clone(want[:2])...)
	s.append("b.log", text[second:])
	s.copy("b.log", "a.log") // asked first
	s.expect(want[2:]...)
	s.kill()
	s.expect()
}

// TestCutAtItsHeadAndCompressed cuts off lines, rotates and compresses, while
// nobody looks.
func TestCutAtItsHeadAndCompressed(t *testing.T) {
	for _, kept := range []int{3, 10, 40} {
		s := follow(t, "app.log")
		text, want := lines("line of some length to make evidence", 60)
		s.append("app.log", text)
		s.expect(want...)
		s.kill()
		rest := strings.Join(strings.SplitAfter(text, "\n")[60-kept:], "")
		s.check(os.WriteFile(s.path("tmp"), []byte(rest), 0o644))
		s.rename("tmp", "app.log")
		s.append("app.log", "unread\n")
		s.rename("app.log", "app.log.1")
		s.compress("app.log.1")
		s.pass(5 * time.Second)
		s.append("app.log", "new\n")
		got := append(s.read(), s.read()...)
		s.commit()
		slices.Sort(got)
		if want := []string{"new", "unread"}; !slices.Equal(got, want) {
			t.Errorf("%d lines kept: read %q, want %q", kept, short(got), want)
		}
	}
}

// TestHeaderOfAFileThatIsOpen rotates a file that begins like a longer finished
// one and goes on otherwise, while the longer one is open.
func TestHeaderOfAFileThatIsOpen(t *testing.T) {
	s := follow(t, "app.log")
	header, first := lines("banner of the program, long enough to make evidence", 60)
	text, want := lines("one", 30)
	s.append("app.log", header+text)
	s.expect(append(first, want...)...)
	s.rename("app.log", "app.log.1")
	s.append("app.log", "only\n")
	s.expect("only")
	s.pass(10 * time.Second)
	s.expect()
	s.kill()
	s.rename("app.log.1", "app.log.3")
	s.rename("app.log", "app.log.2")
	text, want = lines("two", 20)
	s.append("app.log.1", header+text)
	s.append("app.log", "new\n")
	_, first = lines("banner of the program, long enough to make evidence", 60)
	s.expect(slices.Concat(first, want, []string{"new"})...)
}

// TestOneLineUnderOneNameAgainAndAgain removes a log of one line and makes another
// just like it.
func TestOneLineUnderOneNameAgainAndAgain(t *testing.T) {
	s := follow(t, "job.log")
	for range 5 {
		s.append("job.log", "EV id=1 done\n")
		s.expect("EV id=1 done")
		s.pass(10 * time.Second)
		s.expect()
		s.check(os.Remove(s.path("job.log")))
		s.expect()
	}
}

// TestArchiveThatHoldsMoreThanTheMirror brings, as rsync does, a new log in place
// of the old one, and later an archive with lines that the old one never had.
func TestArchiveThatHoldsMoreThanTheMirror(t *testing.T) {
	s := follow(t, "app.log*")
	text, want := lines("line of some length to make evidence", 60)
	s.append("app.log", text)
	s.expect(want...)
	s.append("tmp", "new\n")
	s.rename("tmp", "app.log")
	s.expect("new")
	s.pass(6 * time.Second)
	s.expect()
	s.check(os.WriteFile(s.path("app.log.1.gz"), compressed(t, ".gz", text+"more\n"), 0o644))
	s.pass(10 * time.Second)
	s.check(os.Chtimes(s.path("app.log.1.gz"), s.now, s.now))
	s.append("app.log", "newer\n")
	got := append(s.read(), s.read()...)
	s.commit()
	s.pass(10 * time.Second)
	got = append(got, s.read()...)
	s.commit()
	if slices.Sort(got); !slices.Equal(got, []string{"more", "newer"}) {
		t.Errorf("read %q", short(got))
	}
}

// TestArchivesWithOneBanner rotates and compresses, while nobody looks, a file
// that begins with the banner of all others.
func TestArchivesWithOneBanner(t *testing.T) {
	s := follow(t, "app.log")
	banner, first := lines("banner of the program, long enough to make evidence", 60)
	write := func(name string, n int) []string {
		text, all := lines(name, n)
		s.append("app.log", banner+text)
		return slices.Concat(first, all)
	}
	s.expect(write("one", 30)...)
	s.kill()
	s.rename("app.log", "app.log.2")
	want := write("two", 20)
	s.rename("app.log", "app.log.1")
	s.compress("app.log.1")
	want = append(want, write("three", 40)...)
	var got []string
	for range 4 { // the first log must have been quiet
		s.pass(5 * time.Second)
		got = append(got, s.read()...)
		s.commit()
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("read %d lines, want %d", len(got), len(want))
	}
}
