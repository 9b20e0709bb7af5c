package condition

import "github.com/meterlog/meterlog/internal/fields"

// Line is a line that conditions are evaluated on.
type Line struct {
	Text   []byte        // without its line end
	Parsed bool          // its fields were looked for
	Spans  []fields.Span // by slot: where the line has the field, once parsed
	Find   func()        // sets Spans
}

// Parse finds the fields of the line, once.
func (l *Line) Parse() {
	if !l.Parsed {
		l.Parsed = true
		l.Find()
	}
}

// Span returns where the line has a field.
func (l *Line) Span(slot int) fields.Span {
	l.Parse()
	return l.Spans[slot]
}
