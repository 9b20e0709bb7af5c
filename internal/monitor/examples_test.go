package monitor

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/meterlog/meterlog/internal/meter"
)

// Every metric that the alerts and the dashboard speak of is served.
func TestExamplesNameMetrics(t *testing.T) {
	s := newSite(t)
	s.anomaly(meter.BytesMissed, "a.log", noon)
	s.count(noon, 3)
	s.settle(meter.Accepted, "", noon)
	s.Health.MatchedLines.WithLabelValues("mails").Inc()
	s.Health.Requests.WithLabelValues("answered").Inc()
	s.Health.Raise(meter.Problem{Code: "delivery_failing"})
	s.Health.SetActivity([]meter.Activity{{Rule: "mails"}})
	_, body := s.get("/metrics")
	served := make(map[string]bool)
	for _, name := range regexp.MustCompile(`(?m)^\w+`).FindAllString(body, -1) {
		served[name] = true
	}
	for _, file := range []string{"prometheus-alerts.yml", "grafana-dashboard.json"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "examples", file))
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\b(meterlog|process)_\w+`).FindAllString(string(text), -1)
		if len(names) < 5 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			if !served[name] {
				t.Errorf("%s: %s is not served", file, name)
			}
		}
	}
}
