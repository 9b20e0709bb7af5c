package rules

import (
	"bytes"

	"github.com/meterlog/meterlog/internal/search"
)

// text is true if an operand contains a constant text, or begins or ends with
// it.
type text struct {
	of      operand
	literal []byte
	index   func(s, literal []byte) int // where it is, or -1
}

func newText(operator string, of operand, literal string) text {
	c := text{of, []byte(literal), bytes.Index}
	switch operator {
	case "startsWith":
		c.index = func(s, literal []byte) int {
			if bytes.HasPrefix(s, literal) {
				return 0
			}
			return -1
		}
	case "endsWith":
		c.index = func(s, literal []byte) int {
			if bytes.HasSuffix(s, literal) {
				return len(s) - len(literal)
			}
			return -1
		}
	}
	return c
}

func (c text) clause(f format) *search.Clause { return c.of.holds(f, string(c.literal), false) }
func (c text) total(f format) bool            { return c.of.isText(f) }
func (c text) reason(format) string           { return noText }

func (c text) eval(m *Matcher) answer {
	switch v := c.of.read(m); v.kind {
	case isNil:
		return no
	case isString:
		return answerOf(c.index(v.text, c.literal) >= 0)
	}
	return unsure
}

func (c text) mark(h *highlighter) {
	h.within(c.of, func(s []byte) (from, to int) {
		from = c.index(s, c.literal)
		return from, from + len(c.literal)
	})
}
