package rules

import "github.com/meterlog/meterlog/internal/condition"

// Highlights returns the parts of the current line that made a rule count it, and the
// parts of its quantity, as far as they are known. They are byte ranges, in order,
// that do not touch. The callback of [Matcher.Each] may call it with the rule of the
// hit.
func (m *Matcher) Highlights(r *Rule) [][2]int {
	parts := []condition.Marker{r.When.condition}
	if r.Quantity != nil {
		parts = append(parts, r.Quantity.value)
	}
	if key := r.key(); key != nil {
		parts = append(parts, key.value)
	}
	if r.Table != nil {
		parts = append(parts, r.Table.By.value)
	}
	return condition.Highlights(&m.line.Line, parts...)
}
