package tailer

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

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
