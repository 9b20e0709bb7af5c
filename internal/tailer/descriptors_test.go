package tailer

import (
	"fmt"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

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
