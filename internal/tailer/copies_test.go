package tailer

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// long returns lines that are evidence: enough of them, and no two alike.
func long(prefix string, n int) (string, []string) {
	return lines(prefix+" of some length, enough to be evidence of what it is,", n)
}

// A copy was made before the power failed, and holds what the log has lost. The lines
// that nobody has read count from the copy.
func TestCopyOfALogThatLostItsEnd(t *testing.T) {
	for _, archived := range []bool{false, true} {
		for _, unread := range []int{0, 5} {
			t.Run(fmt.Sprintf("archived=%v unread=%d", archived, unread), func(t *testing.T) {
				s := follow(t, "*.log*")
				text, want := long("line", 100)
				s.append("app.log", text)
				s.expect(want...)
				s.kill()
				more, _ := long("unread", unread)
				if unread > 0 {
					s.append("app.log", more)
				}
				s.copy("app.log", "copy.log")
				if archived {
					s.compress("copy.log")
				}
				s.check(os.Truncate(s.path("app.log"), int64(len(text)/2)))
				s.append("app.log", "\nafter\n")
				got := s.read()
				s.commit()
				s.pass(20 * time.Second)
				got = append(got, s.read()...)
				s.commit()
				if len(got) != 1+unread+1 {
					t.Errorf("read %d lines, want the cut one, the one after it and %d: %q", len(got), unread, short(got))
				}
				s.kill()
				s.pass(20 * time.Second)
				s.expect()
				s.wantAnomalies(nil)
			})
		}
	}
}

// One copy of the log was made when it was read to its end, and another one when it
// was truncated. The log goes on in the longer one.
func TestLostLogGoesOnInItsLongestCopy(t *testing.T) {
	for _, archived := range []bool{false, true} {
		t.Run(fmt.Sprintf("archived=%v", archived), func(t *testing.T) {
			s := follow(t, "app.log")
			text, want := long("line", 60)
			s.append("app.log", text)
			s.expect(want...)
			s.kill()
			s.copy("app.log", "app.log.backup")
			if archived {
				s.compress("app.log.backup")
			}
			s.pass(time.Second)
			s.append("app.log", "more\n")
			s.copyTruncate("app.log", "app.log.1")
			s.append("app.log", "new\n")
			got := s.read()
			s.commit()
			s.pass(20 * time.Second)
			if got = append(got, s.read()...); !slices.Equal(got, []string{"more", "new"}) {
				t.Errorf("read %q", got)
			}
			s.wantAnomalies(nil)
		})
	}
}

// An older copy takes the place of the log. While that waits for the first lines behind
// the copy, an archive of the copy appears: it is no reason to count all again.
func TestRestoredLogAndItsArchive(t *testing.T) {
	s := follow(t, "app.log")
	text, want := long("line", 60)
	s.append("app.log", text)
	s.expect(want...)
	s.kill()
	older := text[:strings.LastIndexByte(text[:len(text)-200], '\n')+1]
	s.check(os.WriteFile(s.path("older"), []byte(older), 0o644))
	s.check(os.Chtimes(s.path("older"), s.now, s.now))
	s.rename("older", "app.log")
	s.expect()
	s.rename("app.log", "app.log.1")
	s.append("app.log", "new\n")
	s.expect("new")
	s.copy("app.log.1", "app.log.2")
	s.compress("app.log.2")
	for range 10 {
		s.expect()
		s.pass(2 * time.Second)
	}
	s.expect()
}

// The log lost its end, its next line is one with NULs, and then an older copy takes its
// place. The line of the trail that covers the NULs says nothing of the new lines.
func TestRestoredLogWhoseTrailHasAHole(t *testing.T) {
	s := follow(t, "app.log")
	text, want := long("line", 40)
	s.append("app.log", text)
	s.expect(want...)
	s.kill()
	kept := strings.LastIndexByte(text[:len(text)/2], '\n') + 1
	s.check(os.Truncate(s.path("app.log"), int64(kept)))
	s.check(os.Truncate(s.path("app.log"), int64(kept+9000)))
	s.append("app.log", "behind the hole\n")
	s.expect("behind the hole")
	s.kill()
	after, wantAfter := long("after", 10)
	s.check(os.WriteFile(s.path("older"), []byte(text[:kept]+after), 0o644))
	s.check(os.Chtimes(s.path("older"), s.now, s.now))
	s.rename("older", "app.log")
	s.expect(wantAfter...)
}

// A log that nobody has read is copied within a line, truncated and rotated. Its line
// began in the copy, and goes on in the rotated log.
func TestTornOverACopyOfALogThatWasRotatedSince(t *testing.T) {
	for _, copies := range []int{1, 2} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("copies=%d late=%v", copies, late), func(t *testing.T) {
				s := follow(t, "app.log")
				made := s.dated()
				s.expect()
				s.kill()
				s.append("app.log", "one 1\ntwo 7")
				made("app.log")
				s.copyTruncate("app.log", "app.log.1")
				made("app.log.1")
				s.pass(time.Millisecond)
				s.append("app.log", "77\nthree 3\n")
				want := []string{"one 1", "two 777", "three 3", "five 5"}
				if copies == 2 {
					s.append("app.log", "four 4")
					s.shift("app.log")
					s.copyTruncate("app.log", "app.log.1")
					made("app.log.1")
					s.pass(time.Millisecond)
					s.append("app.log", "44\n")
					want = append(want, "four 444")
				}
				s.shift("app.log")
				s.rename("app.log", "app.log.1")
				s.append("app.log", "five 5\n")
				made("app.log")
				if late { // the rotated log is written to after the next one is rotated as well
					s.shift("app.log")
					s.rename("app.log", "app.log.1")
					s.pass(time.Millisecond)
					s.append("app.log.2", "late 1\n")
					s.append("app.log", "six 6\n")
					made("app.log")
					want = append(want, "late 1", "six 6")
				}
				s.expect(want...)
				s.pass(20 * time.Second)
				s.expect()
				s.wantAnomalies(nil)
			})
		}
	}
}

// Nothing of a rotated log was read yet, since its first line may be the end of another
// one, when a copy of it appears.
func TestCopyOfALogThatWaits(t *testing.T) {
	s := follow(t, "app.log*", "*.gz")
	text, want := long("line", 60)
	s.append("app.log", text)
	s.expect(want...)
	s.check(os.Remove(s.path("app.log")))
	s.append("app.log", "")
	s.kill()
	s.start()
	more, wantMore := long("more", 60)
	s.append("app.log", more)
	s.rename("app.log", "app.log.1")
	s.copy("app.log.1", "copy.log")
	s.compress("copy.log")
	s.append("app.log", "new\n")
	s.expect(append(wantMore, "new")...)
	s.pass(20 * time.Second)
	s.expect()
}

// Somebody compresses a copy of a log before anything is read of the log, whose first
// line may be the end of another file's last line. The log then goes on.
func TestArchiveOfALogThatWaits(t *testing.T) {
	s := follow(t, "app.log*")
	text, want := long("line", 60)
	s.append("app.log", text)
	s.expect(want...)
	unread, wantUnread := long("unread", 60)
	s.append("app.log", unread)
	s.copy("app.log", "app.log.1")
	s.check(os.Truncate(s.path("app.log"), 0))
	s.compress("app.log.1")
	more, wantMore := long("more", 60)
	s.append("app.log", more)
	s.copy("app.log", "app.log.backup5")
	s.compress("app.log.backup5")
	s.append("app.log", "new\n")
	s.expectInAll(append(append(wantUnread, wantMore...), "new")...)
}

// All files begin with the same long header. While nobody looks, a log is rotated twice,
// and each archive has as many bytes as the other.
func TestArchivesWithOneHeaderAndOneLength(t *testing.T) {
	header, lines := long("header", 60)
	s := follow(t, "app.log*")
	s.append("app.log", header+"one 1\n")
	s.expect(append(lines, "one 1")...)
	s.kill()
	s.append("app.log", "one 2\n")
	s.rename("app.log", "app.log.2")
	s.compress("app.log.2")
	s.append("app.log.1", header+"two 1\ntwo 2\n")
	s.compress("app.log.1")
	s.append("app.log", header+"six 1\n")
	s.start()
	s.expectInAll(slices.Concat([]string{"one 2", "two 1", "two 2", "six 1"}, lines, lines)...)
}

// A copy is met when it is empty, and is too short to be evidence.
func TestShortCopyThatIsMetEmpty(t *testing.T) {
	s := follow(t, "app.log*")
	s.append("app.log", "one 1\n")
	s.expect("one 1")
	s.append("app.log.1", "")
	s.expect()
	s.append("app.log.1", "one 1\n")
	s.expect()
	s.check(os.Truncate(s.path("app.log"), 0))
	s.append("app.log", "two 2\n")
	s.expect("two 2")
	s.pass(20 * time.Second)
	s.expect()
	s.wantAnomalies(nil)
}
