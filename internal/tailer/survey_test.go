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

// survey gives what a tailer made for it alone says of the scene, with names
// below the scene's folder.
func (s *scene) survey() []File {
	s.t.Helper()
	cfg := s.cfg
	cfg.Known, cfg.Copies = s.known(), s.copies.list()
	cfg.Globs, cfg.NoWatch = s.globs, true
	t := New(cfg)
	defer t.Close()
	return s.below(t.Survey(s.now))
}

func (s *scene) below(files []File) []File {
	for i := range files {
		files[i].Path = strings.TrimPrefix(files[i].Path, s.dir+"/")
		files[i].Name = strings.TrimPrefix(files[i].Name, s.dir+"/")
	}
	return files
}

func (s *scene) wantSurvey(got []File, want ...File) {
	s.t.Helper()
	same := func(a, b File) bool { return fmt.Sprint(a) == fmt.Sprint(b) }
	if !slices.EqualFunc(got, want, same) {
		s.t.Fatalf("survey:\n%+v\nwant:\n%+v", got, want)
	}
}

func TestSurveyTellsWhereEachFileStands(t *testing.T) {
	s := follow(t, "*.log")
	s.append("a.log", "one\ntwo\n")
	s.append("b.log", "one\n")
	s.append("gone.log", "gone\n")
	s.expect("one", "two", "one", "gone")
	s.kill()
	s.append("a.log", "unread\n")
	s.rename("a.log", "a.log.1")
	s.append("a.log", "new\nmore\n")
	s.append("c.log", "waits\n")
	s.check(os.Remove(s.path("gone.log")))
	s0 := []string{"s0"}
	for range 2 { // it consumes nothing
		s.wantSurvey(s.survey(),
			File{Path: "a.log", Name: "a.log.1", Sources: s0, Generation: 1, Offset: 8, Size: 15, State: meter.Rotated},
			File{Path: "a.log", Name: "a.log", Sources: s0, Generation: 4, Offset: 0, Size: 9, State: meter.Live},
			File{Path: "b.log", Name: "b.log", Sources: s0, Generation: 2, Offset: 4, Size: 4, State: meter.Live},
			File{Path: "c.log", Name: "c.log", Sources: s0, Generation: 5, Offset: 0, Size: 6, State: meter.Live},
			File{Path: "gone.log", Name: "gone.log", Sources: s0, Generation: 3, Offset: 5, Size: 5, State: meter.Lost},
		)
	}
	s.expect("unread", "new", "more", "waits")
}

func TestSurveyOfARunningTailer(t *testing.T) {
	s := follow(t, "app.log")
	s.append("app.log", "one\n")
	s.expect("one")
	s.append("app.log", "two\nto")
	s.wantSurvey(s.below(s.tailer.Survey(s.now)),
		File{Path: "app.log", Name: "app.log", Sources: []string{"s0"}, Generation: 1, Offset: 4, Size: 10, State: meter.Live})
	s.expect("two")
}

func TestSurveyOfAnArchive(t *testing.T) {
	s := follow(t, "app.log")
	text, want := lines("line", 500)
	s.append("app.log", text)
	s.expect(want...)
	s.kill()
	s.append("app.log", "unread\n")
	s.rename("app.log", "app.log.1")
	s.compress("app.log.1")
	s.pass(time.Minute)
	n := int64(len(text))
	s.wantSurvey(s.survey(), // a survey opens no archive, so it knows nothing of what that holds
		File{Path: "app.log", Name: "app.log", Sources: []string{"s0"}, Generation: 1, Offset: n, Size: n, State: meter.Lost})
}

func TestSurveyOfMoreFilesThanDescriptors(t *testing.T) {
	s := follow(t, "*.log")
	s.cfg.MaxOpen = 10
	var want []string
	for i := range 50 {
		s.append(fmt.Sprintf("app%d.log", i), fmt.Sprintf("%d\n", i))
		want = append(want, fmt.Sprint(i))
	}
	s.start()
	files := s.tailer.Survey(s.now)
	for _, f := range files {
		if f.Size == 0 || f.Offset != 0 {
			t.Fatalf("%s: offset %d, size %d", f.Name, f.Offset, f.Size)
		}
	}
	if len(files) != 50 {
		t.Fatalf("%d files", len(files))
	}
	s.expect(want...) // what was surveyed can be read
}

func TestSurveyTellsWhatCannotBeFollowed(t *testing.T) {
	s := follow(t, "a.log", "sub/*.log", "f*")
	s.check(os.Mkdir(s.path("a.log"), 0o755))
	s.check(os.WriteFile(s.path("sub"), nil, 0o644)) // not a folder
	s.check(os.Mkdir(s.path("folder"), 0o755))       // which a glob may well match
	files := s.survey()
	for i, want := range []string{"a.log: not a regular file", "sub: not a directory"} {
		if len(files) != 2 || !strings.Contains(files[i].Problem, want) || files[i].Sources[0] != fmt.Sprintf("s%d", i) {
			t.Fatalf("survey: %+v", files)
		}
	}
	s.check(os.Remove(s.path("a.log")))
	s.check(os.Remove(s.path("sub")))
	s.cfg.Sources = s.cfg.Sources[:2]
	s.append("a.log", "one\n")
	s.expect("one")
	s.wantSurvey(s.below(s.tailer.Survey(s.now)),
		File{Path: "a.log", Name: "a.log", Sources: []string{"s0"}, Generation: 1, Offset: 4, Size: 4, State: meter.Live})
}
