package sender

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/meter"
)

// delivery is one call of Send while it lasts. It is owned by its caller.
type delivery struct {
	*Sender
	validateOnly bool
	records      []meter.Record
	results      []meter.Result // of records, index by index

	answers uint64    // how many requests had been answered with success when it began
	alone   []refusal // records that were answered 400 alone
}

// refusal is a record, by its index, with the 400 that it got all alone.
type refusal struct {
	index int
	err   *Error
}

// A record that is answered 400 alone was not stored, and may be sent again at
// no risk. The fault may be the record's, but just as well the request's, a
// proxy's or the API's own for a moment, so one answer decides nothing.
const (
	// enoughStrikes is how many deliveries in a row must end so for a record.
	enoughStrikes = 5

	// enoughAmid is how many of them must come after answers to other requests. The
	// first and the last may do so where the API fails for a while only.
	enoughAmid = 3

	// unreadable is how old a record is when the sender gives it up, if the API
	// takes nothing at all. It is the API's hour, and a margin in case the
	// difference of the clocks is unknown.
	unreadable = meter.UsableFor + 10*time.Minute

	// unreadableDoubt is the same for a record that may have been stored. When
	// the API reads requests again, it can tell, so the sender asks for longer.
	unreadableDoubt = 24 * time.Hour
)

func (s *Sender) deliver(ctx context.Context, records []meter.Record, validateOnly bool) ([]meter.Result, error) {
	d := delivery{
		Sender: s, validateOnly: validateOnly, records: slices.Clone(records), results: make([]meter.Result, len(records)), answers: s.answers.Load(),
	}
	for i, r := range records {
		d.results[i] = meter.Result{UUID: r.UUID, State: meter.Sealed, MaybeStored: r.MaybeStored, MaybeRefused: r.MaybeRefused}
	}
	if len(records) == 0 {
		return d.results, nil
	}
	if err := misuse(records); err != nil {
		return d.results, &Error{Kind: NeedsOperator, Err: err}
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
	if err := d.judgeAlone(); failed == nil {
		failed = err
	}
	if failed == nil {
		return d.results, nil
	}
	return d.results, failed
}

// write sends the records of a batch. If the API refuses to read the request, write
// splits it until the bad records are alone. It stops at the first failure of
// another kind.
func (d *delivery) write(ctx context.Context, batch []int) *Error {
	answer, failed := d.attempt(ctx, batch)
	switch {
	case failed == nil:
		return d.settle(batch, answer)
	case failed.Status == http.StatusBadRequest && len(batch) > 1:
		half := len(batch) / 2
		if failed := d.write(ctx, batch[:half]); failed != nil {
			d.leave(batch[half:], failed)
			return failed
		}
		return d.write(ctx, batch[half:])
	case failed.Status == http.StatusBadRequest:
		d.alone = append(d.alone, refusal{batch[0], failed})
		return nil
	default:
		d.leave(batch, failed)
		return failed
	}
}

// attempt sends one request. If the API does not take the token, it sends the
// request again with a new one. The API stored nothing of a request that it answered
// with 401 or 403, so the second one cannot be a duplicate.
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
	refusable := d.refusable(batch)
	a, failed := d.transport.write(ctx, r)
	if failed != nil && failed.maybeStored || failed == nil && a.sends > 1 {
		d.doubt(batch, refusable)
	}
	return a, failed
}

// refusable reports for each record whether the API may refuse it for its time now.
func (d *delivery) refusable(batch []int) []bool {
	list := make([]bool, len(batch))
	for i, index := range batch {
		r := d.records[index]
		list[i] = r.Refusable || d.clock.isOld(r.Timestamp)
	}
	return list
}

// doubt notes that no answer tells what became of a batch. The API may have stored
// its records, or refused the refusable ones.
func (d *delivery) doubt(batch []int, refusable []bool) {
	if d.validateOnly {
		return
	}
	for i, index := range batch {
		r := &d.records[index]
		r.MaybeStored, r.MaybeRefused = true, r.MaybeRefused || refusable[i]
	}
}

// settle takes in the API's answer to a batch.
func (d *delivery) settle(batch []int, a answer) *Error {
	verdicts := a.verdicts()
	var mentioned []int
	var accepted []time.Time
	refusable := d.refusable(batch)
	for i, index := range batch {
		r := d.records[index]
		v, ok := verdicts[strings.ToLower(r.UUID)]
		switch {
		case !ok:
			d.doubt(batch[i:i+1], refusable[i:i+1])
			continue
		case v.accepted && !v.rejected:
			accepted = append(accepted, r.Timestamp)
		}
		mentioned = append(mentioned, index)
	}
	if len(mentioned) == 0 {
		text := "the answer mentions no record"
		if a.message != "" {
			text += ": " + a.message
		}
		failed := &Error{Kind: Retry, Status: http.StatusOK, Err: errors.New("write: 200: " + text), maybeStored: true, message: text}
		d.leave(batch, failed)
		return failed
	}
	d.clock.observeAnswer(a.dated, accepted)
	d.Sender.answers.Add(1)
	for _, i := range batch {
		r := d.records[i]
		key := strings.ToLower(r.UUID)
		d.results[i] = judge(r, verdicts[key], d.validateOnly, d.clock.hasPassed(r.Timestamp) || !d.clock.isAhead(r.Timestamp))
		delete(verdicts, key)
		d.forgive(r.UUID)
	}
	if len(verdicts) > 0 {
		d.log.Warn("the API's answer names records that were not asked about; they are ignored", "count", len(verdicts))
	}
	return nil
}

// leave leaves a batch Sealed, and says why.
func (d *delivery) leave(batch []int, failed *Error) {
	for _, i := range batch {
		d.results[i].Reason = excerpt(failed.Err.Error(), 300)
		d.results[i].MaybeStored, d.results[i].MaybeRefused = d.records[i].MaybeStored, d.records[i].MaybeRefused
	}
}

// judgeAlone decides on the records that got a 400 alone. It returns an error if the
// fault may be the whole request's.
//
// The fault is the record's own if the record has failed for long enough while the
// API answered other requests. Then judgeAlone refuses it in the API's words. Until
// then the record stays Sealed. It holds back no other record, as the caller puts it
// off alone. If the API reads no request at all, judgeAlone gives the record up when
// the API's hour has passed: nothing else would end it.
func (d *delivery) judgeAlone() *Error {
	var failed *Error
	for _, r := range d.alone {
		record, words := d.records[r.index], orDefault(r.err.message, excerpt(r.err.Err.Error(), 300))
		strikes := d.strike(record.UUID)
		age := d.clock.now().Sub(record.Timestamp)
		result := &d.results[r.index]
		result.MaybeStored, result.MaybeRefused = record.MaybeStored, record.MaybeRefused
		switch {
		case strikes.count >= enoughStrikes && strikes.amid >= enoughAmid:
			result.State, result.Reason = meter.Refused, words
		case strikes.count >= enoughStrikes && !result.MaybeStored && age > unreadable:
			result.State, result.Reason = meter.Expired, "over an hour old, and always answered 400: "+words
		case strikes.count >= enoughStrikes && age > unreadableDoubt:
			result.State, result.Reason = meter.InDoubt, "over a day old, and always answered 400: "+words
		default:
			d.leave([]int{r.index}, r.err)
			if strikes.amid == 0 {
				failed = r.err
			}
			continue
		}
		d.forgive(record.UUID)
	}
	return failed
}

// strikes are the deliveries in a row that ended in 400 for a record alone.
type strikes struct {
	count   int
	amid    int    // how many came after an answer to another request since the one before
	answers uint64 // how many requests had been answered with success at the last of them
}

// strike counts one more for a record. An answer between two strikes shows that the
// API read requests then. One answer after many strikes shows only that the API reads
// them again.
func (d *delivery) strike(uuid string) strikes {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.struck) >= 1000 { // of records that were never sent again
		clear(d.struck)
	}
	s, ok := d.struck[uuid]
	if !ok {
		s.answers = d.answers
	}
	s.count++
	if now := d.Sender.answers.Load(); now > s.answers {
		s.amid, s.answers = s.amid+1, now
	}
	d.struck[uuid] = s
	return s
}

func (s *Sender) forgive(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.struck, uuid)
}
