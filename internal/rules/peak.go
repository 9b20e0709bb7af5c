package rules

import (
	"fmt"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Peak has a rule count the largest line of each stretch of time. It is immutable.
type Peak struct {
	meter.Peak
	Key      *Expression // nil: a stretch has one largest line
	Each     Calendar
	Location *time.Location // of Each
}

// setPeak sets the stretch of a hit and its key. The hit counts in the last second
// of the stretch, if it is the largest. Without a key the line is an error.
func (m *Matcher) setPeak(b *reading, h *Hit) {
	p, k := h.Rule.Peak, &m.keys[h.Rule.index]
	h.Late = false // the end of the stretch decides
	if source := m.line.plan.source; source.LateRead {
		h.lateRead = source.Name
	}
	if p.Key != nil {
		if err := m.hashKey(p.Key, k, &k.peak.Hash); err != nil {
			h.Quantity, h.Bills, h.Err = 0, nil, fmt.Errorf("peak: %w", err)
			return
		}
		h.KeyText = k.text
	}
	k.peak.Peak, k.peak.Stretch = &p.Peak, k.stretchOf(p.Each, m.eventTime(b), p.Location)
	h.Peak = &k.peak
	h.Window, h.At = meter.LastSecond(k.peak.Stretch, m.set.Interval)
}

// sample returns a hit as a sample.
func (h *Hit) sample(generation int64) meter.Sample {
	return meter.Sample{Rule: h.Bills, Generation: generation, Start: h.Start, End: h.End, Amount: h.Quantity, LateRead: h.lateRead}
}
