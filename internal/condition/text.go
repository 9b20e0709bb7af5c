package condition

import (
	"bytes"

	"github.com/meterlog/meterlog/internal/search"
)

// text is true if an operand contains a constant text, or begins or ends with
// it.
type text struct {
	of      Operand
	literal []byte
	index   func(s, literal []byte) int // where it is, or -1
}

func newText(operator string, of Operand, literal string) text {
	finder := search.NewLiteral(literal)
	c := text{of, []byte(literal), func(s, _ []byte) int { return finder.Index(s) }}
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

func (c text) Clause(f Format) *search.Clause { return c.of.holds(f, string(c.literal), false) }
func (c text) total(f Format) bool            { return c.of.isText(f) }
func (c text) Reason(Format) string           { return noText }

func (c text) Eval(l *Line) Answer {
	switch v := c.of.Read(l); v.kind {
	case isNil:
		return No
	case isString:
		return AnswerOf(c.index(v.text, c.literal) >= 0)
	}
	return Unsure
}

func (c text) mark(h *highlighter) {
	h.within(c.of, func(s []byte) (from, to int) {
		from = c.index(s, c.literal)
		return from, from + len(c.literal)
	})
}
