package tailer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

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
	s.tailer.rescan[s.path("app.log")] = 2
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
	s.tailer.rescan[s.path("app.log")] = 2
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
