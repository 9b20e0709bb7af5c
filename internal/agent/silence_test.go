package agent

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

func (s *site) activity() []meter.Activity {
	s.t.Helper()
	book, err := ledger.OpenReader(filepath.Join(s.dir, "state"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer book.Close()
	return must(book.Activity(s.t.Context()))
}

// The ledger keeps how long each rule has been silent, over runs.
func TestSilenceIsMeasuredOverRuns(t *testing.T) {
	s := newSite(t, oneRule)
	s.sent("a.log", 1)
	s.once()
	a := s.activity()
	if len(a) != 1 || a[0].Rule != "mails" || a[0].LastMatch.IsZero() || a[0].Silence.Bytes != 0 {
		t.Fatalf("after a match: %+v", a)
	}
	line := strings.Repeat("nothing to bill here\n", 1000)
	for range 2 {
		s.write("a.log", line)
		s.once()
	}
	if a = s.activity(); a[0].Silence.Bytes != int64(2*len(line)) || len(a[0].Longest) != 0 {
		t.Fatalf("after %d bytes without a match: %+v", 2*len(line), a)
	}
	s.sent("a.log", 1)
	s.once()
	if a = s.activity(); a[0].Silence.Bytes != 0 || len(a[0].Longest) != 1 || a[0].Longest[0].Bytes <= int64(2*len(line)) {
		t.Errorf("after another match: %+v", a)
	}
}

// A rule that never matched is a note once its sources have brought 10 MiB.
func TestRuleNeverMatched(t *testing.T) {
	s := newSite(t, oneRule)
	s.write("a.log", strings.Repeat(strings.Repeat("x", 1023)+"\n", 10<<10+1))
	a, end := s.agent()
	defer end()
	if _, err := a.Once(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	found := a.meter.health.Problems()
	if len(found) != 1 || found[0].Code != "rule_never_matched" || found[0].Subject != "mails" {
		t.Errorf("problems: %+v", found)
	}
}
