package sender

import "time"

// Kind says what is to be done about an Error.
type Kind int

const (
	Retry Kind = iota // passes by itself: again, with backoff
	Slow              // needs somebody to mend something: say so, and try again at long intervals
)

// Error says why a delivery, or a part of it, failed.
type Error struct {
	Kind       Kind
	Status     int           // of HTTP, or what the gRPC code corresponds to; 0 where nothing answered
	RetryAfter time.Duration // what the API asks to wait for, capped; 0 where it asks nothing
	RequestID  string        // the API's name of the request; "" where unknown
	TraceID    string        // the API's x-server-trace-id
	Err        error
}

func (e *Error) Error() string { return "sender: not delivered" }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
