package meter

import (
	"testing"
	"time"
)

// The largest sample of each key and stretch counts, in the last second of the
// stretch. Of equal samples the first counts.
func TestPeaks(t *testing.T) {
	peak := &Peak{Rule: "mails"}
	ref := func(key byte, start int64) PeakRef {
		return PeakRef{Peak: peak, Hash: KeyHash{key}, Stretch: Window{start, start + 3600}}
	}
	var tally Tally
	for i, s := range []struct {
		ref    PeakRef
		amount int64
	}{{ref(0, 0), 5}, {ref(0, 0), 9}, {ref(0, 0), 9}, {ref(0, 0), 8}, {ref(1, 0), 2}, {ref(0, 3600), 7}} {
		tally.AddSample(s.ref, Sample{Rule: mails, Generation: 1, Start: int64(10 * i), End: int64(10*i + 10), Amount: s.amount})
	}
	if top := tally.Peaks[ref(0, 0)]; tally.Empty() || top.Lines != 4 || top.Amount != 9 || top.Start != 10 {
		t.Errorf("the first hour has %+v", top)
	}
	tally.ClosePeaks(7 * time.Minute)
	first := CountKey{Rule: mails, Window: WindowAt(time.Unix(3599, 0), 7*time.Minute), Generation: 1}
	second := CountKey{Rule: mails, Window: WindowAt(time.Unix(7199, 0), 7*time.Minute), Generation: 1}
	if got := values(tally); len(got) != 2 || got[first] != (Count{Lines: 2, Amount: 11, Start: 10, End: 50, Last: 3599}) || got[second].Amount != 7 {
		t.Errorf("%+v", got)
	}
	if tally.Reset(); !tally.Empty() {
		t.Error("it is not empty after Reset")
	}
}
