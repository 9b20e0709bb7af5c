package tailer

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

func TestRenameWithLateWriter(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\n")
	s.expect("one")
	s.rename("app.log", "app.log.1")
	s.append("app.log", "two\n")
	s.append("app.log.1", "late\n")
	s.expect("two", "late")
	s.append("app.log.1", "later\n")
	s.expect("later")
	s.pass(20 * time.Second)
	s.expect()
	s.append("app.log.1", "very late\n")
	s.expect("very late")
}

func TestRotatedWhileDown(t *testing.T) {
	for _, names := range [][]string{
		{"app.log.2", "app.log.1"},
		{"app.log-20260101", "app.log-20260102"},
		{"app-20260101.log", "app-20260102.log"},
		{"app.log.2026-01-01", "app.log.2026-01-02"},
		{"app.2.log", "app.1.log"},
	} {
		t.Run(names[0], func(t *testing.T) {
			s := follow(t, "app.log")
			first, _ := lines("first", 200)
			s.append("app.log", first)
			s.read()
			s.commit()
			s.append("app.log", "rest of first\n")
			s.kill()
			s.rename("app.log", names[0])
			s.append(names[1], "second\n")
			s.append("app.log", "third\n")
			s.expect("rest of first", "second", "third")
			s.wantAnomalies(nil)
		})
	}
}

func TestCompressedWhileDown(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 5000)
	s.append("app.log", text)
	s.expect(want...)
	s.append("app.log", "unread\n")
	s.kill()
	s.rename("app.log", "app.log.1")
	s.compress("app.log.1")
	s.append("app.log", "new\n")
	s.pass(10 * time.Second)
	s.expect("unread", "new")
	s.kill()
	s.rename("app.log.1.gz", "app.log.2.gz")
	s.expect()
	s.wantAnomalies(nil)
}

func TestSeveralCompressedWhileDown(t *testing.T) {
	s := follow(t, "app.log*")
	s.append("app.log", "one\n")
	s.expect("one")
	s.kill()
	s.append("app.log", "two\n")
	s.rename("app.log", "app.log.2")
	s.compress("app.log.2")
	s.append("app.log.1", "three\n")
	s.compress("app.log.1")
	s.append("app.log", "four\n")
	s.pass(10 * time.Second)
	s.expect("two", "three", "four")
	s.wantAnomalies(nil)
}

// Logs that begin with the same banner, or whose lines end alike, are kept apart
// by the one that differs.
func TestRotatedWhileDownWithTheSameHeadOrMark(t *testing.T) {
	banner, tail := strings.Repeat("=", 1100)+"\n", strings.Repeat("x", 80)
	for _, test := range []struct{ name, before, after string }{
		{"head", banner, ""},
		{"mark", "", tail},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := follow(t, "app.log")
			write := func(name, line string) { s.append(name, test.before+line+test.after+"\n") }
			want := func(lines ...string) []string {
				all := []string{}
				for _, line := range lines {
					if test.before != "" {
						all = append(all, strings.TrimSuffix(banner, "\n"))
					}
					all = append(all, line+test.after)
				}
				return all
			}
			write("app.log", "one")
			s.expect(want("one")...)
			s.kill()
			s.rename("app.log", "app.log.2")
			write("app.log.1", "two")
			write("app.log", "six")
			s.expect(want("two", "six")...)
			s.kill()
			s.rename("app.log", "app.log.0")
			s.compress("app.log.0")
			write("app.log", "ten")
			s.pass(time.Minute)
			s.expect(want("ten")...)
			s.wantAnomalies(nil)
		})
	}
}

func TestRotatedBetweenTheLookAndTheOpening(t *testing.T) {
	s := follow(t, "app.log")
	s.expect()
	s.kill()
	s.append("app.log", "one\n")
	s.cfg.disk = logfile.OS
	s.cfg.disk.Open = func(name string) (logfile.File, error) {
		if _, err := os.Stat(s.path("app.log.1")); logfile.IsMissing(err) {
			s.rename("app.log", "app.log.1")
			s.append("app.log", "two\n")
		}
		return logfile.OS.Open(name)
	}
	s.expect("one", "two")
	s.wantAnomalies(nil)
}

func TestRotatedToAnotherFolder(t *testing.T) {
	s := follow(t, "app.log", "old/*")
	s.check(os.Mkdir(s.path("old"), 0o755))
	s.append("old/app.log.9", "before\n")
	s.append("app.log", "one\n")
	s.expect("one")
	s.append("app.log", "two\n")
	s.rename("app.log", "old/app.log.1")
	s.append("app.log", "three\n")
	s.expect("two", "three")
	s.kill()
	s.append("app.log", "four\n")
	s.compress("old/app.log.1")
	s.rename("old/app.log.1.gz", "old/app.log.3.gz")
	s.rename("app.log", "old/app.log.2")
	s.compress("old/app.log.2")
	s.append("old/app.log.1", "five\n")
	s.append("app.log", "six\n")
	s.pass(5 * time.Second)
	s.expect("four", "five", "six")
	s.pass(20 * time.Second)
	s.expect()
	s.wantAnomalies(nil)
}

// What was given up, or thought finished, and comes back with more is read on.
func TestFinishedFileComesBackLonger(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 300)
	s.append("app.log", text)
	s.expect(want...)
	s.kill()
	s.check(os.Remove(s.path("app.log")))
	s.expect()
	s.pass(20 * time.Second)
	s.expect()
	s.append("app.log.1", text+"more\n")
	s.tailer.concerns(s.path("app.log.1"))
	s.pass(20 * time.Second)
	s.expect("more")
	s.wantAnomalies(nil)
}

func TestDeletedWhileDownIsAGap(t *testing.T) {
	for _, unread := range []string{"", "unread"} {
		t.Run(unread, func(t *testing.T) {
			s := follow(t, "app.log")
			text, want := lines("line", 300)
			s.append("app.log", text+unread)
			s.expect(want...)
			s.kill()
			s.check(os.Remove(s.path("app.log")))
			s.expect()
			s.pass(20 * time.Second)
			s.expect()
			if unread == "" { // it was read to its end
				s.wantAnomalies(nil)
			} else {
				s.wantAnomalies(map[meter.AnomalyKind]int64{meter.BytesMissed: 1})
			}
		})
	}
}

func TestDeletedWhileOpenIsReadToItsEnd(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\n")
	s.expect("one")
	s.append("app.log", "two\nlast")
	s.check(os.Remove(s.path("app.log")))
	s.expect("two")
	s.pass(10 * time.Second)
	s.expect("last")
	s.wantAnomalies(nil)
}

func TestInodeUsedAgain(t *testing.T) {
	s := follow(t, "app.log")
	for i := range 20 {
		text, want := lines(fmt.Sprintf("file %d", i), 30)
		s.append("app.log", text)
		s.expect(want...)
		s.check(os.Remove(s.path("app.log")))
		if i%2 == 0 {
			s.kill() // nothing keeps the inode
		}
	}
}

func TestExcludeDoesNotHideWhatWasRotated(t *testing.T) {
	s := follow(t, "*")
	s.cfg.Sources[0].Exclude = []string{"*.gz", "*.1"}
	s.append("app.log", "one\n")
	s.append("other.gz", "not followed\n")
	s.expect("one")
	s.kill()
	s.append("app.log", "two\n")
	s.rename("app.log", "app.log.2")
	s.compress("app.log.2")
	s.append("app.log.1", "three\n")
	s.append("app.log", "four\n")
	s.pass(10 * time.Second)
	s.expect("two", "three", "four")
}

func TestLastLineOfARotatedFile(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\nlast")
	s.expect("one")
	s.rename("app.log", "app.log.1")
	s.expect()
	s.pass(10 * time.Minute)
	s.expect() // a late writer may end it
	s.pass(6 * time.Minute)
	s.expect("last")
	s.kill()
	s.expect()
}

// A writer that is later than we waited is read on, and its last line counts, too.
func TestWriterAfterTheRotatedFileWasQuiet(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\n")
	s.expect("one")
	s.rename("app.log", "app.log.1")
	s.append("app.log", "two\n")
	s.expect("two")
	s.pass(10 * time.Second)
	s.expect() // the rotated file is done
	s.append("app.log.1", "late\ntorn")
	s.expect("late")
	s.pass(16 * time.Minute)
	s.expect("torn")
	s.kill()
	s.expect()
	s.wantAnomalies(nil)
}

// Names that a person gave to several files of one application are no
// rotation of one another.
func TestNumberedWorkersAreFilesOfTheirOwn(t *testing.T) {
	s := follow(t, "*.log")
	s.append("worker.log", "a\n")
	s.append("worker-1.log", "b\n")
	s.append("worker-2.log", "c\n")
	s.expect("a", "b", "c")
}

func TestSameContentUnderAnotherName(t *testing.T) {
	s := follow(t, "*.log")
	text, want := lines("line", 300)
	s.append("a.log", text)
	s.append("b.log", text)
	s.expect(want...)
	s.kill()
	s.append("b.log", "b\n") // what is more than a copy is another file
	s.expect(append(want, "b")...)
}

func TestWrittenAnew(t *testing.T) { // as sed -i and editors do

	s := follow(t, "app.log")
	text, want := lines("line", 300)
	s.append("app.log", text)
	s.expect(want...)
	s.copy("app.log", "sedXYZ")
	s.rename("sedXYZ", "app.log")
	s.append("app.log", "new\n")
	s.expect("new")
}
func TestFolderRemovedAndMadeAgain(t *testing.T) {
	s := follow(t, "sub/app.log")
	s.check(os.Mkdir(s.path("sub"), 0o755))
	s.append("sub/app.log", "one\n")
	s.expect("one")
	s.check(os.RemoveAll(s.path("sub")))
	s.expect()
	s.check(os.Mkdir(s.path("sub"), 0o755))
	s.append("sub/app.log", "two\n")
	s.expect("two")
}

// Files are dated by a clock that is some milliseconds behind. A file that was
// written and rotated right after the first scan seems older than that scan.
func TestRotatedRightAfterTheFirstScan(t *testing.T) {
	for range 20 {
		s := follow(t, "app.log")
		s.now = time.Now()
		s.start()
		nextOf(s.tailer, time.Now())
		s.check(os.WriteFile(s.path("app.log.1"), []byte("one\n"), 0o644))
		s.check(os.WriteFile(s.path("app.log"), []byte("two\n"), 0o644))
		s.commit()
		s.kill()
		s.start()
		lines := []string{}
		for { // in one scan, as a run to the files' ends has no other
			b, ok := nextOf(s.tailer, time.Now())
			if !ok {
				break
			}
			lines = append(lines, splitLines(b.Data)...)
		}
		if slices.Sort(lines); !slices.Equal(lines, []string{"one", "two"}) {
			t.Fatalf("read %q", lines)
		}
	}
}
