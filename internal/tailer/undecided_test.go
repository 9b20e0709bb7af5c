package tailer

import (
	"testing"
	"time"
)

// While a file waits for the end of the one before it, its lines are not all read,
// although Next has nothing to return.
func TestUndecidedWhileLinesWait(t *testing.T) {
	waited := false
	for name, rotate := range map[string]func(s *scene){
		"copytruncate": func(s *scene) {
			s.copyTruncate("app.log", "app.log.1")
			s.append("app.log", "77\nthree 3\n")
		},
		"copytruncate, compressed": func(s *scene) {
			s.copyTruncate("app.log", "app.log.1")
			s.compress("app.log.1")
			s.append("app.log", "77\nthree 3\n")
		},
		"seen empty": func(s *scene) {
			s.copyTruncate("app.log", "app.log.1")
			s.read()
			s.append("app.log", "77\nthree 3\n")
		},
	} {
		for _, down := range []bool{false, true} {
			s := follow(t, "app.log")
			s.append("app.log", "one 1\ntwo 7")
			s.expect("one 1")
			if down {
				s.kill()
			}
			rotate(s)
			got := 0
			for range 60 {
				got += len(s.read())
				undecided := s.tailer.Undecided()
				s.commit()
				if waited = waited || got < 2; got < 2 && !undecided {
					t.Fatalf("%s, down %v: %d of 2 lines are read, and nothing is undecided", name, down, got)
				}
				s.pass(time.Second)
			}
			if got != 2 || s.tailer.Undecided() {
				t.Errorf("%s, down %v: %d of 2 lines; undecided in the end: %v", name, down, got, s.tailer.Undecided())
			}
		}
	}
	if !waited {
		t.Error("no line had to wait")
	}
}
