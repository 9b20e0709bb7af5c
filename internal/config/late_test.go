package config

import (
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// TestLateEvents counts events of different ages under both settings of `late`.
func TestLateEvents(t *testing.T) {
	const text = `
product_id: p
sources: [{name: a, path: /a.log, timestamp: {pattern: '^(\S+)', layout: rfc3339}, late: LATE}]
rules: [{name: r, when: 'line contains "sent"', sku_id: s}]
interval: 30m
`
	readAt := time.Date(2026, 3, 14, 12, 10, 0, 0, time.UTC)
	for _, c := range []struct {
		late string
		age  time.Duration
		read bool // it counts at the time of reading
	}{
		{"own", 0, false}, {"own", 54 * time.Minute, false}, {"own", 56 * time.Minute, false}, {"own", 48 * time.Hour, false},
		{"read", 0, false}, {"read", 55 * time.Minute, false}, {"read", 55*time.Minute + time.Second, true}, {"read", 48 * time.Hour, true},
	} {
		loaded, err := Parse("rules.yaml", []byte(strings.Replace(text, "LATE", c.late, 1)))
		if err != nil {
			t.Fatal(err)
		}
		own := readAt.Add(-c.age)
		block := meter.Block{Generation: 1, Path: "/a.log", Sources: []string{"a"}, ReadAt: readAt, Data: []byte(own.Format(time.RFC3339) + " sent\n")}
		var tally meter.Tally
		rules.NewMatcher(&loaded.Set).Match(block, &tally)
		at := own
		if c.read {
			at = readAt
		}
		if len(tally.Counts) != 1 || (len(tally.Anomalies) != 0) != c.read {
			t.Fatalf("%s, %v: %d counts, anomalies %v", c.late, c.age, len(tally.Counts), tally.Anomalies)
		}
		for key, count := range tally.Counts {
			if key.Window != meter.WindowAt(at, 30*time.Minute) || count.Last != at.Unix() {
				t.Errorf("%s, %v: window %v, last event %v", c.late, c.age, key.Window, time.Unix(count.Last, 0).UTC())
			}
		}
	}
	if _, err := Parse("rules.yaml", []byte(strings.Replace(text, "LATE", "later", 1))); err == nil {
		t.Error("late: later is taken")
	}
	if _, err := Parse("rules.yaml", []byte(strings.Replace(text, `timestamp: {pattern: '^(\S+)', layout: rfc3339}, late: LATE`, "late: read", 1))); err == nil {
		t.Error("late: read is taken without a timestamp")
	}
}
