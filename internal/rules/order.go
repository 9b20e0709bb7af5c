package rules

import "github.com/meterlog/meterlog/internal/search"

// order is true if one operand is before the other. It is false if either is
// nil.
type order struct {
	left, right operand
	is          func(a, b int) bool
}

func newOrder(name string, left, right operand) order {
	is := map[string]func(a, b int) bool{
		"__less":        func(a, b int) bool { return a < b },
		"__lessOrEqual": func(a, b int) bool { return a <= b },
		"__more":        func(a, b int) bool { return a > b },
		"__moreOrEqual": func(a, b int) bool { return a >= b },
	}
	return order{left, right, is[name]}
}

// clause is what each operand needs not to be nil, as long as the other cannot
// fail.
func (c order) clause(f format) *search.Clause {
	var left, right *search.Clause
	if c.right.total(f) {
		left = c.left.present(f)
	}
	if c.left.total(f) {
		right = c.right.present(f)
	}
	return search.Both(left, right)
}

func (c order) total(format) bool    { return false }
func (c order) reason(format) string { return noSearch }

func (c order) eval(m *Matcher) answer {
	bound, isConstant := c.right.(constant)
	limit, isWhole := bound.value.(int)
	if !isConstant || !isWhole {
		return unsure
	}
	switch v := c.left.read(m); v.kind {
	case isNil:
		return no
	case isNumber:
		if n, ok := v.whole(); ok {
			return answerOf(c.is(n, limit))
		}
	}
	return unsure
}

func (c order) mark(h *highlighter) { h.all(c.left, c.right) }
