package tailer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// content finds a committed generation and returns the lines between the two
// offsets, with where they were found.
func (s *scene) content(id, start, end int64) (name string, got []string, err error) {
	c, err := logfile.OS.Find(s.committed[id])
	if err != nil {
		return "", nil, err
	}
	defer c.Close()
	at := start
	err = c.Lines(start, end, func(offset int64, line []byte) error {
		if offset != at {
			s.t.Errorf("a line at %d, want %d", offset, at)
		}
		at += int64(len(line))
		got = append(got, strings.TrimSuffix(string(line), "\n"))
		return nil
	})
	return strings.TrimPrefix(c.Name, s.dir+"/"), got, err
}

func TestFindWhereverTheContentIs(t *testing.T) {
	text, all := lines("line", 400)
	start, end := int64(len("line 0\n")), int64(len(text)-len("line 399\n"))
	for _, test := range []struct {
		name  string
		move  func(s *scene)
		where string
	}{
		{"app.log in place", func(s *scene) { s.append("app.log", "unread\n") }, "app.log"},
		{"renamed", func(s *scene) { s.rename("app.log", "app-20260101.log"); s.append("app.log", text[:100]) }, "app-20260101.log"},
		{"copied and truncated", func(s *scene) {
			s.copy("app.log", "app.log.1")
			s.check(os.Truncate(s.path("app.log"), 0))
			s.append("app.log", strings.Repeat("other\n", 2000))
		}, "app.log.1"},
		{"compressed", func(s *scene) { s.rename("app.log", "app.log.3"); s.compress("app.log.3") }, "app.log.3.gz"},
		{"beside garbage", func(s *scene) {
			s.rename("app.log", "app.log.3")
			s.append("app.log.1.gz", "garbage")
			s.check(os.Mkdir(s.path("app.log.2"), 0o755))
		}, "app.log.3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := follow(t, "app.log")
			s.append("app.log", text)
			s.expect(slices.Clone(all)...)
			test.move(s)
			for range 2 {
				where, got, err := s.content(1, start, end)
				s.check(err)
				if where != test.where || !slices.Equal(got, all[1:399]) {
					t.Fatalf("%d lines in %s, want %d in %s", len(got), where, 398, test.where)
				}
			}
		})
	}
}

// The head that is kept of a file grows with what was read of it.
func TestFindWithAShortHead(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\n")
	s.expect("one")
	s.append("app.log", "unread\n")
	s.kill()
	s.rename("app.log", "app.log.1")
	s.append("app.log", "one two\n")
	where, got, err := s.content(1, 0, 4)
	if err != nil || where != "app.log.1" || !slices.Equal(got, []string{"one"}) {
		t.Fatalf("%q in %s, %v", got, where, err)
	}
}

func TestFindTellsFilesWithTheSameBeginningApart(t *testing.T) {
	s := follow(t, "app.log")
	banner := strings.Repeat("=", 1100) + "\n"
	s.append("app.log", banner+"one\n")
	s.expect(banner[:1100], "one")
	s.rename("app.log", "app.log.3")
	s.append("app.log.2", banner+"two\n")
	s.compress("app.log.2")
	s.append("app.log.1", banner) // and no more
	s.append("app.log", banner+"six\nten\n")
	where, got, err := s.content(1, 1101, 1105)
	if err != nil || where != "app.log.3" || !slices.Equal(got, []string{"one"}) {
		t.Errorf("%q in %s, %v", got, where, err)
	}
	s.check(os.Remove(s.path("app.log.3")))
	if _, _, err := s.content(1, 1101, 1105); !errors.Is(err, logfile.ErrGone) {
		t.Errorf("only others are there: %v", err)
	}
}

func TestFindSaysWhereItLooked(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\n")
	s.expect("one")
	s.check(os.Remove(s.path("app.log")))
	if _, _, err := s.content(1, 0, 4); !errors.Is(err, logfile.ErrGone) || !strings.Contains(err.Error(), "neither that file") {
		t.Errorf("nothing is there: %v", err)
	}
	s.append("app.log", "two\n")
	s.append("app.log.1", "three\n")
	_, _, err := s.content(1, 0, 4)
	if !errors.Is(err, logfile.ErrGone) || !strings.Contains(err.Error(), fmt.Sprintf("looked in %s, %s", s.path("app.log"), s.path("app.log.1"))) {
		t.Errorf("others are there: %v", err)
	}
	s.append("app.log.2.gz", "garbage")
	if _, _, err := s.content(1, 0, 4); errors.Is(err, logfile.ErrGone) || !strings.Contains(err.Error(), "app.log.2.gz") {
		t.Errorf("one of them cannot be read: %v", err)
	}
}

func TestContentLeavesOutLinesThatAreTooLong(t *testing.T) {
	s := follow(t, "app.log")
	fits := strings.Repeat("y", meter.MaxLine-1)
	long := strings.Repeat("x", 2*meter.MaxLine)
	text := "one\n" + long + "\n" + fits + "\n" + fits + "z\ntwo\n"
	s.append("app.log", text)
	s.expect("one", fits, "two")
	c, err := logfile.OS.Find(s.committed[1])
	s.check(err)
	defer c.Close()
	var got []string
	s.check(c.Lines(0, int64(len(text)), func(offset int64, line []byte) error {
		if !strings.HasPrefix(text[offset:], string(line)) {
			t.Errorf("another line is at %d", offset)
		}
		got = append(got, strings.TrimSuffix(string(line), "\n"))
		return nil
	}))
	if !slices.Equal(got, []string{"one", fits, "two"}) {
		t.Errorf("lines %q", short(got))
	}
}

func TestContentThatIsReplacedWhileItIsRead(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\ntwo\n")
	s.expect("one", "two")
	c, err := logfile.OS.Find(s.committed[1])
	s.check(err)
	defer c.Close()
	err = c.Lines(0, 8, func(int64, []byte) error {
		return os.WriteFile(s.path("app.log"), []byte("six\nten\n"), 0o644)
	})
	if !errors.Is(err, logfile.ErrReplaced) {
		t.Errorf("replaced: %v", err)
	}
}

func TestContentThatIsNotWhole(t *testing.T) {
	s := follow(t, "app.log")
	text, all := lines("line", 5000)
	s.append("app.log", text)
	s.expect(all...)
	s.rename("app.log", "app.log.1")
	s.compress("app.log.1")
	s.pass(time.Minute)
	c, err := logfile.OS.Find(s.committed[1])
	s.check(err)
	defer c.Close()
	s.check(os.Truncate(s.path("app.log.1.gz"), 5000))
	if err := c.Lines(0, int64(len(text)), func(int64, []byte) error { return nil }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("torn: %v", err)
	}
	if err := c.Lines(0, int64(len(text))+1, nil); err == nil {
		t.Error("more than was counted is handed out")
	}
}
