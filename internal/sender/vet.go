package sender

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// longestSilence is how long deliveries wait for answers to validate_only. Without an
// answer the sender repeats the question at the same interval. It is a little less than
// a minute: an agent of a fleet tries again after 59 s, and next after 89 s.
const longestSilence = 58 * time.Second

// silence is how long the API has not answered questions with validate_only.
type silence struct {
	mu    sync.Mutex
	since time.Time // the time of the first unanswered question; zero while the API answers
	asked time.Time // the time of the last question
}

// end notes an answer.
func (s *silence) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Time{}
}

// goOn notes that a question of this time was not answered. It reports whether
// deliveries go without an answer now.
func (s *silence) goOn(asked time.Time) (without bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since = asked
	}
	return time.Since(s.since) >= longestSilence
}

// begin reports whether it is time for another question at now.
func (s *silence) begin(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() && now.Sub(s.since) >= longestSilence && now.Sub(s.asked) < longestSilence {
		return false
	}
	s.asked = now
	return true
}

// Vet finds out which records of one product the API would refuse for their
// time. Such a refusal may use up the uuid. If it got lost, the next answer
// would be DUPLICATE, and usage that nobody has would pass for accepted.
//
// Where the API's clock is known and leaves no doubt, Vet asks nothing.
// Otherwise it asks with validate_only about the records themselves. It returns
// the records that are ready to be sent, and results for the others. Records that
// the API calls expired are settled. Records that it calls ahead stay Sealed.
//
// err says that the question was not answered; only the records that needed no
// question are ready then. After a minute without answers all are ready.
func (s *Sender) Vet(ctx context.Context, records []meter.Record) (ready []meter.Record, ruledOut []meter.Result, err error) {
	if s.validateOnly {
		return records, nil, nil
	}
	var unsure []meter.Record
	for _, r := range records {
		if s.clock.vouchesFor(r.Timestamp) {
			ready = append(ready, r)
		} else {
			unsure = append(unsure, r)
		}
	}
	now := time.Now()
	switch {
	case len(unsure) == 0:
		return ready, nil, nil
	case !s.silence.begin(now):
		return append(ready, s.unvetted(unsure)...), nil, nil
	}
	results, err := s.Validate(ctx, unsure)
	switch failed := (*Error)(nil); {
	case err == nil:
		s.silence.end()
	case errors.As(err, &failed) && failed.answers():
		s.silence.end()
		return append(ready, s.unvetted(unsure)...), nil, nil
	case ctx.Err() == nil && s.silence.goOn(now):
		return append(ready, s.unvetted(unsure)...), nil, nil
	default:
		if failed != nil {
			failed.Err = fmt.Errorf("asked with validate_only: %w", failed.Err)
		}
		return ready, nil, err
	}
	for i, r := range unsure {
		switch result := results[i]; {
		case result.Reason == expired && r.MaybeStored:
			result.State, result.MaybeStored, result.MaybeRefused = meter.InDoubt, true, r.MaybeRefused
			ruledOut = append(ruledOut, result)
		case result.Reason == expired:
			ruledOut = append(ruledOut, result)
		case result.Reason == invalidTimestamp:
			ruledOut = append(ruledOut, meter.Result{
				UUID: r.UUID, State: meter.Sealed, Reason: "the API calls its timestamp future: " + invalidTimestamp,
				MaybeStored: r.MaybeStored, MaybeRefused: r.MaybeRefused,
			})
		case result.State == meter.Sealed: // the answer says nothing of it
			ready = append(ready, s.unvetted(unsure[i:i+1])...)
		default:
			r.Refusable = s.clock.isOld(r.Timestamp)
			ready = append(ready, r)
		}
	}
	return ready, ruledOut, nil
}

// unvetted returns the records with what our knowledge of the API's clock says.
func (s *Sender) unvetted(records []meter.Record) []meter.Record {
	list := make([]meter.Record, len(records))
	for i, r := range records {
		r.Refusable = s.clock.isOld(r.Timestamp) || s.clock.isAhead(r.Timestamp) || s.clock.known() && !s.clock.agrees()
		list[i] = r
	}
	return list
}

// answers reports whether the API answered that it does not take such a
// request: to send it in earnest cannot do harm.
func (e *Error) answers() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, 499:
		return false
	}
	return e.Status/100 == 4 || e.Status == http.StatusNotImplemented
}
