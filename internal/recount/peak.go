package recount

import (
	"context"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// findTops asks the ledger which lines of the range are the largest of their
// stretches, for a rule with peak. If no other range overlaps it, only those of the
// record are asked for.
func (p *pass) findTops(ctx context.Context) {
	p.counted = func(int64) bool { return false }
	if p.rule.Peak == nil || p.keys == nil {
		return
	}
	tops, err := p.keys.PeaksIn(ctx, p.Rule, p.Generation.ID, p.start, p.end)
	if p.keyErr = err; err != nil {
		return
	}
	ours := make(map[int64]bool)
	for offset, uuid := range tops {
		if len(p.Beside) > 0 || uuid == p.UUID || uuid == "" {
			ours[offset] = true
		}
	}
	p.tops = int64(len(ours))
	p.counted = func(offset int64) bool { return ours[offset] }
}

// largest reports whether a line is the largest of its stretch and key, and counts in
// the range. It notes smaller lines. ref is the line's stretch if it was read when
// the record's window began.
func (p *pass) largest(h rules.Hit, ref meter.PeakRef) bool {
	if p.counted(h.Start) {
		return true
	}
	if p.keys == nil || p.keyErr != nil || ref.Peak == nil {
		return false
	}
	place, err := p.top(ref)
	if p.keyErr = err; err != nil || !place.Known || place.Generation == p.Generation.ID && place.Offset == h.Start {
		return false // another record has it
	}
	p.smaller++
	if len(p.below) < p.show {
		p.below = append(p.below, Repeat{h.Start, place.Generation, place.Offset, place.UUID, string(h.Line)})
	}
	return false
}
