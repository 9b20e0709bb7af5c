package trial

import (
	"errors"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

func TestTooLate(t *testing.T) {
	read := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(age time.Duration) rules.Hit { return rules.Hit{Time: read.Add(-age)} }
	peak, failed, disbelieved := at(time.Hour), at(time.Hour), at(time.Hour)
	peak.Peak, failed.Err, disbelieved.TimeErr = new(meter.PeakRef), errors.New("none"), errors.New("none")
	for name, test := range map[string]struct {
		hit  rules.Hit
		want bool
	}{
		"fresh":               {at(0), false},
		"55 minutes":          {at(55 * time.Minute), false},
		"a second more":       {at(55*time.Minute + time.Second), true},
		"ahead":               {at(-2 * time.Hour), false},
		"no time":             {rules.Hit{}, false},
		"of a rule with peak": {peak, false},
		"an error":            {failed, false},
		"a time of no belief": {disbelieved, false},
	} {
		if got := tooLate(test.hit, read); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
