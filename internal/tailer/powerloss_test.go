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
// those did that are lost: the mark is there, and their beginnings differ.
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
			position := s.committed[int64(len(s.committed))].Offset
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

// A ledger from before trails knows the head alone.
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

// A file that was cut within a line and rotated has ended. What a late writer appends
// is a line of its own, and not the end of the cut one.
func TestLateLineBehindACut(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 500)
	s.append("app.log", text)
	s.expect(want...)
	s.kill()
	s.check(os.Truncate(s.path("app.log"), 3003))
	s.expect()
	s.rename("app.log", "app.log.1")
	for range 3 {
		s.pass(10 * time.Second)
		s.expect()
	}
	s.append("app.log.1", "late\n")
	s.expect("late")
	s.wantAnomalies(nil)
}

// What a power failure left differs from what something else did while nobody
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
		g.Ino = logfile.FileStateOf(info).Ino // as it would be given again
		s.committed[1] = g
		s.expect(more...)
	})
}

// A file that was closed to make room and is written again has lost no power, as
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

// A finished file whose end was lost is still known.
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

// The power fails twice, and each time leaves blanks where the end of the log was.
// Nothing is read in between. The log is compressed after that.
func TestArchiveOfALogThatLostItsEndTwice(t *testing.T) {
	s := follow(t, "app.log*")
	text, want := long("line", 60)
	s.append("app.log", text)
	s.expect(want...)
	for _, left := range []struct{ bytes, size int }{{3000, 5000}, {1500, 5500}} {
		s.kill()
		s.check(os.Truncate(s.path("app.log"), int64(left.bytes)))
		s.check(os.Truncate(s.path("app.log"), int64(left.size)))
		s.start()
		s.expect()
	}
	s.append("app.log", "after\n")
	s.expect("after")
	s.rename("app.log", "app.log.1")
	s.compress("app.log.1")
	s.append("app.log", "new\n")
	s.expect("new")
	s.pass(20 * time.Second)
	s.expect()
}
