package condition

import (
	"slices"

	"github.com/meterlog/meterlog/internal/search"
)

// in is true if an operand is one of the values of a list.
type in struct {
	of     Operand
	values []any    // nil if the list is not constant
	texts  []string // the same, if all of them are texts
	safe   bool     // no value of the operand makes it fail
	parts  []Marker
}

// take notes the values of a constant list.
func (c *in) take(list any) {
	switch list := list.(type) {
	case map[string]struct{}:
		for s := range list {
			c.values = append(c.values, s)
		}
	case []any:
		c.values = list
	}
	for _, v := range c.values {
		s, isText := v.(string)
		if !isText {
			c.texts = nil
			return
		}
		c.texts = append(c.texts, s)
	}
}

func (c in) Clause(f Format) *search.Clause {
	if c.values == nil {
		return nil
	}
	all := never
	for _, v := range c.values {
		switch v.(type) {
		case string, int, float64, bool:
			all = search.Either(all, equal{c.of, constant{v}}.Clause(f))
		default:
			return nil
		}
	}
	return all
}

func (c in) total(f Format) bool {
	return c.values != nil && c.of.total(f) && c.safe
}

func (c in) Reason(Format) string { return noText }

func (c in) Eval(l *Line) Answer {
	if c.texts == nil {
		return Unsure
	}
	switch v := c.of.Read(l); v.kind {
	case isString:
		return AnswerOf(slices.ContainsFunc(c.texts, func(s string) bool { return s == string(v.text) }))
	case isUnknown:
		return Unsure
	}
	return No
}

func (c in) mark(h *highlighter) { h.all(c.parts...) }
