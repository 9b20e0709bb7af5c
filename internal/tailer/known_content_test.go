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
