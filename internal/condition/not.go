package condition

import "github.com/meterlog/meterlog/internal/search"

// not is true if its condition is false.
type not struct{ Condition }

// negation returns the opposite of a condition.
func negation(c Condition) Condition {
	if c, isNot := c.(not); isNot {
		return c.Condition
	}
	return not{c}
}

func (c not) Clause(Format) *search.Clause { return nil }

func (c not) Reason(Format) string {
	if _, ofNil := c.Condition.(present); ofNil {
		return noText
	}
	return "a negation requires no text"
}

func (c not) Eval(l *Line) Answer {
	switch c.Condition.Eval(l) {
	case No:
		return Yes
	case Yes:
		return No
	}
	return Unsure
}

func (c not) mark(*highlighter) {} // the line does not have its text
