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
	peak := func(ended time.Duration) rules.Hit { // of an hour that ended so long before the reading
		h := at(ended + 50*time.Minute)
		end := read.Add(-ended).Unix()
		h.Peak = &meter.PeakRef{Stretch: meter.Window{Start: end - 3600, End: end}}
		return h
	}
	failed, disbelieved := at(time.Hour), at(time.Hour)
	failed.Err, disbelieved.TimeErr = errors.New("none"), errors.New("none")
	for name, test := range map[string]struct {
		hit  rules.Hit
		want bool
	}{
		"fresh":                          {at(0), false},
		"55 minutes":                     {at(55 * time.Minute), false},
		"a second more":                  {at(55*time.Minute + time.Second), true},
		"ahead":                          {at(-2 * time.Hour), false},
		"no time":                        {rules.Hit{}, false},
		"of an hour that goes on":        {peak(-10 * time.Minute), false},
		"of an hour that ended lately":   {peak(54 * time.Minute), false},
		"of an hour that ended long ago": {peak(55*time.Minute + time.Second), true},
		"an error":                       {failed, false},
		"a time of no belief":            {disbelieved, false},
	} {
		if got := tooLate(test.hit, read); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
