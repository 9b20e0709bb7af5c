package tailer

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// copyDisk ends the tailer, and marks all positions as another machine's.
func (s *scene) copyDisk() {
	s.kill()
	for id, g := range s.committed {
		g.Left = true
		s.committed[id] = g
	}
	for pattern := range s.globs {
		s.globs[pattern] = time.Time{}
	}
}

// A copied disk brings lines along that the first machine has not counted yet. They
// are the first machine's, in whatever file they are. What comes later counts.
func TestLinesLeftToAnotherMachine(t *testing.T) {
	s := follow(t, "*.log")
	head := strings.Repeat("a line that is read before the copy\n", 40)
	for _, name := range []string{"plain", "rotated", "packed", "truncated", "same", "gone"} {
		s.append(name+".log", head+name+" 1\n")
	}
	if got := s.read(); len(got) != 6*41 {
		t.Fatalf("read %d lines before the copy", len(got))
	}
	s.commit()
	for _, name := range []string{"plain", "rotated", "packed", "truncated", "gone"} {
		s.append(name+".log", name+" 2\n")
	}
	for _, name := range []string{"rotated", "packed"} {
		s.rename(name+".log", name+".log.1")
		s.append(name+".log", name+" 3, in a file that nobody has met\n")
	}
	s.compress("packed.log.1")
	s.copy("truncated.log", "truncated.log.1")
	s.check(os.WriteFile(s.path("truncated.log"), []byte("truncated 3\n"), 0o644))
	s.rename("gone.log", "elsewhere")
	s.pass(time.Minute)
	s.copyDisk()
	for range 3 {
		s.expect()
		s.pass(30 * time.Second)
	}
	s.commit()
	s.kill()
	s.append("new.log", "new 1\n")
	for _, name := range []string{"plain", "rotated", "packed", "truncated", "same"} {
		s.append(name+".log", name+" 4\n")
	}
	s.append("rotated.log.1", "rotated 2, late\n")
	s.expect("new 1", "packed 4", "plain 4", "rotated 2, late", "rotated 4", "same 4", "truncated 4")
	if a := s.anomalies.Anomalies[meter.AnomalyKey{Kind: meter.BytesMissed, Subject: s.path("plain.log")}]; a == nil ||
		a.Example != "8 bytes are left to the machine that this disk was copied from" {
		t.Errorf("of plain.log it says %+v", a)
	}
}
