package monitor

import (
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/config"
)

// TestHistorySaysWhatBecomesOfTheLines checks the words for each kind of source.
func TestHistorySaysWhatBecomesOfTheLines(t *testing.T) {
	const own = "timestamp: {pattern: '^(\\S+)', layout: rfc3339}"
	for _, c := range []struct{ keys, want string }{
		{"", "counted as usage of now"},
		{"start_at: end", "left out"},
		{own, "the API refuses what is older than an hour"},
		{own + ", late: read", "as usage of now if they are over 55 minutes old"},
	} {
		text := "product_id: p\nsources: [{name: a, path: /a.log, " + c.keys + "}]\nrules: [{name: r, when: 'line contains \"x\"', sku_id: s}]\n"
		conf, err := config.Parse("rules.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := (History{Source: conf.Sources[0]}).Fate(); !strings.Contains(got, c.want) {
			t.Errorf("%q: %s", c.keys, got)
		}
	}
}
