package condition

import (
	"cmp"
	"slices"

	"github.com/meterlog/meterlog/internal/fields"
)

// Highlights returns the places of the line that the parts have to show. They are byte
// ranges, in order, that do not touch.
func Highlights(l *Line, parts ...Marker) [][2]int {
	h := highlighter{l: l}
	h.all(parts...)
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

// highlighter collects parts of a line.
type highlighter struct {
	l     *Line
	found [][2]int
}

// all marks what each of the parts has to show.
func (h *highlighter) all(parts ...Marker) {
	for _, p := range parts {
		p.mark(h)
	}
}

func (h *highlighter) add(from, to int) { h.found = append(h.found, [2]int{from, to}) }

// place returns where the line has an operand's text.
func (h *highlighter) place(o Operand) (from, to int, ok bool) {
	switch o := o.(type) {
	case wholeLine:
		return 0, len(h.l.Text), true
	case field:
		s := h.l.Span(o.slot)
		if s.Kind == '"' {
			return s.From + 1, s.To - 1, true
		}
		return s.From, s.To, !s.Missing()
	}
	return 0, 0, false
}

// within marks what find returns of an operand's text, or else the operand.
func (h *highlighter) within(o Operand, find func(text []byte) (from, to int)) {
	start, end, ok := h.place(o)
	if !ok {
		o.mark(h)
		return
	}
	if from, to := find(h.l.Text[start:end]); from >= 0 {
		h.add(start+from, start+to)
	}
}

// matched marks what a group of a pattern matches in an operand.
func (h *highlighter) matched(o Operand, pattern *fields.Pattern, group int) {
	h.within(o, func(text []byte) (from, to int) {
		if m := pattern.Find(text, nil); m != nil {
			return m[2*group], m[2*group+1]
		}
		return -1, -1
	})
}
