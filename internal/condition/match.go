package condition

import (
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/search"
)

// match is true if a regular expression matches an operand.
type match struct {
	of      Operand
	pattern *fields.Pattern
}

func (c match) Clause(f Format) *search.Clause {
	part := func(literal string) *search.Clause { return c.of.holds(f, literal, false) }
	return search.Both(c.of.present(f), patternClause(c.pattern.String(), part))
}

func (c match) total(f Format) bool  { return c.of.isText(f) }
func (c match) Reason(Format) string { return noText }

func (c match) Eval(l *Line) Answer {
	switch v := c.of.Read(l); v.kind {
	case isNil:
		return No
	case isString:
		return AnswerOf(c.pattern.Match(v.text))
	}
	return Unsure
}

func (c match) mark(h *highlighter) { h.matched(c.of, c.pattern, 0) }
