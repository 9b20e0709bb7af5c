package rules

import (
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/search"
)

// extracted is what the first group of a pattern matches in an operand, or "".
type extracted struct {
	of      operand
	pattern *fields.Pattern
}

func (o extracted) read(m *Matcher) value {
	v := o.of.read(m)
	switch v.kind {
	case isNil:
		return value{kind: isString}
	case isString:
		if from, to := o.pattern.Group(v.text); from >= 0 {
			return value{isString, v.text[from:to]}
		}
		return value{kind: isString}
	}
	return unknownValue
}

func (o extracted) total(f format) bool  { return o.of.isText(f) }
func (o extracted) isText(f format) bool { return o.of.isText(f) }

func (o extracted) present(format) *search.Clause { return nil }

// filled returns what a line must contain for it not to be empty.
func (o extracted) filled() *search.Clause {
	if _, fromLine := o.of.(wholeLine); fromLine {
		return patternClause(o.pattern.String(), search.Require)
	}
	return nil
}

func (o extracted) holds(f format, text string, _ bool) *search.Clause {
	if _, fromLine := o.of.(wholeLine); fromLine && text != "" {
		return search.Both(search.Require(text), o.filled())
	}
	return nil
}

func (o extracted) mark(h *highlighter) { h.matched(o.of, o.pattern, 1) }
