package logfile

import (
	"slices"
	"testing"
)

func TestTAI64NNamesAreFormsOfCurrent(t *testing.T) {
	for name, rotated := range map[string]bool{
		"/v/@4000000069254d0012345678.s":    true,
		"/v/@4000000069254d0012345678.u":    true,
		"/v/@4000000069254d0012345678.s.gz": true,
		"/v/@4000000069254d0012345678":      false, // neither finished nor not
		"/v/@4000000069254d001234567.s":     false,
		"/v/@4000000069254d001234567x.s":    false,
		"/v/4000000069254d0012345678.s":     false,
	} {
		if got := slices.Contains(RotatedFrom(name), "/v/current"); got != rotated {
			t.Errorf("%s is rotated from current: %v", name, got)
		}
	}
}
