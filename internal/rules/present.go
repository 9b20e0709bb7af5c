package rules

import "github.com/meterlog/meterlog/internal/search"

// present is true if an operand is not nil. An extracted text is never nil: then
// present is true if the text is not empty.
type present struct{ of operand }

func (c present) clause(f format) *search.Clause {
	if o, isExtracted := c.of.(extracted); isExtracted {
		return o.filled()
	}
	return c.of.present(f)
}

func (c present) total(f format) bool  { return c.of.total(f) }
func (c present) reason(format) string { return noText }

func (c present) eval(m *Matcher) answer {
	v := c.of.read(m)
	switch _, isField := c.of.(field); {
	case v.kind == isUnknown && !isField:
		return unsure
	case v.kind == isString && len(v.text) == 0:
		_, isExtracted := c.of.(extracted)
		return answerOf(!isExtracted)
	}
	return answerOf(v.kind != isNil)
}

func (c present) mark(*highlighter) {}

// truth is a field that is used as a condition. Nil is false.
type truth struct{ of field }

func (c truth) clause(f format) *search.Clause { return c.of.present(f) }
func (c truth) total(format) bool              { return false }
func (c truth) reason(format) string           { return noSearch }

func (c truth) eval(m *Matcher) answer {
	switch c.of.read(m).kind {
	case isNil, isFalse:
		return no
	case isTrue:
		return yes
	}
	return unsure
}

func (c truth) mark(h *highlighter) { c.of.mark(h) }
