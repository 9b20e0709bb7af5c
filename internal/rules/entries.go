package rules

import (
	"time"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
)

// entries returns a block of a journal source that was read as lines. A line that
// journalctl printed as JSON is an entry; any other line is a message. Each event has
// the range of its line.
func entries(lines meter.Block) meter.Block {
	b := lines
	b.Data, b.Events = nil, []meter.Event{}
	for start := 0; start < len(lines.Data); {
		end := lineEnd(lines.Data, start)
		line := lines.Data[start:end]
		e := meter.Event{From: lines.Start + int64(start), To: lines.Start + int64(end)}
		if entry, ok := fields.ParseEntry(line); ok {
			b.Data = append(append(b.Data, entry.Message...), '\n')
			e.At, e.Entry = entry.At, entry.Fields
		} else {
			b.Data = append(b.Data, line...)
		}
		e.End = len(b.Data)
		b.Events = append(b.Events, e)
		start = end
	}
	return b
}

// newestEntry returns the latest time of the entries among lines of a journal
// source, or zero.
func newestEntry(lines []byte) (newest time.Time) {
	for _, e := range entries(meter.Block{Data: lines}).Events {
		if e.At.After(newest) {
			newest = e.At
		}
	}
	return newest
}
