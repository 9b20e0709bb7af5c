package tailer

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// scene is a folder of logs and a tailer that follows some of them, with a
// clock that the test moves and commits that it makes.
type scene struct {
	t         *testing.T
	dir       string
	now       time.Time
	cfg       Config
	tailer    *Tailer
	committed map[int64]meter.Generation
	copies    verdicts
	globs     map[string]time.Time
	anomalies meter.Tally
}

// follow begins a scene in which patterns below its folder are followed.
func follow(t *testing.T, patterns ...string) *scene {
	s := &scene{t: t, dir: t.TempDir(), now: time.Now(), committed: make(map[int64]meter.Generation), globs: make(map[string]time.Time)}
	for _, p := range patterns {
		s.cfg.Sources = append(s.cfg.Sources, Source{Name: fmt.Sprintf("s%d", len(s.cfg.Sources)), Paths: []string{s.path(p)}})
	}
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

func (s *scene) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// append writes text to the end of a file, which it makes if need be.
func (s *scene) append(name, text string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	s.check(err)
	_, err = f.WriteString(text)
	s.check(err)
	s.check(f.Close())
	s.check(os.Chtimes(s.path(name), s.now, s.now))
}

func (s *scene) rename(from, to string) {
	s.t.Helper()
	s.check(os.Rename(s.path(from), s.path(to)))
}

func (s *scene) copy(from, to string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path(from))
	s.check(err)
	s.check(os.WriteFile(s.path(to), text, 0o644))
	s.check(os.Chtimes(s.path(to), s.now, s.now))
}

// compress replaces a file by a compressed one, as gzip does.
func (s *scene) compress(name string) { s.t.Helper(); s.compressAs(name, ".gz") }

func (s *scene) compressAs(name, ext string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	s.check(err)
	info, err := os.Stat(s.path(name))
	s.check(err)
	s.check(os.WriteFile(s.path(name+ext), compressed(s.t, ext, string(text)), 0o644))
	s.check(os.Chtimes(s.path(name+ext), info.ModTime(), info.ModTime()))
	s.check(os.Remove(s.path(name)))
}

func (s *scene) start() {
	s.cfg.Known, s.cfg.Copies = s.known(), s.copies.list()
	s.cfg.Globs, s.cfg.NoWatch = s.globs, true
	s.tailer = New(s.cfg)
}

func (s *scene) known() []meter.Generation {
	var known []meter.Generation
	for _, id := range slices.Sorted(maps.Keys(s.committed)) {
		known = append(known, s.committed[id])
	}
	return known
}

// verdicts are the copies that a ledger would know of.
type verdicts map[logfile.Inode]meter.Copy

func (v *verdicts) take(copies []meter.Copy) {
	if *v == nil {
		*v = make(verdicts)
	}
	for _, c := range copies {
		if at := (logfile.Inode{Dev: c.Dev, Ino: c.Ino}); c.Of == 0 {
			delete(*v, at)
		} else {
			(*v)[at] = c
		}
	}
}

func (v verdicts) list() []meter.Copy { return slices.Collect(maps.Values(v)) }

func (s *scene) kill() {
	if s.tailer != nil {
		s.check(s.tailer.breach())
		s.tailer.Close()
	}
	s.tailer = nil
}

// read returns the lines that are there a little later, sorted, without
// committing them.
func (s *scene) read() []string {
	s.t.Helper()
	if s.tailer == nil {
		s.start()
	}
	lines := []string{}
	for range 3 { // what one scan finds may need another to be settled
		s.now = s.now.Add(1100 * time.Millisecond)
		for {
			b, ok := nextOf(s.tailer, s.now)
			if !ok {
				break
			}
			lines = append(lines, splitLines(b.Data)...)
		}
	}
	slices.Sort(lines)
	return lines
}

func splitLines(data []byte) []string {
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func (s *scene) commit() {
	generations, copies, globs := s.tailer.Take(&s.anomalies)
	for _, g := range generations {
		s.committed[g.ID] = g
	}
	s.copies.take(copies)
	for p, at := range globs {
		s.globs[p] = at
	}
}

// expect reads and commits, and wants these lines in any order.
func (s *scene) expect(want ...string) {
	s.t.Helper()
	got := s.read()
	s.commit()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Fatalf("read %q, want %q", short(got), short(want))
	}
}

func short(lines []string) []string {
	out := []string{}
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%.40s", l))
	}
	return out
}

func (s *scene) pass(d time.Duration) { s.now = s.now.Add(d) }

func (s *scene) wantAnomalies(want map[meter.AnomalyKind]int64) {
	s.t.Helper()
	got := map[meter.AnomalyKind]int64{}
	for key, a := range s.anomalies.Anomalies {
		if a.Count != 0 {
			got[key.Kind] += a.Count
		}
	}
	if len(got) != len(want) {
		for key, a := range s.anomalies.Anomalies {
			s.t.Logf("%v: %+v", key, *a)
		}
		s.t.Fatalf("anomalies %v, want %v", got, want)
	}
	for kind, n := range want {
		if got[kind] != n {
			s.t.Fatalf("anomalies %v, want %v", got, want)
		}
	}
}

func lines(prefix string, n int) (text string, all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s %d", prefix, i))
	}
	return strings.Join(all, "\n") + "\n", all
}

func TestAppendAndTornLine(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\ntw")
	s.expect("one")
	s.append("app.log", "o\nthree\n")
	s.expect("two", "three")
	s.kill()
	s.append("app.log", "four\n")
	s.expect("four")
}

func TestFileMissingAtStartIsReadFromItsBeginning(t *testing.T) {
	s := follow(t, "app.log", "sub/**/*.log")
	s.cfg.Sources[0].AtEnd = true
	s.expect()
	s.append("app.log", "one\n")
	s.check(os.MkdirAll(s.path("sub/a/b"), 0o755))
	s.append("sub/a/b/x.log", "two\n")
	s.expect("one", "two")
}

func TestStartAtEnd(t *testing.T) {
	s := follow(t, "app.log")
	s.cfg.Sources[0].AtEnd = true
	s.append("app.log", "old\nto")
	s.expect()
	s.append("app.log", "rn\nnew\n")
	s.expect("torn", "new")
}

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

func TestCopyTruncate(t *testing.T) {
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprintf("down=%v", down), func(t *testing.T) {
			s := follow(t, "app.log")
			text, want := lines("line", 300)
			s.append("app.log", text)
			s.expect(want...)
			if down {
				s.kill()
			}
			s.append("app.log", "rest\n")
			s.copy("app.log", "app.log.1")
			s.check(os.Truncate(s.path("app.log"), 0))
			s.append("app.log", "new\n")
			s.expect("rest", "new")
			s.pass(20 * time.Second)
			s.expect()
			s.wantAnomalies(nil)
		})
	}
}

// A scan takes a while: what is made meanwhile is dated later than its beginning.
func TestCopyThatBeginsDuringAScan(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 300)
	s.append("app.log", text)
	s.expect(want...)
	scan := s.now.Add(1100 * time.Millisecond)
	s.check(os.WriteFile(s.path("app.log.1"), nil, 0o644))
	s.check(os.Chtimes(s.path("app.log.1"), scan.Add(time.Millisecond), scan.Add(time.Millisecond)))
	s.tailer.restless[s.path("app.log")] = 2
	nextOf(s.tailer, scan)
	s.copy("app.log", "app.log.1")
	s.check(os.Truncate(s.path("app.log"), 0))
	s.append("app.log", "new\n")
	s.expect("new")
	s.wantAnomalies(nil)
}

// The scan meets the copy when it is not whole, and looks into it when it is.
func TestTruncatedWhileAScanIsUnderWay(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 3000)
	half := len(text) / 2
	truncated := false
	s.cfg.disk = logfile.OS
	s.cfg.disk.Open = func(name string) (logfile.File, error) {
		if name == s.path("app.log.1") && !truncated {
			truncated = true
			s.append("app.log.1", text[half:])
			s.check(os.Truncate(s.path("app.log"), 0))
		}
		return logfile.OS.Open(name)
	}
	s.append("app.log", text)
	s.expect(want...)
	s.append("app.log.1", text[:half])
	s.tailer.restless[s.path("app.log")] = 2
	s.expect()
	if !truncated {
		t.Fatal("nobody looked into the copy")
	}
	s.append("app.log", "new\n")
	s.expect("new")
	s.wantAnomalies(nil)
}

func TestTruncatedAndGrownPastThePosition(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\n")
	s.expect("one")
	s.check(os.Truncate(s.path("app.log"), 0))
	text, want := lines("again", 50)
	s.append("app.log", text)
	s.expect(want...)
	s.pass(20 * time.Second)
	s.expect()
	s.wantAnomalies(nil) // all that was seen had been read
}

// Lines of one length that end alike put the same bytes before the position.
func TestTruncatedAndGrownWithTheSameMark(t *testing.T) {
	s := follow(t, "app.log")
	tail := strings.Repeat("x", 80)
	s.append("app.log", "1 "+tail+"\n")
	s.expect("1 " + tail)
	s.check(os.Truncate(s.path("app.log"), 0))
	s.append("app.log", "2 "+tail+"\n3 "+tail+"\n")
	s.expect("2 "+tail, "3 "+tail)
}

// Logs that begin with the same banner, or whose lines end alike, are told apart
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

func TestTruncatedUnreadWithoutACopyIsAGap(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 300)
	s.append("app.log", text)
	s.expect(want...)
	s.append("app.log", "torn")
	s.expect()
	s.check(os.Truncate(s.path("app.log"), 0))
	s.append("app.log", "new\n")
	s.expect("new")
	s.pass(20 * time.Second)
	s.expect()
	s.wantAnomalies(map[meter.AnomalyKind]int64{meter.BytesMissed: 1})
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

func TestSymbolicLinkSwitched(t *testing.T) {
	s := follow(t, "current.log")
	s.append("a.log", "one\n")
	s.check(os.Symlink("a.log", s.path("current.log")))
	s.expect("one")
	s.append("a.log", "two\n")
	s.append("b.log", "three\n")
	s.check(os.Symlink("b.log", s.path("next")))
	s.rename("next", "current.log")
	s.expect("two", "three")
	s.append("a.log", "late\n")
	s.expect("late")
}

func TestSymbolicLinkSwitchedWhileDown(t *testing.T) {
	for _, names := range [][]string{
		{"app-20260101.log", "app-20260102.log", "app-20260103.log"},
		{"app-9.log", "app-10.log", "app-11.log"},
		{"log.INFO.20260101-101010.77", "log.INFO.20260101-101112.77", "log.INFO.20260102-000000.8"},
		{"0.log", "1.log", "2.log"},
	} {
		t.Run(names[0], func(t *testing.T) {
			s := follow(t, "current.log")
			s.check(os.Mkdir(s.path("data"), 0o755))
			link := func(target string) {
				s.check(os.Symlink("data/"+target, s.path("next")))
				s.rename("next", "current.log")
			}
			s.append("data/"+names[0], "one\n")
			s.append("data/other.log", "of nobody\n")
			link(names[0])
			s.expect("one")
			s.kill()
			s.append("data/"+names[0], "two\n")
			s.append("data/"+names[1], "three\n")
			s.append("data/"+names[2], "four\n")
			s.append("data/other.log", "of nobody\n")
			link(names[2])
			s.expect("two", "three", "four")
			s.wantAnomalies(nil)
		})
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

func TestPowerLossGoesOnAtTheEnd(t *testing.T) {
	for _, kept := range []int64{0, 1, 700, 1500, 4000} {
		t.Run(fmt.Sprintf("kept=%d", kept), func(t *testing.T) {
			s := follow(t, "app.log")
			text, want := lines("line", 500)
			s.append("app.log", text)
			s.expect(want...)
			s.kill()
			s.check(os.Truncate(s.path("app.log"), kept))
			s.expect()
			s.append("app.log", "after\n")
			s.expect("after")
			s.pass(20 * time.Second)
			s.expect()
		})
	}
}

func TestPowerLossLeavesNULs(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 500)
	s.append("app.log", text)
	s.expect(want...)
	s.kill()
	size := int64(len(text))
	s.check(os.Truncate(s.path("app.log"), size-100))
	s.check(os.Truncate(s.path("app.log"), size))
	s.append("app.log", "after\n")
	s.expect("after")
	s.wantAnomalies(nil)
}

// After a power failure a file is what was read of it up to some byte, then
// NULs or nothing, and then what the application wrote before meterlog started.
func TestPowerLossBeforeTheApplicationWritesOn(t *testing.T) {
	for _, test := range []struct {
		name  string
		lines int
		kept  string // up to the end of it
		nuls  int
		wrote int    // lines, before the start
		glued string // to the first of them
	}{
		{"under a KiB, still shorter", 8, "line 4\n", 0, 2, ""},
		{"under a KiB, longer", 8, "line 4\n", 0, 20, ""},
		{"under a KiB, within a line", 8, "line 4\nlin", 0, 20, "lin"},
		{"under a KiB, NULs", 8, "line 4\nlin", 40, 0, ""},
		{"under a KiB, NULs and lines", 8, "line 4\nlin", 4000, 20, ""},
		{"within the first line, NULs", 8, "li", 4000, 20, ""},
		{"still shorter", 300, "line 200\n", 0, 20, ""},
		{"longer", 300, "line 200\n", 0, 400, ""},
		{"within a line", 300, "line 200\nline", 0, 20, "line"},
		{"all but a line", 300, "line 0\n", 0, 20, ""},
		{"nothing lost", 300, "line 299\n", 0, 20, ""},
		{"NULs", 300, "line 200\nline", 5000, 0, ""},
		{"NULs and lines", 300, "line 200\nline", 5000, 20, ""},
		{"as far as the trail reaches", 20_000, "line 18000\n", 0, 20, ""},
		{"behind the head, NULs", 20_000, "line 1000\n", 300_000, 20, ""},
		{"before the head ends", 20_000, "line 50\nli", 0, 20, "li"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := follow(t, "app.log")
			text, want := lines("line", test.lines)
			s.append("app.log", text)
			s.expect(want...)
			for i := range 3 {
				if i > 0 && test.nuls > logfile.TrailBytes {
					break // the first trail is longer than the next
				}
				s.kill()
				end := strings.Index(text, test.kept) + len(test.kept)
				s.check(os.Truncate(s.path("app.log"), int64(end)))
				s.check(os.Truncate(s.path("app.log"), int64(end+test.nuls)))
				after, want := lines(fmt.Sprint("after ", i), test.wrote)
				if test.wrote > 0 {
					s.append("app.log", after)
					want[0] = test.glued + want[0]
				}
				s.expect(want...)
				s.append("app.log", "later\n")
				s.expect("later")
			}
			s.kill()
			s.pass(20 * time.Second)
			s.expect()
			s.wantAnomalies(nil)
		})
	}
}

// The application may write just so far that lines which end alike end where
// those did that are lost: the mark stands, and their beginnings differ.
func TestPowerLossWithTheSameMark(t *testing.T) {
	for _, length := range []int{meter.MarkSize, 10_000} {
		for _, wrote := range []int{5, 30} { // up to the position, and beyond
			t.Run(fmt.Sprintf("length=%d wrote=%d", length, wrote), func(t *testing.T) {
				s := follow(t, "app.log")
				line := func(n int) string { return fmt.Sprintf("%04d", n) + strings.Repeat("x", length) }
				for n := range 100 {
					s.append("app.log", line(n)+"\n")
				}
				s.read()
				s.commit()
				s.kill()
				s.check(os.Truncate(s.path("app.log"), 95*int64(length+5)))
				var want []string
				for n := range wrote {
					want = append(want, line(1000+n))
					s.append("app.log", line(1000+n)+"\n")
				}
				s.expect(want...)
				s.wantAnomalies(nil)
			})
		}
	}
}

// Where more is lost than can be found out, nothing is counted again, and the
// rest is a gap.
func TestPowerLossBeforeTheTrail(t *testing.T) {
	for _, wrote := range []int{0, 20, 30_000} {
		t.Run(fmt.Sprint(wrote), func(t *testing.T) {
			s := follow(t, "app.log")
			text, want := lines("line", 20_000)
			s.append("app.log", text)
			s.expect(want...)
			s.kill()
			kept := strings.Index(text, "line 1000\n")
			s.check(os.Truncate(s.path("app.log"), int64(kept)))
			after, all := lines("after", wrote)
			if wrote > 0 {
				s.append("app.log", after)
			}
			got := s.read()
			s.commit()
			position := s.committed[1].Offset
			if wrote < 30_000 {
				all = nil
			} else {
				all = all[strings.Count(after[:int(position)-kept-len(strings.Join(got, "\n"))-1], "\n"):]
			}
			slices.Sort(all)
			if !slices.Equal(got, append([]string{}, all...)) || wrote == 30_000 && len(all) < 5000 {
				t.Errorf("read %d lines, want the last %d", len(got), len(all))
			}
			s.append("app.log", "later\n")
			s.expect("later")
			s.wantAnomalies(map[meter.AnomalyKind]int64{meter.BytesMissed: 1})
		})
	}
}

// A ledger of before there were trails knows the head alone.
func TestPowerLossWithoutATrail(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 500)
	s.append("app.log", text)
	s.expect(want...)
	s.kill()
	g := s.committed[1]
	g.Trail = nil
	s.committed[1] = g
	s.check(os.Truncate(s.path("app.log"), 3000))
	s.expect()
	s.append("app.log", "later\n")
	s.expect("later")
	s.wantAnomalies(map[meter.AnomalyKind]int64{meter.BytesMissed: 1})
}

// Lines that are all alike do not tell where a file was cut: none is counted
// again, and some may be missed.
func TestPowerLossOfLinesThatAreAllAlike(t *testing.T) {
	s := follow(t, "app.log")
	s.alike("app.log", 100)
	s.count(100)
	s.kill()
	s.check(os.Truncate(s.path("app.log"), int64(60*len("email sent\n"))))
	s.alike("app.log", 30)
	s.count(0)
	s.alike("app.log", 7)
	s.count(7)
}

// What a power failure left is told from what something else did while nobody
// looked.
func TestNoPowerLoss(t *testing.T) {
	for _, compress := range []bool{false, true} {
		t.Run(fmt.Sprintf("copytruncate compressed=%v", compress), func(t *testing.T) {
			s := follow(t, "app.log")
			text, want := lines("line", 300)
			s.append("app.log", text)
			s.expect(want...)
			s.append("app.log", "unread\n")
			s.kill()
			s.copy("app.log", "app.log.1")
			if s.pass(time.Minute); compress {
				s.compress("app.log.1")
			}
			s.check(os.Truncate(s.path("app.log"), 0))
			after, more := lines("line", 400) // it begins as it did
			s.append("app.log", strings.Replace(after, "line 200", "other", 1))
			more[200] = "other"
			s.expect(append(more, "unread")...)
			s.wantAnomalies(nil)
		})
	}
	t.Run("truncated without a copy", func(t *testing.T) {
		s := follow(t, "app.log")
		text, want := lines("line", 300)
		s.append("app.log", text)
		s.expect(want...)
		s.kill()
		s.check(os.Truncate(s.path("app.log"), 0))
		after, more := lines("other", 400)
		s.append("app.log", after)
		s.expect(more...)
		s.pass(20 * time.Second)
		s.expect()
		s.wantAnomalies(nil)
	})
	t.Run("another file", func(t *testing.T) {
		s := follow(t, "app.log")
		text, want := lines("line", 300)
		s.append("app.log", text)
		s.expect(want...)
		s.kill()
		g := s.committed[1]
		s.check(os.Remove(s.path("app.log")))
		after, more := lines("lime", 400)
		s.append("app.log", after)
		info, err := os.Stat(s.path("app.log"))
		s.check(err)
		g.Ino = logfile.LookAt(info).Ino // as it would be given again
		s.committed[1] = g
		s.expect(more...)
	})
}

// A finished file whose end was lost is still known.
// A file that was closed to make room and is written anew has lost no power, as
// nothing was started since: all of it is new.
func TestNoPowerLossOfAFileThatWasClosed(t *testing.T) {
	s := follow(t, "*.log")
	s.cfg.MaxOpen = 4
	var want []string
	for i := range 12 {
		s.append(fmt.Sprintf("app%d.log", i), fmt.Sprintf("begin %d\nmore %d\n", i, i))
		want = append(want, fmt.Sprintf("begin %d", i), fmt.Sprintf("more %d", i))
	}
	s.expect(want...)
	want = nil
	for i := range 12 {
		name := fmt.Sprintf("app%d.log", i)
		if f := s.tailer.byPath[s.path(name)][0]; !f.isOpen() {
			s.check(os.Truncate(s.path(name), 0))
			s.append(name, fmt.Sprintf("begin %d\nother\n", i))
			want = append(want, fmt.Sprintf("begin %d", i), "other")
		}
	}
	if len(want) == 0 {
		t.Fatal("all are open")
	}
	s.expect(want...)
	s.pass(20 * time.Second)
	s.expect()
	s.wantAnomalies(nil)
}

func TestPowerLossOfAFinishedFile(t *testing.T) {
	for _, n := range []int{8, 300, 20_000} {
		for _, nuls := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d lines NULs=%v", n, nuls), func(t *testing.T) {
				s := follow(t, "app.log")
				text, want := lines("line", n)
				s.append("app.log", text)
				s.expect(want...)
				s.rename("app.log", "app.log.1")
				s.append("app.log", "next\n")
				s.expect("next")
				s.pass(10 * time.Second)
				s.expect()
				s.expect()
				s.kill()
				size := int64(len(text))
				s.check(os.Truncate(s.path("app.log.1"), size*2/3))
				if nuls {
					s.check(os.Truncate(s.path("app.log.1"), size))
				}
				s.expect()
				s.pass(20 * time.Second)
				s.expect()
				s.kill()
				s.expect()
				s.wantAnomalies(nil)
			})
		}
	}
}

// An application that does not append writes on where it was when its log is
// truncated: the log begins with a hole as long as the log was.
func TestCopyTruncateLeavesAHole(t *testing.T) {
	for _, size := range []int{3, 400, 30_000, 300_000} { // lines before
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d lines down=%v", size, down), func(t *testing.T) {
				s := follow(t, "app.log")
				text, want := lines("first", size)
				app, err := os.Create(s.path("app.log"))
				s.check(err)
				defer app.Close()
				for i := range 4 {
					_, err = app.WriteString(text)
					s.check(err)
					s.expect(want...)
					if down {
						s.kill()
					}
					var unread []string
					text, unread = lines(fmt.Sprintf("unread %d", i), 3)
					_, err = app.WriteString(text)
					s.check(err)
					s.shift("app.log")
					s.copy("app.log", "app.log.1")
					s.check(os.Truncate(s.path("app.log"), 0))
					text, want = lines(fmt.Sprintf("next %d", i), 20)
					_, err = app.WriteString(text)
					s.check(err)
					s.expect(append(unread, want...)...)
					s.pass(20 * time.Second)
					s.expect()
					text, want = lines(fmt.Sprintf("more %d", i), 20)
				}
				s.kill()
				s.expect()
				s.wantAnomalies(nil)
			})
		}
	}
}

// shift makes room for a rotated form, as logrotate does.
func (s *scene) shift(name string) {
	s.t.Helper()
	for i := 9; i >= 1; i-- {
		if _, err := os.Stat(s.path(fmt.Sprintf("%s.%d", name, i))); err == nil {
			s.rename(fmt.Sprintf("%s.%d", name, i), fmt.Sprintf("%s.%d", name, i+1))
		}
	}
}

// Room that is made before it is written to is no end of the log.
func TestPreallocatedLog(t *testing.T) {
	s := follow(t, "app.log")
	app, err := os.Create(s.path("app.log"))
	s.check(err)
	defer app.Close()
	s.check(app.Truncate(1 << 20))
	for i := range 5 {
		text, want := lines(fmt.Sprint("line", i), 2000)
		_, err = app.WriteString(text)
		s.check(err)
		s.expect(want...)
		s.expect()
	}
	s.kill()
	s.rename("app.log", "app.log.1")
	s.append("app.log", "next\n")
	s.expect("next")
	s.pass(20 * time.Second)
	s.expect()
	for _, g := range s.known() {
		if g.Path == s.path("app.log") && g.State != meter.Live && g.State != meter.Done {
			t.Errorf("%+v, want it done", g)
		}
	}
	s.wantAnomalies(nil)
}

func TestBaselineOfTheFirstStart(t *testing.T) {
	for _, pattern := range []string{"app.log", "app.log*"} {
		t.Run(pattern, func(t *testing.T) {
			s := follow(t, pattern)
			s.append("app.log.1", "old\n")
			s.append("app.log.2", "older\n")
			s.compress("app.log.2")
			s.pass(time.Minute)
			s.append("app.log", "one\n")
			s.expect("one")
			s.append("app.log.1", "late\n")
			s.expect("late")
			s.kill()
			s.rename("app.log.2.gz", "app.log.3.gz")
			s.compress("app.log.1")
			s.rename("app.log.1.gz", "app.log.2.gz")
			s.rename("app.log", "app.log.1")
			s.append("app.log", "two\n")
			s.expect("two")
		})
	}
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

func TestLongLine(t *testing.T) {
	s := follow(t, "app.log")
	s.cfg.MaxLine = 300 << 10
	long := strings.Repeat("x", 400<<10)
	fits := strings.Repeat("y", 290<<10)
	s.append("app.log", "one\n"+long+"\n"+fits+"\ntwo\n"+long)
	s.expect("one", fits, "two")
	s.append("app.log", long+"\nthree\n")
	s.expect("three")
	s.kill()
	s.append("app.log", "four\n")
	s.expect("four")
	s.wantAnomalies(map[meter.AnomalyKind]int64{meter.LineTooLong: 2})
}

func TestNULsAndInvalidUTF8(t *testing.T) {
	s := follow(t, "app.log")
	hole, odd := strings.Repeat("\x00", 5000), "\xff\x00\x00\xfe"
	s.append("app.log", hole+odd+"\r\n\n\r\n"+hole+"after\n\x00one\n\x00\x00")
	s.expect(odd+"\r", "", "\r", "after", "\x00one")
	s.append("app.log", "two\n")
	s.expect("two")
}

func TestOneFileUnderTwoSources(t *testing.T) {
	s := follow(t, "*.log", "app.*")
	s.append("app.log", "one\n")
	s.start()
	b, ok := nextOf(s.tailer, s.now)
	if !ok || !slices.Equal(b.Sources, []string{"s0", "s1"}) {
		t.Fatalf("block %v of sources %v, want one block of s0 and s1", ok, b.Sources)
	}
	if _, ok := nextOf(s.tailer, s.now); ok {
		t.Fatal("the file was read twice")
	}
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

func TestMoreFilesThanDescriptors(t *testing.T) {
	s := follow(t, "*.log")
	s.cfg.MaxOpen = 10
	var want []string
	for i := range 100 {
		s.append(fmt.Sprintf("app%d.log", i), fmt.Sprintf("%d first\n", i))
		want = append(want, fmt.Sprintf("%d first", i))
	}
	s.expect(want...)
	if s.tailer.opened > 12 {
		t.Errorf("%d files are open", s.tailer.opened)
	}
	want = nil
	for i := range 100 {
		name := fmt.Sprintf("app%d.log", i)
		if i%2 == 0 {
			s.rename(name, name+".1")
			s.append(name+".1", fmt.Sprintf("%d late\n", i))
			want = append(want, fmt.Sprintf("%d late", i))
		}
		s.append(name, fmt.Sprintf("%d second\n", i))
		want = append(want, fmt.Sprintf("%d second", i))
	}
	s.expect(want...)
	s.wantAnomalies(nil)
}

// Files are dated by a clock that is some milliseconds behind: what was written
// and rotated right after the first scan seems older than it.
func TestMoreEmptyRotatedFilesThanDescriptors(t *testing.T) {
	s := follow(t, "*.log")
	s.cfg.MaxOpen = 8
	const files = 30
	var want []string
	for i := range files {
		s.append(fmt.Sprintf("app%d.log", i), "")
	}
	s.expect()
	s.kill()
	for i := range files {
		name := fmt.Sprintf("app%d.log", i)
		s.rename(name, name+".1")
		s.append(name, name+"\n")
		want = append(want, name)
	}
	s.expect(want...)
	for range 3 { // no file is opened again and again, and so none stays unfinished
		s.pass(10 * time.Second)
		s.expect()
	}
	for id, g := range s.committed {
		if g.Offset == 0 && g.State != meter.Done {
			t.Errorf("generation %d of %s is %s", id, g.Path, g.State)
		}
	}
	known := len(s.committed)
	s.kill()
	s.expect()
	if len(s.committed) > known {
		t.Errorf("%d generations after another start, %d before", len(s.committed), known)
	}
}

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

// nextOf returns the next block with lines, however many steps come before it.
func nextOf(t *Tailer, now time.Time) (meter.Block, bool) {
	for {
		b, ok := t.Next(now)
		if !ok || len(b.Data) > 0 {
			return b, ok
		}
	}
}
