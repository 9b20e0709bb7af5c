package condition

import "github.com/meterlog/meterlog/internal/search"

// present is true if an operand is not nil. An extracted text is never nil: then
// present is true if the text is not empty.
type present struct{ of Operand }

func (c present) Clause(f Format) *search.Clause {
	if o, isExtracted := c.of.(extracted); isExtracted {
		return o.filled()
	}
	return c.of.present(f)
}

func (c present) total(f Format) bool  { return c.of.total(f) }
func (c present) Reason(Format) string { return noText }

func (c present) Eval(l *Line) Answer {
	v := c.of.Read(l)
	switch _, isField := c.of.(field); {
	case v.kind == isUnknown && !isField:
		return Unsure
	case v.kind == isString && len(v.text) == 0:
		_, isExtracted := c.of.(extracted)
		return AnswerOf(!isExtracted)
	}
	return AnswerOf(v.kind != isNil)
}

func (c present) mark(*highlighter) {}

// truth is a field that is used as a condition. Nil is false.
type truth struct{ of field }

func (c truth) Clause(f Format) *search.Clause { return c.of.present(f) }
func (c truth) total(Format) bool              { return false }
func (c truth) Reason(Format) string           { return noSearch }

func (c truth) Eval(l *Line) Answer {
	switch c.of.Read(l).kind {
	case isNil, isFalse:
		return No
	case isTrue:
		return Yes
	}
	return Unsure
}

func (c truth) mark(h *highlighter) { c.of.mark(h) }
