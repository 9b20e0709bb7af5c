package agent

import (
	"errors"
	"testing"
)

// An error that stays the same is the same cause each time, so that the log names it once.
func TestCauseStaysTheSame(t *testing.T) {
	for text, want := range map[string]string{
		"read tcp 127.0.0.1:48298->127.0.0.1:443: read: connection reset":                   "read tcp 127.0.0.1:443: read: connection reset",
		"read tcp [fe80::1%eth0]:5->[::1]:443: EOF":                                         "read tcp [::1]:443: EOF",
		"x509: not valid: current time 2026-11-25T15:35:18Z is after 2025-01-01T00:00:00Z":  "x509: not valid: valid until 2025-01-01T00:00:00Z",
		"x509: not valid: current time 2026-11-25T15:35:18Z is before 2030-01-01T00:00:00Z": "x509: not valid: valid from 2030-01-01T00:00:00Z",
		"dial tcp 127.0.0.1:1: connect: connection refused":                                 "dial tcp 127.0.0.1:1: connect: connection refused",
	} {
		if got := cause(errors.New(text)); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
