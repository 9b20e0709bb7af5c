package rules

import (
	"slices"

	"github.com/meterlog/meterlog/internal/condition"
)

// Prefilter returns what the search looks for in a source. The rule's condition is
// evaluated on lines with at least one of literals. If literals is nil, it is evaluated
// on every line, and why says the reason. If literals is empty but not nil, no line of
// the source can match.
func (s *Set) Prefilter(r *Rule, source *Source) (literals []condition.Literal, why string) {
	return condition.Literals(r.When.condition, condition.FormatOf(source.Reader))
}

// FieldNames returns the names of fields that the rule's condition asks for, as
// the lines of source write them, if their format has names.
func (s *Set) FieldNames(r *Rule, source *Source) []string {
	var names []string
	for _, slot := range r.When.Slots {
		for _, step := range s.slots.Paths[slot] {
			name := step.Key
			if source.Format == "json" {
				name = `"` + name + `"`
			}
			if step.Index < 0 && condition.AsIs(step.Key) && !slices.Contains(names, name) && (source.Format == "json" || source.Format == "logfmt") {
				names = append(names, name)
			}
		}
	}
	return names
}
