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
	Retry Kind = iota // passes by itself: again, with backoff
	Slow              // needs somebody to mend something: say so loudly, and try again at long intervals
)

func (k Kind) String() string {
	if k == Slow {
		return "slow"
	}
	return "retry"
}

// maxRetryAfter caps what the API asks to wait for: the hour within which
// usage must be delivered goes on meanwhile.
const maxRetryAfter = time.Minute

// Error says why a delivery, or a part of it, failed. It holds no secret.
type Error struct {
	Kind       Kind
	Status     int           // of HTTP, or what the gRPC code corresponds to; 0 where no answer came
	RetryAfter time.Duration // what the API asks to wait for, at most a minute; 0 where it asks nothing
	ClientID   string        // our name of the request: x-client-request-id
	RequestID  string        // the API's: x-request-id; "" where unknown
	TraceID    string        // the API's x-server-trace-id; "" where unknown
	Err        error

	maybeStored bool   // the API may have stored the records all the same
	message     string // what the answer says in its own words; "" where it says nothing
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

// fateOf says what an answer of the given HTTP status means: what is to be
// done, and whether the records may have been stored all the same. Success is
// not its subject.
func fateOf(status int) (kind Kind, maybeStored bool) {
	switch status {
	case http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusTooEarly:
		return Retry, false
	case http.StatusRequestTimeout, http.StatusConflict, 499:
		return Retry, true
	case http.StatusNotImplemented:
		return Slow, false
	}
	switch {
	case status >= 500:
		return Retry, true
	case status >= 400:
		return Slow, false
	default: // a redirect, or a status that no HTTP server should send
		return Slow, true
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
