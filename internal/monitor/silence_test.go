package monitor

import (
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

// silent is what the ledger holds of a rule that matched a fortnight long, and
// has found nothing for a day.
func silent(rule string) meter.Activity {
	return meter.Activity{Rule: rule, FirstMatch: noon.AddDate(0, 0, -14), LastMatch: noon.AddDate(0, 0, -1),
		Silence: meter.Stretch{Bytes: 5 << 20, Time: 24 * time.Hour},
		Longest: []meter.LongestOver{{Day: noon.AddDate(0, 0, -2).Truncate(24 * time.Hour), Stretch: meter.Stretch{Bytes: 1 << 10, Time: time.Minute}}}}
}

// A rule that is silent is a problem of the status after the agent has ended,
// too; one that the configuration no longer has is not a problem.
func TestSilenceOutlastsTheAgent(t *testing.T) {
	s := newSite(t)
	s.check(s.book.Commit(t.Context(), ledger.Batch{Tally: new(meter.Tally), Activity: []meter.Activity{silent("mails"), silent("gone")}}, noon))
	s.check(s.book.Close())
	s.Health = nil
	st := s.status(noon)
	if p := st.find("rule_silent"); p == nil || !strings.Contains(p.Message, "mails") || p.Hint == "" {
		t.Errorf("the silence is shown as %+v", p)
	}
	for _, p := range st.Problems {
		if strings.Contains(p.Message, "gone") {
			t.Errorf("a rule that is gone: %+v", p)
		}
	}
}

func TestReplaceTellsBeginAndEnd(t *testing.T) {
	v := NewHealth()
	codes := []string{"a", "b"}
	v.Raise(meter.Problem{Code: "other", Message: "stays"})
	one, two := meter.Problem{Code: "a", Subject: "1", Message: "m"}, meter.Problem{Code: "b", Subject: "2", Message: "m"}
	if begun, ended := v.Replace(codes, []meter.Problem{one, two}); len(begun) != 2 || ended != nil {
		t.Errorf("begun %v, ended %v", begun, ended)
	}
	one.Message = "changed"
	if begun, ended := v.Replace(codes, []meter.Problem{one}); begun != nil || len(ended) != 1 || ended[0].Code != "b" {
		t.Errorf("begun %v, ended %v", begun, ended)
	}
	if list := v.Problems(); len(list) != 2 || list[0].Message != "stays" && list[1].Message != "stays" {
		t.Errorf("problems: %+v", list)
	}
}

// Who may read the ledger sees an example of what went wrong; who asks the
// agent's address does not: it is a line of somebody's log.
func TestExamplesStayInTheLedger(t *testing.T) {
	s := newSite(t)
	s.anomaly(meter.NotParsed, "mailer", noon)
	for _, path := range []string{"/status", "/metrics", "/healthz", "/"} {
		if _, body := s.get(path); strings.Contains(body, "an example") {
			t.Errorf("%s shows the example", path)
		}
	}
	if p := s.status(noon).find("not_parsed"); p == nil || p.Hint == "" {
		t.Errorf("%+v", p)
	}
	s.Health = nil
	if p := s.status(noon).find("not_parsed"); p == nil || !strings.Contains(p.Message, "an example") {
		t.Errorf("%+v", p)
	}
}
