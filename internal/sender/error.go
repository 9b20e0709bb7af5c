package sender

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Kind says what is to be done about an Error.
type Kind int

const (
	Retry         Kind = iota // passes in time: try again, with backoff
	NeedsOperator             // somebody must fix something: report it, and try again at long intervals
)

func (k Kind) String() string {
	if k == NeedsOperator {
		return "slow"
	}
	return "retry"
}

// maxRetryAfter caps how long the API can make us wait. Usage has only an hour to be
// delivered.
const maxRetryAfter = time.Minute

// Error says why a delivery, or a part of it, failed. It holds no secret.
type Error struct {
	Kind       Kind
	Status     int           // of HTTP, or what the gRPC code corresponds to; 0 without an answer
	RetryAfter time.Duration // how long the API asks to wait, at most a minute; may be 0
	ClientID   string        // our name of the request: x-client-request-id
	RequestID  string        // the API's: x-request-id; may be ""
	TraceID    string        // the API's x-server-trace-id; may be ""
	Err        error

	maybeStored bool   // the API may have stored the records anyway
	message     string // the answer in its own words; may be ""
}

func (e *Error) Error() string {
	var ids []string
	for _, id := range []struct{ name, value string }{
		{"x-request-id", e.RequestID}, {"x-server-trace-id", e.TraceID}, {"x-client-request-id", e.ClientID},
	} {
		if id.value != "" {
			ids = append(ids, id.name+" "+id.value)
		}
	}
	if len(ids) == 0 {
		return fmt.Sprintf("sender: %v", e.Err)
	}
	return fmt.Sprintf("sender: %v (%s)", e.Err, strings.Join(ids, ", "))
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// fateOf returns what to do after an answer with this HTTP status, and whether the
// API may have stored the records anyway. The status is not one of success.
func fateOf(status int) (kind Kind, maybeStored bool) {
	switch status {
	case http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusTooEarly:
		return Retry, false
	case http.StatusRequestTimeout, http.StatusConflict, 499:
		return Retry, true
	case http.StatusNotImplemented:
		return NeedsOperator, false
	}
	switch {
	case status >= 500:
		return Retry, true
	case status >= 400:
		return NeedsOperator, false
	default: // a redirect, or a status that no HTTP server should send
		return NeedsOperator, true
	}
}

// retryAfter reads the header of that name, seconds or a date, against the
// server's own Date where there is one.
func retryAfter(header http.Header) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds < maxRetryAfter.Seconds()) {
			return maxRetryAfter
		}
		return clampRetry(time.Duration(seconds * float64(time.Second)))
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return clampRetry(until.Sub(now))
}

func clampRetry(d time.Duration) time.Duration { return min(max(d, 0), maxRetryAfter) }
