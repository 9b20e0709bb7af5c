package rules

import (
	"cmp"
	"slices"

	"github.com/meterlog/meterlog/internal/fields"
)

// Highlights returns the parts of the current line that made a rule count it, and the
// parts of its quantity, as far as they are known. They are byte ranges, in order,
// that do not touch. The callback of [Matcher.Each] may call it with the rule of the
// hit.
func (m *Matcher) Highlights(r *Rule) [][2]int {
	h := highlighter{m: m}
	h.all(r.When.condition)
	if r.Quantity != nil {
		h.all(r.Quantity.value)
	}
	if key := r.key(); key != nil {
		h.all(key.value)
	}
	if r.Table != nil {
		h.all(r.Table.By.value)
	}
	slices.SortFunc(h.found, func(a, b [2]int) int { return cmp.Or(a[0]-b[0], a[1]-b[1]) })
	var merged [][2]int
	for _, part := range h.found {
		switch last := len(merged) - 1; {
		case part[0] == part[1]:
		case last >= 0 && part[0] <= merged[last][1]:
			merged[last][1] = max(merged[last][1], part[1])
		default:
			merged = append(merged, part)
		}
	}
	return merged
}

// highlighter collects parts of the matcher's line.
type highlighter struct {
	m     *Matcher
	found [][2]int
}

// all marks what each of the parts has to show.
func (h *highlighter) all(parts ...marker) {
	for _, p := range parts {
		p.mark(h)
	}
}

func (h *highlighter) add(from, to int) { h.found = append(h.found, [2]int{from, to}) }

// place returns where the line has an operand's text.
func (h *highlighter) place(o operand) (from, to int, ok bool) {
	switch o := o.(type) {
	case wholeLine:
		return 0, len(h.m.line.text), true
	case field:
		s := h.m.span(o.slot)
		if s.Kind == '"' {
			return s.From + 1, s.To - 1, true
		}
		return s.From, s.To, !s.Missing()
	}
	return 0, 0, false
}

// within marks what find returns of an operand's text, or else the operand.
func (h *highlighter) within(o operand, find func(text []byte) (from, to int)) {
	start, end, ok := h.place(o)
	if !ok {
		o.mark(h)
		return
	}
	if from, to := find(h.m.line.text[start:end]); from >= 0 {
		h.add(start+from, start+to)
	}
}

// matched marks what a group of a pattern matches in an operand.
func (h *highlighter) matched(o operand, pattern *fields.Pattern, group int) {
	h.within(o, func(text []byte) (from, to int) {
		if m := pattern.Find(text, nil); m != nil {
			return m[2*group], m[2*group+1]
		}
		return -1, -1
	})
}
