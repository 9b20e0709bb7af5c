package rules

import "github.com/meterlog/meterlog/internal/search"

// always is true or false on every line.
type always bool

func (c always) clause(format) *search.Clause {
	if c {
		return nil
	}
	return never
}

func (c always) total(format) bool    { return true }
func (c always) reason(format) string { return "it is always true" }
func (c always) eval(*Matcher) answer { return answerOf(bool(c)) }
func (c always) mark(h *highlighter)  {}

// opaque is what only expr's virtual machine can evaluate.
type opaque struct {
	why   string // the reason of its nil clause
	parts []marker
}

func (c opaque) clause(format) *search.Clause { return nil }
func (c opaque) total(format) bool            { return false }
func (c opaque) reason(format) string         { return c.why }
func (c opaque) eval(*Matcher) answer         { return unsure }
func (c opaque) mark(h *highlighter)          { h.all(c.parts...) }
