package rules

import (
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/search"
)

// match is true if a regular expression matches an operand.
type match struct {
	of      operand
	pattern *fields.Pattern
}

func (c match) clause(f format) *search.Clause {
	part := func(literal string) *search.Clause { return c.of.holds(f, literal, false) }
	return search.Both(c.of.present(f), patternClause(c.pattern.String(), part))
}

func (c match) total(f format) bool  { return c.of.isText(f) }
func (c match) reason(format) string { return noText }

func (c match) eval(m *Matcher) answer {
	switch v := c.of.read(m); v.kind {
	case isNil:
		return no
	case isString:
		return answerOf(c.pattern.Match(v.text))
	}
	return unsure
}

func (c match) mark(h *highlighter) { h.matched(c.of, c.pattern, 0) }
