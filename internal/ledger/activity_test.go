package ledger

import (
	"reflect"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

func TestActivityIsKept(t *testing.T) {
	l := open(t, t.TempDir())
	today := noon.Truncate(24 * time.Hour)
	longest := func(days int, bytes int64) meter.LongestOver {
		return meter.LongestOver{Day: today.AddDate(0, 0, days), Stretch: meter.Stretch{Bytes: bytes, Time: time.Hour}}
	}
	a := meter.Activity{Rule: "a", FirstMatch: noon, LastMatch: noon.Add(time.Minute), Silence: meter.Stretch{Bytes: 5, Time: 3 * time.Second}}
	never := meter.Activity{Rule: "never", Silence: meter.Stretch{Bytes: 9}}
	for days := range 20 { // each day the rule brings its list up to that day
		a.Longest = append(a.Longest, longest(days, int64(days)))
		check(t, l.Commit(t.Context(), Batch{Tally: new(meter.Tally), Activity: []meter.Activity{a, never}}, noon.AddDate(0, 0, days)))
	}
	got, err := l.Activity(t.Context())
	check(t, err)
	a.Longest = a.Longest[len(a.Longest)-silenceDays-1:]
	if want := []meter.Activity{a, never}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}
