package rules

import (
	"bytes"
	"time"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
)

// probes are the clocks for reading a line's own time without a `now`. The first is
// behind any time. The second has a 29th of February in its year.
var probes = []time.Time{
	time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	time.Date(2024, 12, 31, 23, 59, 59, 0, time.UTC),
}

// Newest returns the latest of the lines' own times. It is zero if the source takes
// no time from its lines, or if no line's time can be read.
func (m *Matcher) Newest(source string, lines []byte) (newest time.Time) {
	p := m.plans[source]
	if p != nil && p.source.Journal != nil {
		if p.source.Timestamp == nil {
			return newestEntry(lines)
		}
		lines = entries(meter.Block{Data: lines}).Data
	}
	if p == nil || p.source.Timestamp == nil {
		return newest
	}
	for start := 0; start < len(lines); {
		end := lineEnd(lines, start)
		m.begin(&reading{Block: meter.Block{Data: lines}}, p, start, end)
		for _, probe := range probes {
			if at, err := m.ownTime(probe); err == nil {
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

// LastTime returns the own time of the last line that is not blank, also if it is
// not believed. It is zero if the line has no time.
func (m *Matcher) LastTime(sources []string, lines []byte, readAt time.Time) time.Time {
	end := len(bytes.TrimRight(lines, " \t\r\n"))
	start := bytes.LastIndexByte(lines[:end], '\n') + 1
	for _, name := range sources {
		p := m.plans[name]
		if p == nil || p.source.Timestamp == nil {
			continue
		}
		m.begin(&reading{Block: meter.Block{Data: lines}}, p, start, end)
		at, _ := m.ownTime(readAt)
		return at
	}
	return time.Time{}
}

// ownTime reads the current line's own time.
func (m *Matcher) ownTime(readAt time.Time) (time.Time, error) {
	source, line := m.line.plan.source, m.line.Text
	if source.Timestamp == nil {
		return fields.Believed(m.line.event.At, readAt)
	}
	if source.Timestamp.Pattern != nil {
		if from, to := source.Timestamp.Pattern.Group(line); from >= 0 {
			return source.Timestamp.ReadText(line[from:to], readAt)
		}
		return source.Timestamp.Read(nil, readAt)
	}
	if m.plain == nil {
		if f := m.line.Span(source.timeSlot); f.Plain {
			return source.Timestamp.ReadText(f.Text(line), readAt)
		}
	}
	return source.Timestamp.Read(m.field(source.timeSlot), readAt)
}
