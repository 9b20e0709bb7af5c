package sender

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/meter"
)

// delivery is one call of Send while it lasts. It is owned by its caller.
type delivery struct {
	*Sender
	validateOnly bool
	records      []meter.Record
	results      []meter.Result // of records, index by index

	answered bool      // the API has answered a request with success
	alone    []refusal // records that were answered 400 alone
}

// refusal is a record, by its index, with the 400 that it got all alone.
type refusal struct {
	index int
	err   *Error
}

// enoughStrikes is how many deliveries in a row must end in 400 for every
// record before a record answered 400 alone is refused all the same.
const enoughStrikes = 3

func (s *Sender) deliver(ctx context.Context, records []meter.Record, validateOnly bool) ([]meter.Result, error) {
	d := delivery{Sender: s, validateOnly: validateOnly, records: records, results: make([]meter.Result, len(records))}
	for i, r := range records {
		d.results[i] = meter.Result{UUID: r.UUID, State: meter.Sealed, MaybeStored: r.MaybeStored}
	}
	if len(records) == 0 {
		return d.results, nil
	}
	if err := misuse(records); err != nil {
		return d.results, &Error{Kind: Slow, Err: err}
	}
	var batch []int
	for i, r := range records {
		if reason := defect(r); reason != "" {
			d.results[i].State, d.results[i].Reason = meter.Refused, reason
			continue
		}
		batch = append(batch, i)
	}
	if len(batch) == 0 {
		return d.results, nil
	}
	failed := d.write(ctx, batch)
	if err := d.refuseAlone(); failed == nil {
		failed = err
	}
	if failed == nil {
		return d.results, nil
	}
	return d.results, failed
}

// write sends the records of a batch, in as many requests as it takes to part
// those that the API refuses to read from the others. It stops at the first
// failure of another kind.
func (d *delivery) write(ctx context.Context, batch []int) *Error {
	answer, failed := d.attempt(ctx, batch)
	switch {
	case failed == nil:
		d.settle(batch, answer)
		return nil
	case failed.Status == http.StatusBadRequest && len(batch) > 1:
		half := len(batch) / 2
		if failed := d.write(ctx, batch[:half]); failed != nil {
			d.leave(batch[half:], failed, false)
			return failed
		}
		return d.write(ctx, batch[half:])
	case failed.Status == http.StatusBadRequest:
		d.alone = append(d.alone, refusal{batch[0], failed})
		return nil
	default:
		d.leave(batch, failed, failed.maybeStored && !d.validateOnly)
		return failed
	}
}

// attempt sends one request, and once more with another token where the first
// was not good enough. A request that was answered 401 or 403 was certainly
// not stored, so the second is no repetition of the first.
func (d *delivery) attempt(ctx context.Context, batch []int) (answer, *Error) {
	token, err := d.tokens.Token(ctx)
	if err != nil {
		return answer{}, &Error{Kind: Retry, Err: fmt.Errorf("%w: %w", ErrNoToken, err)}
	}
	a, failed := d.request(ctx, token, batch)
	if failed == nil || failed.Status != http.StatusUnauthorized && failed.Status != http.StatusForbidden {
		return a, failed
	}
	fresh, err := d.tokens.Refresh(ctx, token)
	if err != nil {
		failed.Err = fmt.Errorf("%w; a new token: %w", failed.Err, err)
		return a, failed
	}
	if fresh == token {
		return a, failed
	}
	return d.request(ctx, fresh, batch)
}

func (d *delivery) request(ctx context.Context, token string, batch []int) (answer, *Error) {
	if ctx.Err() != nil {
		return answer{}, &Error{Kind: Retry, Err: context.Cause(ctx)}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("no answer within %v: %w", d.timeout, context.DeadlineExceeded))
	defer cancel()
	r := request{
		id: uuid.NewString(), token: token, productID: d.records[batch[0]].ProductID,
		validateOnly: d.validateOnly, records: make([]meter.Record, len(batch)),
	}
	for i, index := range batch {
		r.records[i] = d.records[index]
	}
	return d.transport.write(ctx, r)
}

// settle takes in the API's answer to a batch.
func (d *delivery) settle(batch []int, a answer) {
	d.answered = true
	verdicts := a.verdicts()
	for _, i := range batch {
		r := d.records[i]
		key := strings.ToLower(r.UUID)
		d.results[i] = judge(r, verdicts[key], d.validateOnly, d.clock.hasPassed(r.Window.StartTime()))
		delete(verdicts, key)
		d.forgive(r.UUID)
	}
	if len(verdicts) > 0 {
		d.log.Warn("the API's answer names records that were not asked about; they are ignored", "count", len(verdicts))
	}
}

// leave leaves a batch Sealed, and says why.
func (d *delivery) leave(batch []int, failed *Error, maybeStored bool) {
	for _, i := range batch {
		d.results[i].Reason = excerpt(failed.Err.Error(), 300)
		d.results[i].MaybeStored = d.results[i].MaybeStored || maybeStored
	}
}

// refuseAlone decides on the records that were answered 400 alone. Where
// others of the same delivery were taken, the fault is the record's own, and
// it is refused. Where none was, the fault may be the request's, a proxy's or
// the API's, and all of them stay Sealed for a slow retry; only records for
// which the API itself has said so in several deliveries are refused then, so
// that they cannot hold back others for ever.
func (d *delivery) refuseAlone() *Error {
	var failed *Error
	for _, r := range d.alone {
		record := d.records[r.index]
		if d.answered || r.err.voiced && d.strike(record.UUID) >= enoughStrikes {
			d.forgive(record.UUID)
			d.results[r.index].State = meter.Refused
			d.results[r.index].Reason = orDefault(r.err.message, excerpt(r.err.Err.Error(), 300))
			continue
		}
		d.leave([]int{r.index}, r.err, false)
		failed = r.err
	}
	return failed
}

func (s *Sender) strike(uuid string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.strikes) >= 1000 { // of records that were never sent again
		clear(s.strikes)
	}
	s.strikes[uuid]++
	return s.strikes[uuid]
}

func (s *Sender) forgive(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.strikes, uuid)
}
