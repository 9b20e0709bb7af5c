package rules

import "github.com/meterlog/meterlog/internal/search"

// and is true if both of its sides are.
type and struct{ left, right condition }

func (c and) clause(f format) *search.Clause {
	left := c.left.clause(f)
	if c.left.total(f) {
		return search.Both(left, c.right.clause(f))
	}
	return left // the left side may fail where the right one requires nothing
}

func (c and) total(f format) bool { return c.left.total(f) && c.right.total(f) }

func (c and) reason(f format) string {
	if c.right.clause(f) != nil {
		return "the first part of `and` may fail, so it is evaluated on every line; put the part first that looks for a text"
	}
	return c.left.reason(f)
}

func (c and) eval(m *Matcher) answer {
	if a := c.left.eval(m); a != yes {
		return a
	}
	return c.right.eval(m)
}

func (c and) mark(h *highlighter) { h.all(c.left, c.right) }
