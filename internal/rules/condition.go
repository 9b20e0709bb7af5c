package rules

import (
	"github.com/meterlog/meterlog/internal/search"
)

// condition is a part of a rule's `when`. There is one type for each kind, with
// all that is known of it in one file.
type condition interface {
	// clause returns what a line must contain for the condition to be true or
	// to fail; nil if nothing is known.
	clause(f format) *search.Clause
	// total reports whether the condition cannot fail on any line.
	total(f format) bool
	// reason returns why the clause is nil, and what helps.
	reason(f format) string
	// eval returns what the condition comes to on the matcher's line.
	eval(m *Matcher) answer
	marker
}

// marker knows which parts of a line people should see.
type marker interface {
	mark(h *highlighter)
}

// answer is what a condition comes to.
type answer int8

const (
	no answer = iota
	yes
	unsure // expr's virtual machine must decide, or fail
)

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return no
}

// format is what a clause depends on, beside the condition.
type format struct {
	name    string
	pattern *search.Clause // of format regexp: what a line must contain to have fields
}

func formatOf(s *Source) format {
	f := format{name: s.Format}
	if s.Format == "regexp" && s.Pattern != nil {
		f.pattern = patternClause(s.Pattern.String(), search.Require)
	}
	return f
}

// never is the clause of a condition that is false on every line.
var never = &search.Clause{Weight: 1e9}

// Reasons that several conditions share.
const (
	noText   = "no text that a line must contain can be told from it"
	noSearch = "it requires no text that could be searched for"
)
