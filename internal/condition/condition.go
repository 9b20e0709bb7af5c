// Package condition evaluates conditions and values on a line without expr's virtual
// machine, as far as that can be. A condition knows what a line must contain for it to
// be true or to fail, which parts of a line to show, and why it cannot be searched
// for. There is one file for each kind: and, or, not, text, match, equal, order, in,
// present, opaque. Their operands are in operand.go, field.go and extracted.go, and
// translate.go makes them of a program's tree. All are immutable.
package condition

import (
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/search"
)

// Condition is a part of a rule's `when`. There is one type for each kind, with
// all that is known of it in one file.
type Condition interface {
	// Clause returns what a line must contain for the condition to be true or
	// to fail; nil if nothing is known.
	Clause(f Format) *search.Clause
	// total reports whether the condition cannot fail on any line.
	total(f Format) bool
	// Reason returns why the clause is nil, and what helps.
	Reason(f Format) string
	// Eval returns what the condition comes to on the line.
	Eval(l *Line) Answer
	Marker
}

// Marker knows which parts of a line people should see.
type Marker interface {
	mark(h *highlighter)
}

// Answer is what a condition comes to.
type Answer int8

const (
	No Answer = iota
	Yes
	Unsure // expr's virtual machine must decide, or fail
)

// AnswerOf returns yes or no.
func AnswerOf(b bool) Answer {
	if b {
		return Yes
	}
	return No
}

// Format is what a clause depends on, beside the condition.
type Format struct {
	name    string
	pattern *search.Clause // of format regexp: what a line must contain to have fields
}

// FormatOf returns the format of what a reader reads.
func FormatOf(r fields.Reader) Format {
	f := Format{name: r.Format}
	if r.Format == "regexp" && r.Pattern != nil {
		f.pattern = patternClause(r.Pattern.String(), search.Require)
	}
	return f
}

// never is the clause of a condition that is false on every line.
var never = &search.Clause{Weight: 1e9}

// Reasons that several conditions share.
const (
	noText   = "it has no text that a line must contain"
	noSearch = "it requires no text that could be searched for"
)
