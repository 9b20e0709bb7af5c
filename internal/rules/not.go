package rules

import "github.com/meterlog/meterlog/internal/search"

// not is true if its condition is false.
type not struct{ condition }

// negation returns the opposite of a condition.
func negation(c condition) condition {
	if c, isNot := c.(not); isNot {
		return c.condition
	}
	return not{c}
}

func (c not) clause(format) *search.Clause { return nil }

func (c not) reason(format) string {
	if _, ofNil := c.condition.(present); ofNil {
		return noText
	}
	return "a negation requires no text"
}

func (c not) eval(m *Matcher) answer {
	switch c.condition.eval(m) {
	case no:
		return yes
	case yes:
		return no
	}
	return unsure
}

func (c not) mark(*highlighter) {} // the line does not have its text
