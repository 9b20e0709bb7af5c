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

func TestNamesThatRotationGives(t *testing.T) {
	for name, from := range map[string]string{
		"/v/app.log.backup":                      "/v/app.log",
		"/v/app.log.backup2":                     "/v/app.log",
		"/v/app-out__2026-01-01_00-00-00.log":    "/v/app-out.log", // pm2-logrotate
		"/v/app-out__2026-01-01_00-00-00.log.gz": "/v/app-out.log",
		"/v/app-2026-01-01.log":                  "/v/app.log",
	} {
		if !slices.Contains(RotatedFrom(name), from) {
			t.Errorf("%s is no rotated form of %s", name, from)
		}
	}
	for name, other := range map[string]string{
		"/v/worker-1.log":      "/v/worker.log",
		"/v/app.log.backupset": "/v/app.log",
	} {
		if slices.Contains(RotatedFrom(name), other) {
			t.Errorf("%s is a rotated form of %s", name, other)
		}
	}
}
