package rules

import (
	"slices"

	"github.com/meterlog/meterlog/internal/search"
)

// in is true if an operand is one of the values of a list.
type in struct {
	of     operand
	values []any    // nil if the list is not constant
	texts  []string // the same, if all of them are texts
	safe   bool     // no value of the operand makes it fail
	parts  []marker
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

func (c in) clause(f format) *search.Clause {
	if c.values == nil {
		return nil
	}
	all := never
	for _, v := range c.values {
		switch v.(type) {
		case string, int, float64, bool:
			all = search.Either(all, equal{c.of, constant{v}}.clause(f))
		default:
			return nil
		}
	}
	return all
}

func (c in) total(f format) bool {
	return c.values != nil && c.of.total(f) && c.safe
}

func (c in) reason(format) string { return noText }

func (c in) eval(m *Matcher) answer {
	if c.texts == nil {
		return unsure
	}
	switch v := c.of.read(m); v.kind {
	case isString:
		return answerOf(slices.ContainsFunc(c.texts, func(s string) bool { return s == string(v.text) }))
	case isUnknown:
		return unsure
	}
	return no
}

func (c in) mark(h *highlighter) { h.all(c.parts...) }
