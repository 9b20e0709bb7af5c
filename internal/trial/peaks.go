package trial

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// trialPeaks are the largest lines of each stretch and key.
type trialPeaks struct {
	tops  map[meter.PeakRef]*trialPeak
	order int
}

// trialPeak is the largest line so far of its stretch and key.
type trialPeak struct {
	rules.Hit
	in    *input
	line  int64
	order int // of the stretches and keys: the first seen is the first
}

// add reports whether a line is larger than all earlier ones of its stretch and key,
// and keeps it then.
func (p *trialPeaks) add(h rules.Hit, in *input, line int64) bool {
	ref := *h.Peak
	top := p.tops[ref]
	if top != nil && h.Quantity <= top.Quantity {
		return false
	}
	if top == nil {
		if p.tops == nil {
			p.tops = make(map[meter.PeakRef]*trialPeak)
		}
		top = &trialPeak{order: p.order}
		p.order++
		p.tops[ref] = top
	}
	h.Peak, h.Line, h.KeyText = &ref, bytes.Clone(h.Line), bytes.Clone(h.KeyText)
	top.Hit, top.in, top.line = h, in, line
	return true
}

// sorted returns the peaks in the order of their stretches.
func (p *trialPeaks) sorted() []*trialPeak {
	all := make([]*trialPeak, 0, len(p.tops))
	for _, top := range p.tops {
		all = append(all, top)
	}
	slices.SortFunc(all, func(a, b *trialPeak) int {
		return cmp.Or(cmp.Compare(a.Peak.Stretch.Start, b.Peak.Stretch.Start), cmp.Compare(a.order, b.order))
	})
	return all
}

// closePeaks counts the peaks as if all stretches were over, and prints them. While
// people watched, they have seen them.
func (t *trial) closePeaks() {
	now := time.Now()
	for _, top := range t.tally.peaks.sorted() {
		if tooLate(top.Hit, now) {
			t.tally.addLate(top.Hit, func() string { return top.in.place(top.line) })
		}
		t.tally.rules[top.Rule].lines++
		t.tally.bill(top.Bills).add(top.Quantity)
		if !t.options.Summary && !t.options.Follow {
			t.print.hit(top.in, top.line, top.Hit, now, func(*rules.Rule) [][2]int { return nil })
		}
	}
}

// stretchOf returns the beginning of a line's stretch, or nil for a rule without
// peak.
func stretchOf(h rules.Hit) *string {
	if h.Peak == nil {
		return nil
	}
	text := h.Peak.Stretch.StartTime().Format(time.RFC3339)
	return &text
}
