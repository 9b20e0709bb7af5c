package condition

import "github.com/meterlog/meterlog/internal/search"

// order is true if one operand is before the other. It is false if either is
// nil.
type order struct {
	left, right Operand
	is          func(a, b int) bool
}

func newOrder(name string, left, right Operand) order {
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
func (c order) Clause(f Format) *search.Clause {
	var left, right *search.Clause
	if c.right.total(f) {
		left = c.left.present(f)
	}
	if c.left.total(f) {
		right = c.right.present(f)
	}
	return search.Both(left, right)
}

func (c order) total(Format) bool    { return false }
func (c order) Reason(Format) string { return noSearch }

func (c order) Eval(l *Line) Answer {
	bound, isConstant := c.right.(constant)
	limit, isWhole := bound.value.(int)
	if !isConstant || !isWhole {
		return Unsure
	}
	switch v := c.left.Read(l); v.kind {
	case isNil:
		return No
	case isNumber:
		if n, ok := v.Whole(); ok {
			return AnswerOf(c.is(n, limit))
		}
	}
	return Unsure
}

func (c order) mark(h *highlighter) { h.all(c.left, c.right) }
