package tailer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A link that shows what its owner does not own counts nothing. The log says so
// once, and once when it ends.
func TestLinkIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	s := follow(t, "logs/**/*.log", "logs/*/*.log")
	said := s.watched()
	s.check(os.MkdirAll(s.path("logs/app"), 0o755))
	s.check(os.MkdirAll(s.path("secret"), 0o700))
	s.append("secret/x.log", "secret\n")
	s.append("logs/app/app.log", "one\n")
	for name, target := range map[string]string{"logs/app/file.log": "secret/x.log", "logs/folder": "secret"} {
		s.check(os.Symlink(s.path(target), s.path(name)))
		s.check(os.Lchown(s.path(name), 64002, 64002))
	}
	for range 3 {
		s.append("logs/app/app.log", "more\n")
		s.pass(time.Minute)
		s.read()
	}
	files := s.below(s.tailer.Survey(s.now))
	var refused []string
	for _, f := range files {
		if f.Refused {
			refused = append(refused, f.Name)
		}
		if strings.HasPrefix(f.Name, "secret") || f.Size > 100 {
			t.Errorf("it follows %+v", f)
		}
	}
	if strings.Join(refused, " ") != "logs/app/file.log logs/folder" {
		t.Errorf("refused %v", refused)
	}
	if n := strings.Count(said.String(), `msg="link refused"`); n != 2 {
		t.Errorf("the log has %d lines of refused links, want 2:\n%s", n, said)
	}
	s.check(os.Remove(s.path("logs/app/file.log")))
	s.check(os.Lchown(s.path("logs/folder"), 0, 0))
	s.pass(time.Minute)
	if got := s.read(); len(got) != 1 || got[0] != "secret" {
		t.Errorf("read %q once root owns the link", got)
	}
	if n := strings.Count(said.String(), "no longer refused"); n != 2 {
		t.Errorf("the end was logged %d times, want 2:\n%s", n, said)
	}
}

// bySource returns how many lines there are for each source, and how it calls the
// file.
func (s *scene) bySource() string {
	s.t.Helper()
	if s.tailer == nil {
		s.start()
	}
	counts := make(map[string]int)
	for range 3 {
		s.pass(1100 * time.Millisecond)
		for {
			b, ok := nextOf(s.tailer, s.now)
			if !ok {
				break
			}
			for i, source := range b.Sources {
				name := b.Path
				if b.Names != nil {
					name = b.Names[i]
				}
				counts[source+" "+strings.TrimPrefix(name, s.dir+"/")] += len(splitLines(b.Data))
			}
		}
	}
	s.commit()
	return strings.TrimPrefix(fmt.Sprint(counts), "map")
}

// A file has the sources of all its names, each under its own name. A link in
// another folder takes nothing away, and a name that goes takes its source along,
// except for what the file held by then.
func TestSourcesOfAllNames(t *testing.T) {
	for kind, link := range map[string]func(string, string) error{"hard": os.Link, "symbolic": os.Symlink} {
		t.Run(kind, func(t *testing.T) {
			s := follow(t, "a/*.log", "b/*.log")
			s.check(os.MkdirAll(s.path("a"), 0o755))
			s.check(os.MkdirAll(s.path("b"), 0o755))
			s.check(os.MkdirAll(s.path("real"), 0o755))
			want := func(want string) {
				t.Helper()
				if got := s.bySource(); got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
			s.append("real/x", "1\n")
			s.check(link(s.path("real/x"), s.path("a/x.log")))
			want("[s0 a/x.log:1]")
			s.check(link(s.path("real/x"), s.path("b/y.log")))
			s.pass(10 * time.Second)
			want("[]")
			s.append("real/x", "2\n3\n")
			want("[s0 a/x.log:2 s1 b/y.log:2]")
			s.append("real/x", "4\n")
			s.check(os.Remove(s.path("a/x.log")))
			want("[s0 a/x.log:1 s1 b/y.log:1]")
			s.append("real/x", "5\n")
			want("[s1 b/y.log:1]")
			s.pass(time.Hour)
			want("[]")
			s.append("real/x", "6\n")
			want("[s1 b/y.log:1]")
			s.kill()
			s.append("real/x", "7\n")
			s.pass(10 * time.Second)
			s.check(link(s.path("real/x"), s.path("a/x.log")))
			want("[s0 a/x.log:1 s1 b/y.log:1]")
		})
	}
}

// A link to the file of today and a pattern for all of them are two sources of one
// file, before and after the link goes on to the next.
func TestCurrentAndDatedNames(t *testing.T) {
	s := follow(t, "current.log", "app-*.log")
	s.append("app-1.log", "1\n2\n")
	s.check(os.Symlink(s.path("app-1.log"), s.path("current.log")))
	if got := s.bySource(); got != "[s0 current.log:2 s1 app-1.log:2]" {
		t.Fatal(got)
	}
	s.kill()
	s.append("app-1.log", "3\n")
	s.append("app-2.log", "4\n5\n")
	s.check(os.Remove(s.path("current.log")))
	s.check(os.Symlink(s.path("app-2.log"), s.path("current.log")))
	if got := s.bySource(); got != "[s0 current.log:3 s1 app-1.log:1 s1 app-2.log:2]" {
		t.Fatal(got)
	}
}

// A link to a file that was found a moment before brings its source for the first
// line already.
func TestNameThatCameBeforeTheNextScan(t *testing.T) {
	s := follow(t, "current.log", "app-*.log")
	s.append("app-2.log", "")
	if got := s.bySource(); got != "[]" {
		t.Fatal(got)
	}
	s.check(os.Symlink(s.path("app-2.log"), s.path("current.log")))
	s.append("app-2.log", "1\n")
	s.tailer.nextScan = s.now.Add(time.Hour)
	s.tailer.heed(hints{moved: []string{s.path("current.log")}, written: []string{s.path("app-2.log")}}, s.now)
	b, ok := nextOf(s.tailer, s.now)
	if ok && len(b.Sources) != 2 {
		t.Errorf("the line counts for %v", b.Sources)
	}
	if !ok {
		t.Error("the line was not read")
	}
}

// An inode that went to another source's file takes no source along: what is left
// of the first file counts for its own source alone.
func TestSourcesOfAReusedInode(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%t", restart), func(t *testing.T) {
			s := follow(t, "a.log", "b.log")
			want := func(want string) {
				t.Helper()
				if got := s.bySource(); got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
			s.append("a.log", "first of a\nsecond of a\n")
			want("[s0 a.log:2]")
			if restart {
				s.kill()
			} else {
				for _, open := range s.tailer.streams {
					open.close() // as for want of descriptors
				}
			}
			s.append("a.log", "third of a\nfourth of a\n")
			s.copy("a.log", "a.log.1")
			s.compress("a.log.1")
			s.rename("a.log", "b.log") // the inode goes to b.log, with other content
			s.check(os.WriteFile(s.path("b.log"), []byte("first of b\n"), 0o644))
			s.pass(time.Minute)
			want("[s0 a.log:2 s1 b.log:1]")
		})
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
