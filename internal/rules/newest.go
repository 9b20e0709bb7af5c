package rules

import (
	"time"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
)

// probes are clocks at which a line's own time is read where nobody says what
// time it is. The first is behind any time. The second has a 29th of February
// in its year.
var probes = []time.Time{
	time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	time.Date(2024, 12, 31, 23, 59, 59, 0, time.UTC),
}

// Newest returns the latest of the lines' own times. It is zero where the source
// has none, or no line's can be read.
func (m *Matcher) Newest(source string, lines []byte) (newest time.Time) {
	p := m.plans[source]
	if p == nil || p.source.Timestamp == nil {
		return newest
	}
	for start := 0; start < len(lines); {
		end := lineEnd(lines, start)
		m.begin(&reading{Block: meter.Block{Data: lines}}, p, start, end)
		v := m.timeValue()
		for _, probe := range probes {
			if at, err := p.source.Timestamp.Read(v, probe); err == nil {
				if at.After(newest) {
					newest = at
				}
				break
			}
		}
		start = end
	}
	return newest
}

// timeValue returns the current line's own time as it is written, nil where
// there is none.
func (m *Matcher) timeValue() any {
	t := m.line.plan.source.Timestamp
	if t.Pattern == nil {
		return m.field(m.line.plan.source.timeSlot)
	}
	if from, to := t.Pattern.Group(m.line.text); from >= 0 {
		return fields.View(m.line.text[from:to])
	}
	return nil
}
