package condition

import "github.com/meterlog/meterlog/internal/search"

// or is true if one of its sides is.
type or struct{ left, right Condition }

func (c or) Clause(f Format) *search.Clause {
	return search.Either(c.left.Clause(f), c.right.Clause(f))
}

func (c or) total(f Format) bool { return c.left.total(f) && c.right.total(f) }

func (c or) Reason(f Format) string {
	if c.left.Clause(f) == nil {
		return "one side of `or`: " + c.left.Reason(f)
	}
	return "one side of `or`: " + c.right.Reason(f)
}

func (c or) Eval(l *Line) Answer {
	if a := c.left.Eval(l); a != No {
		return a
	}
	return c.right.Eval(l)
}

func (c or) mark(h *highlighter) { h.all(c.left, c.right) }
