package meter

import "time"

// Peak says how a rule with `peak` counts: in each stretch of time the largest
// sample counts, once, after the stretch. A rule with another Form has other
// stretches.
type Peak struct {
	Rule string
	Form string        // the key and the stretch in the configuration's words
	Wait time.Duration // how long a stretch takes lines after its end
}

// PeakRef names a stretch of time, and a key in it.
type PeakRef struct {
	Peak    *Peak
	Hash    KeyHash // zero if the rule has no key
	Stretch Window
}

// Sample is a line of a rule with `peak`.
type Sample struct {
	Rule       *Rule // what it bills
	Generation int64
	Start, End int64  // byte range in the generation
	Amount     int64  // its quantity, before `per` divides it
	LateRead   string // its source if that has `late: read`; otherwise ""
}

// Top is the largest of some samples. Of equal ones it is the first.
type Top struct {
	Sample
	Lines int64 // how many samples there were
}

// LastSecond returns the window and the second in which the peak of a stretch
// counts.
func LastSecond(stretch Window, interval time.Duration) (window Window, at int64) {
	at = stretch.End - 1
	return WindowAt(time.Unix(at, 0), interval), at
}

// AddSample keeps a sample if it is the largest of its stretch and key.
func (t *Tally) AddSample(ref PeakRef, s Sample) {
	top := t.Peaks[ref]
	if top == nil {
		if t.Peaks == nil {
			t.Peaks = make(map[PeakRef]*Top)
		}
		t.Peaks[ref] = &Top{s, 1}
		return
	}
	top.Lines++
	if s.Amount > top.Amount {
		top.Sample = s
	}
}

// ClosePeaks counts the largest samples, as if all stretches were over.
func (t *Tally) ClosePeaks(interval time.Duration) {
	for ref, top := range t.Peaks {
		window, at := LastSecond(ref.Stretch, interval)
		t.Add(CountKey{Rule: top.Rule, Window: window, Generation: top.Generation}, top.Amount, top.Start, top.End, at)
	}
	clear(t.Peaks)
}
