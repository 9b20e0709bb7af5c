package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meterlog/meterlog/internal/condition"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/program"
	"github.com/meterlog/meterlog/internal/remedy"
)

// Expression is a compiled expression. It is immutable.
type Expression struct {
	*program.Program
	condition condition.Condition // of a `when`
	value     condition.Operand   // of all others
	patterns  []*fields.Pattern   // constant ones
}

// Condition compiles a condition for a rule of the set.
func (s *Set) Condition(text string) (*Expression, *remedy.Mistake) {
	p, problem := s.slots.Condition(text)
	if problem != nil {
		return nil, problem
	}
	when, patterns := condition.Of(p)
	return &Expression{Program: p, condition: when, patterns: slices.Concat(p.Patterns, patterns)}, nil
}

// Quantity compiles a quantity for a rule of the set.
func (s *Set) Quantity(text string) (*Expression, *remedy.Mistake) {
	return s.valued(s.slots.Quantity(text))
}

// Value compiles an expression of a text, number or boolean for a rule of the set.
func (s *Set) Value(text string) (*Expression, *remedy.Mistake) {
	return s.valued(s.slots.Value(text))
}

// valued returns the expression of a program that has a value.
func (s *Set) valued(p *program.Program, problem *remedy.Mistake) (*Expression, *remedy.Mistake) {
	if problem != nil {
		return nil, problem
	}
	value, patterns := condition.ValueOf(p)
	return &Expression{Program: p, value: value, patterns: slices.Concat(p.Patterns, patterns)}, nil
}

// CheckFields returns what is wrong with an expression that names fields which
// no source of its rule has, or takes them for numbers where they can only be
// strings. It returns nothing if one of the sources is JSON, which may have any
// field. The rule's expression may be nil.
func (s *Set) CheckFields(r *Rule, e *Expression) (mistakes []remedy.Mistake) {
	if e == nil || len(r.Sources) == 0 {
		return nil
	}
	if e.Entry && !slices.ContainsFunc(r.Sources, func(name string) bool { return s.Source(name).Journal != nil }) {
		return []remedy.Mistake{{Offset: max(0, strings.Index(e.Text, "entry")), Message: "only a source with \"journal\" has an entry", Hint: "use line and fields"}}
	}
	allText, anyLogfmt := true, false
	var known []string
	for _, name := range r.Sources {
		source := s.Source(name)
		switch {
		case source.Format == "json" || source.Format == "regexp" && source.Pattern == nil:
			return nil
		case source.Format == "logfmt":
			anyLogfmt = true
		case source.Format == "regexp":
			known = append(known, source.Pattern.Names()...)
		}
		allText = allText && source.Format == "text"
	}
	if allText && (e.WholeField || len(e.Slots) > 0) {
		offset := e.WholeAt
		if len(e.SlotAt) > 0 {
			offset = e.SlotAt[0]
		}
		if !slices.ContainsFunc(r.Sources, func(name string) bool { return s.Source(name).Every == 0 }) {
			return []remedy.Mistake{{Offset: offset, Message: "an event of the clock has no fields", Hint: "write when: true"}}
		}
		return []remedy.Mistake{{Offset: offset, Message: "format text has no fields", Hint: "use line and extract, or give the source a `format` that has fields"}}
	}
	for i, slot := range e.Slots {
		key := s.slots.Paths[slot][0].Key
		if !anyLogfmt && !slices.Contains(known, key) {
			mistakes = append(mistakes, remedy.Mistake{Offset: e.SlotAt[i], Message: fmt.Sprintf("the source's pattern has no group %q", key), Hint: remedy.OneOf(key, known)})
		}
	}
	for _, use := range e.Numbers[:min(1, len(e.Numbers))] {
		text := fields.PathText(s.slots.Paths[use.Slot])
		mistakes = append(mistakes, remedy.Mistake{Offset: use.At, Message: text + " is a string in this format, and not a number", Hint: "write int(" + text + ")"})
	}
	return mistakes
}
