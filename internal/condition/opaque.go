package condition

import "github.com/meterlog/meterlog/internal/search"

// always is true or false on every line.
type always bool

func (c always) Clause(Format) *search.Clause {
	if c {
		return nil
	}
	return never
}

func (c always) total(Format) bool    { return true }
func (c always) Reason(Format) string { return "it is always true" }
func (c always) Eval(*Line) Answer    { return AnswerOf(bool(c)) }
func (c always) mark(h *highlighter)  {}

// opaque is what only expr's virtual machine can evaluate.
type opaque struct {
	why   string // the reason of its nil clause
	parts []Marker
}

func (c opaque) Clause(Format) *search.Clause { return nil }
func (c opaque) total(Format) bool            { return false }
func (c opaque) Reason(Format) string         { return c.why }
func (c opaque) Eval(*Line) Answer            { return Unsure }
func (c opaque) mark(h *highlighter)          { h.all(c.parts...) }
