package condition

import (
	"bytes"

	"github.com/meterlog/meterlog/internal/search"
)

// equal is true if both operands are the same. A constant is the right one.
type equal struct{ left, right Operand }

// equality returns the condition that two operands are the same.
func equality(left, right Operand) Condition {
	if _, isConstant := left.(constant); isConstant {
		left, right = right, left
	}
	absent := any(nil)
	if _, isExtracted := left.(extracted); isExtracted { // it is never nil
		absent = ""
	}
	if c, isConstant := right.(constant); isConstant && c.value == absent {
		return negation(present{left})
	}
	return equal{left, right}
}

func (c equal) Clause(f Format) *search.Clause {
	constant, isConstant := c.right.(constant)
	switch value := constant.value.(type) {
	case string:
		return c.left.holds(f, value, true)
	default:
		if isConstant {
			return c.left.present(f)
		}
	}
	return nil
}

func (c equal) total(f Format) bool  { return c.left.total(f) && c.right.total(f) }
func (c equal) Reason(Format) string { return noText }

func (c equal) Eval(l *Line) Answer {
	constant, isConstant := c.right.(constant)
	if !isConstant {
		return Unsure
	}
	v := c.left.Read(l)
	if v.kind == isUnknown {
		return Unsure
	}
	switch want := constant.value.(type) {
	case string:
		return AnswerOf(v.kind == isString && string(v.text) == want)
	case bool:
		return AnswerOf(v.kind == isTrue && want || v.kind == isFalse && !want)
	case int:
		if v.kind != isNumber {
			return No
		}
		if n, ok := v.Whole(); ok {
			return AnswerOf(n == want)
		}
	}
	return Unsure
}

func (c equal) mark(h *highlighter) {
	constant, _ := c.right.(constant)
	if want, isText := constant.value.(string); isText {
		h.within(c.left, func(s []byte) (from, to int) {
			if !bytes.Equal(s, []byte(want)) {
				return -1, -1
			}
			return 0, len(s)
		})
		return
	}
	h.all(c.left, c.right)
}
