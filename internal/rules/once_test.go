package rules

import (
	"math"
	"testing"
	"time"
	_ "time/tzdata"
)

// Every instant is in one hour, day or month, which begins by the clocks of its
// place.
func TestCalendarStretches(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Sao_Paulo", "Africa/Cairo", "Australia/Lord_Howe"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range []Calendar{EachHour, EachDay, EachMonth} {
			at := time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)
			last := each.Stretch(at, location)
			for ; at.Year() < 2020; at = at.Add(15 * time.Minute) {
				s := each.Stretch(at, location)
				if at.Unix() < s.Start || at.Unix() >= s.End {
					t.Fatalf("%s of %v in %s is %v", each, at, zone, s)
				}
				if s != last && (s.Start != last.End && each != EachHour || s.Start < last.Start) {
					t.Fatalf("%s of %v in %s is %v, and before it %v", each, at, zone, s, last)
				}
				last = s
				start := time.Unix(s.Start, 0).In(location)
				if each == EachDay && start.Day() != at.In(location).Day() || each == EachMonth && start.Month() != at.In(location).Month() {
					t.Fatalf("%s of %v in %s begins at %v", each, at, zone, start)
				}
			}
		}
	}
}

func TestKeyOf(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string
	}{
		{"", ""}, {"a b", "a b"}, {5, "5"}, {"5", "5"}, {5.0, "5"}, {-7, "-7"}, {true, "true"}, {uint64(math.MaxUint64), "18446744073709551615"},
	} {
		if got, err := keyOf(test.value); err != nil || got != test.want {
			t.Errorf("the key of %v is %q, %v, want %q", test.value, got, err, test.want)
		}
	}
	for _, value := range []any{nil, 5.5, math.NaN(), math.Inf(1), 1e300, []any{"a"}, map[string]any{}} {
		if got, err := keyOf(value); err == nil {
			t.Errorf("%v has the key %q", value, got)
		}
	}
}
