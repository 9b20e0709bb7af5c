package condition

import (
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/search"
)

// extracted is what the first group of a pattern matches in an operand, or "".
type extracted struct {
	of      Operand
	pattern *fields.Pattern
}

func (o extracted) Read(l *Line) Value {
	v := o.of.Read(l)
	switch v.kind {
	case isNil:
		return Value{kind: isString}
	case isString:
		if from, to := o.pattern.Group(v.text); from >= 0 {
			return Value{isString, v.text[from:to]}
		}
		return Value{kind: isString}
	}
	return unknownValue
}

func (o extracted) total(f Format) bool  { return o.of.isText(f) }
func (o extracted) isText(f Format) bool { return o.of.isText(f) }

func (o extracted) present(Format) *search.Clause { return nil }

// filled returns what a line must contain for it not to be empty.
func (o extracted) filled() *search.Clause {
	if _, fromLine := o.of.(wholeLine); fromLine {
		return patternClause(o.pattern.String(), search.Require)
	}
	return nil
}

func (o extracted) holds(f Format, text string, _ bool) *search.Clause {
	if _, fromLine := o.of.(wholeLine); fromLine && text != "" {
		return search.Both(search.Require(text), o.filled())
	}
	return nil
}

func (o extracted) mark(h *highlighter) { h.matched(o.of, o.pattern, 1) }
