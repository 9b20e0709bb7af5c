package rules

import "github.com/meterlog/meterlog/internal/search"

// or is true if one of its sides is.
type or struct{ left, right condition }

func (c or) clause(f format) *search.Clause {
	return search.Either(c.left.clause(f), c.right.clause(f))
}

func (c or) total(f format) bool { return c.left.total(f) && c.right.total(f) }

func (c or) reason(f format) string {
	if c.left.clause(f) == nil {
		return "one side of `or`: " + c.left.reason(f)
	}
	return "one side of `or`: " + c.right.reason(f)
}

func (c or) eval(m *Matcher) answer {
	if a := c.left.eval(m); a != no {
		return a
	}
	return c.right.eval(m)
}

func (c or) mark(h *highlighter) { h.all(c.left, c.right) }
