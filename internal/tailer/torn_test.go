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

// copyTruncate copies the log and truncates it.
func (s *scene) copyTruncate(from, to string) {
	s.t.Helper()
	s.copy(from, to)
	s.check(os.Truncate(s.path(from), 0))
}

func TestTornOverCopyTruncate(t *testing.T) {
	for _, moment := range []string{"live", "killed", "down", "compressed while down"} {
		t.Run(moment, func(t *testing.T) {
			s := follow(t, "app.log")
			s.append("app.log", "one 1\ntwo 7")
			s.expect("one 1")
			if strings.HasSuffix(moment, "down") {
				s.kill()
			}
			s.copyTruncate("app.log", "app.log.1")
			if moment == "compressed while down" {
				s.compress("app.log.1")
			}
			if moment == "killed" {
				s.expect()
				s.kill()
			}
			s.append("app.log", "77\nthree 3\n")
			s.pass(5 * time.Second)
			s.expect("three 3", "two 777")
			s.kill()
			s.expect()
			s.wantAnomalies(nil)
		})
	}
}

func TestTornWaitsForTheRestAfterTheTruncation(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one 1\ntwo 7")
	s.expect("one 1")
	s.copyTruncate("app.log", "app.log.1")
	s.expect()
	s.append("app.log", "7")
	s.expect()
	s.kill()
	s.append("app.log", "7\nthree 3\n")
	s.expect("three 3", "two 777")
	s.wantAnomalies(nil)
}

func TestTornOverTwoTruncations(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one 1\ntwo 7")
	s.expect("one 1")
	s.copyTruncate("app.log", "app.log.1")
	s.expect()
	s.append("app.log", "7") // no line ends in the truncated file
	s.copyTruncate("app.log", "app.log.2")
	s.expect()
	s.append("app.log", "7\nthree 3\n")
	s.expect("three 3", "two 777")
	s.wantAnomalies(nil)
}

// A program without O_APPEND writes on at its old place: the truncated file
// begins with NULs.
func TestTornBeforeAHole(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one 1\ntwo 7")
	s.expect("one 1")
	s.copyTruncate("app.log", "app.log.1")
	s.expect()
	s.append("app.log", strings.Repeat("\x00", 11)+"77\nthree 3\n")
	s.expect("three 3", "two 777")
	s.wantAnomalies(nil)
}

func TestTornBlocksOverThreeTruncations(t *testing.T) {
	s := follow(t, "app.log")
	var all, got []string
	buffer := ""
	for i := range 604 {
		line := fmt.Sprintf("%d %0*d", i, 20+i%37, i)
		all = append(all, line)
		if buffer += line + "\n"; len(buffer) >= 4096 {
			s.append("app.log", buffer[:4096])
			buffer = buffer[4096:]
		}
		if i%151 == 150 && i < 600 {
			got = append(got, s.read()...)
			s.commit()
			s.copyTruncate("app.log", fmt.Sprintf("app.log.%d", i))
		}
	}
	s.append("app.log", buffer)
	s.pass(5 * time.Second)
	got = append(got, s.read()...)
	slices.Sort(got)
	slices.Sort(all)
	if !slices.Equal(got, all) {
		t.Errorf("read %d lines, want %d", len(got), len(all))
	}
	s.wantAnomalies(nil)
}

func TestTornWaitsForALateWriter(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one 1\ntwo 7")
	s.expect("one 1")
	s.rename("app.log", "app.log.1")
	s.append("app.log", "three 3\n")
	s.expect("three 3")
	s.pass(14 * time.Minute)
	s.expect()
	s.append("app.log.1", "77\n")
	s.expect("two 777")
	s.wantAnomalies(nil)
}

func TestTornCountsAtOnce(t *testing.T) {
	t.Run("compressed", func(t *testing.T) {
		s := follow(t, "app.log")
		s.append("app.log", "one 1\nlast")
		s.expect("one 1")
		s.kill()
		s.rename("app.log", "app.log.1")
		s.compress("app.log.1")
		s.pass(10 * time.Second)
		s.expect("last")
	})
	t.Run("removed", func(t *testing.T) {
		s := follow(t, "app.log")
		s.append("app.log", "one 1\nlast")
		s.expect("one 1")
		s.check(os.Remove(s.path("app.log")))
		s.expect()
		s.pass(10 * time.Second)
		s.expect("last")
	})
	t.Run("removed while a program writes", func(t *testing.T) {
		s := follow(t, "app.log")
		s.append("app.log", "one 1\nla")
		writer, err := os.OpenFile(s.path("app.log"), os.O_WRONLY|os.O_APPEND, 0)
		s.check(err)
		defer writer.Close()
		s.expect("one 1")
		s.check(os.Remove(s.path("app.log")))
		s.expect()
		s.pass(10 * time.Second)
		s.expect()
		_, err = writer.WriteString("st\n")
		s.check(err)
		s.expect("last")
	})
}

func TestTornEndThatCameTooLate(t *testing.T) {
	s := follow(t, "app.log*")
	s.append("app.log", "one 1\ntwo 7")
	s.expect("one 1")
	s.rename("app.log", "app.log.1")
	s.expect()
	s.pass(16 * time.Minute)
	s.expect("two 7")
	s.kill()
	s.append("app.log.1", "77\nthree 3\n")
	s.expect("three 3")
	s.wantAnomalies(map[meter.AnomalyKind]int64{meter.TornLine: 1})
}

func TestTornLineIsFoundAgain(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one 1\ntwo 7")
	s.expect("one 1")
	s.copyTruncate("app.log", "app.log.1")
	s.expect()
	s.append("app.log", "77\nthree 3\n")
	s.expect("three 3", "two 777")
	for _, g := range s.committed {
		if len(g.Carry) == 0 {
			continue
		}
		content, err := logfile.OS.Find(g)
		s.check(err)
		defer content.Close()
		var found []string
		s.check(content.Lines(-int64(len(g.Carry)), g.Offset, func(_ int64, line []byte) error {
			found = append(found, string(line))
			return nil
		}))
		if want := "two 777\nthree 3\n"; strings.Join(found, "") != want {
			t.Errorf("found %q, want %q", found, want)
		}
		return
	}
	t.Error("no generation goes on with a line of another")
}
