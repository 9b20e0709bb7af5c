package tailer

import (
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
