package condition

import "github.com/meterlog/meterlog/internal/search"

// and is true if both of its sides are.
type and struct{ left, right Condition }

func (c and) Clause(f Format) *search.Clause {
	left := c.left.Clause(f)
	if c.left.total(f) {
		return search.Both(left, c.right.Clause(f))
	}
	return left // the left side may fail where the right one requires nothing
}

func (c and) total(f Format) bool { return c.left.total(f) && c.right.total(f) }

func (c and) Reason(f Format) string {
	if c.right.Clause(f) != nil {
		return "the first part of `and` may fail, so it is evaluated on every line; put the part first that looks for a text"
	}
	return c.left.Reason(f)
}

func (c and) Eval(l *Line) Answer {
	if a := c.left.Eval(l); a != Yes {
		return a
	}
	return c.right.Eval(l)
}

func (c and) mark(h *highlighter) { h.all(c.left, c.right) }
