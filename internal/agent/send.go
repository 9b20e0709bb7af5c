package agent

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/pace"
	"github.com/meterlog/meterlog/internal/sender"
)

const (
	sendPause     = time.Second      // between looks while sealed records wait for their time
	restPause     = 5 * time.Second  // the same without sealed records; sealing wakes the loop, but other processes cannot
	retryPause    = time.Second      // before a record is sent again, growing with its attempts
	retryMax      = 6 * time.Second  // the longest pause after the ledger or the metadata service failed
	unansweredMax = time.Minute      // a record that an answer left out is sent again after at most so long
	failedMax     = 15 * time.Second // one whose request failed, so that others are tried in between
	togetherMax   = 55 * time.Second // a record whose requests fail for about a minute is sent apart from other SKUs'
	aloneMax      = time.Minute      // while nothing is answered, at most so long until a record is tried alone
	suspectPause  = 10 * time.Second // between requests for an SKU that fails them
	maxWidth      = 4                // requests at a time, for a backlog
	clockError    = 2 * time.Second  // how far the API's clock may be from what is known of it
	askEvery      = time.Minute      // how often to ask about a record that the API calls ahead of its clock
	releaseEvery  = time.Minute      // at most so often is what failures put off due at once
	pruneEvery    = time.Hour
	pruneAgain    = time.Minute // after a failure
)

// sendLoop turns sealed records into settled ones.
type sendLoop struct {
	ledger        *ledger.Ledger
	sender        *sender.Sender
	rules         *config.Config
	instanceID    func(context.Context) (string, error) // nil once it is known
	askedInstance time.Time                             // the time of the last question
	retention     time.Duration
	settled       func(meter.Record, meter.Result)
	health        *monitor.Health
	heartbeat     *monitor.Heartbeat
	mostTime      time.Duration // that one step may take
	log           *slog.Logger

	width      int // requests of one product at a time
	widest     int // requests at a time
	pace       *pace.Pace
	suspects   suspects
	settling   sync.Mutex // guards settled and unaccepted while batches are settled
	unaccepted unaccepted
	askedHeld  time.Time // when the API was last asked about records that wait for its clock
	failures   int       // deliveries in a row
	released   time.Time
	nextPrune  time.Time

	nextForget time.Time // when keys are forgotten again
	clockThen  time.Time // what the clock showed when they were forgotten last
	over       time.Time // keys of stretches that were over then are being forgotten; zero: none are

	delivering, accounting, pruning, identifying trouble
}

func newSendLoop(cfg Config) *sendLoop {
	l := &sendLoop{
		ledger:     cfg.Ledger,
		sender:     cfg.Sender,
		rules:      cfg.Rules,
		instanceID: cfg.InstanceID,
		retention:  cfg.Rules.Retention,
		settled:    cfg.Settled,
		health:     cfg.Health,
		heartbeat:  cfg.Health.Heartbeat("send"),
		mostTime:   time.Minute + 2*meter.MaxRecords*cfg.Rules.Delivery.Timeout, // a batch that is split into its records
		log:        cfg.Log,
		width:      1,
		widest:     maxWidth,
		pace:       pace.New(pace.Config{}),
	}
	if l.settled == nil {
		l.settled = func(meter.Record, meter.Result) {}
	}
	l.unaccepted.log = cfg.Log
	l.suspects.draw = func(atMost time.Duration) time.Duration { return l.pace.Draw(atMost) }
	newTrouble := func(code string) trouble { return trouble{code: code, health: cfg.Health, log: cfg.Log} }
	l.delivering, l.accounting = newTrouble(deliveryFailing), newTrouble(ledgerFailing)
	l.pruning, l.identifying = newTrouble(pruningFailing), newTrouble(instanceUnknown)
	l.suspects.newTrouble = func(sku string) trouble {
		t := newTrouble(deliveryFailing)
		t.subject = sku
		return t
	}
	return l
}

func (l *sendLoop) run(ctx context.Context) {
	defer l.heartbeat.Stop()
	defer l.unaccepted.flush()
	defer l.forgetTroubles()
	for ctx.Err() == nil {
		l.heartbeat.Beat(l.mostTime)
		pause := l.step(ctx)
		l.heartbeat.Beat(pause + time.Minute)
		l.sleep(ctx, pause)
	}
}

// forgetTroubles takes back what the loop found wrong: the agent that goes on
// finds it again.
func (l *sendLoop) forgetTroubles() {
	for _, p := range l.health.Problems() {
		switch p.Code {
		case deliveryFailing, ledgerFailing, pruningFailing, instanceUnknown, clockSkew:
			l.health.Clear(p.Code, p.Subject)
		}
	}
}

// sleep waits; sealing ends it early, unless something fails.
func (l *sendLoop) sleep(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	sealed := l.ledger.Sealed()
	if l.delivering.goesOn() || l.accounting.goesOn() || l.identifying.goesOn() {
		sealed = nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-sealed:
	}
}

// step delivers what is due, as much at a time as width allows, and settles
// what became of it. It returns how long to wait before the next step.
func (l *sendLoop) step(ctx context.Context) time.Duration {
	l.prune(ctx)
	l.forgetKeys(ctx)
	l.unaccepted.tell(time.Now())
	if pause, err := l.bindInstance(ctx); err != nil {
		return pause
	}
	now := time.Now()
	batches, full, err := l.choose(ctx, now)
	if err != nil {
		return l.ledgerFailed(ctx, err)
	}
	if len(batches) == 0 {
		return l.rest(ctx)
	}
	oldest := batches[0].records[0].Timestamp
	if wait := l.pace.Wait(now, oldest, meter.UsableFor-l.apiClock(now).Sub(oldest)); wait > 0 {
		return wait
	}
	if err := l.deliver(ctx, batches); err != nil {
		return l.ledgerFailed(ctx, err)
	}
	l.noteSkew()
	failed, answered := l.note(batches, now)
	width := l.width
	l.width = 1
	if answered {
		if err := l.release(ctx); err != nil {
			return l.ledgerFailed(ctx, err)
		}
	}
	l.accounting.end("the ledger takes the results of deliveries again")
	switch {
	case answered && l.suspects.trial:
		l.pace.Answered(time.Now())
	case answered:
		l.pace.Succeeded(time.Now(), shared(batches), func() int { return l.sealed(ctx) })
	}
	if failed != nil {
		return l.deliveryFailed(ctx, failed)
	}
	if answered {
		l.failures = 0
		l.delivering.end("delivering again")
	}
	if len(l.suspects.of) > 0 {
		l.pace.Hurry()
	}
	l.pace.Requested(time.Now(), len(batches))
	if full && !l.pace.Spacing() { // faster, as long as the API keeps up
		l.width = min(2*width, maxWidth)
	}
	return 0
}

// choose returns what is due now, in batches: alone what seems to fail the
// requests that hold it, and together what may share a request. Where nothing is
// due, it returns what waits for the API's clock only, if that was not asked for
// lately. full reports whether more may be due.
func (l *sendLoop) choose(ctx context.Context, now time.Time) (batches []*batch, full bool, err error) {
	apiNow := l.apiClock(now)
	if probe := l.suspects.probe(now); probe != nil {
		most := maxWidth - 1
		if !l.suspects.alive {
			most = 1 // an outage, perhaps
		}
		records, err := l.ledger.Pending(ctx, now, apiNow, most, probe)
		if err != nil {
			return nil, false, err
		}
		for _, r := range records {
			batches = append(batches, &batch{records: []meter.Record{r}, alone: true})
		}
		if len(batches) > 0 && !l.suspects.alive {
			return batches, false, nil
		}
	}
	room := l.widest - len(batches)
	most := min(l.width, room) * meter.MaxRecords
	records, err := l.ledger.Pending(ctx, now, apiNow, most, func(r meter.Record) bool { return !l.suspects.apart(r) })
	if err != nil {
		return nil, false, err
	}
	together := inBatches(records)
	full = len(records) == most || len(together) > room
	batches = append(l.suspects.split(together[:min(len(together), room)], room, now), batches...)
	if len(batches) > 0 || now.Sub(l.askedHeld) < askEvery {
		return batches, full, nil
	}
	if records, err = l.ledger.Held(ctx, now, apiNow, meter.MaxRecords); len(records) > 0 {
		l.askedHeld = now
	}
	together = inBatches(records)
	return together[:min(len(together), room)], false, err
}

// note takes account of the results of the batches, which were sent from began on.
// failed is the first failure that is not one SKU's alone, answered whether the API
// answered anything.
func (l *sendLoop) note(batches []*batch, began time.Time) (failed error, answered bool) {
	now := time.Now()
	for _, b := range batches { // answers first: they show that the API works
		if b.err == nil || badRequest(b.err) { // the sender has split what is answered 400
			answered = answered || b.err == nil
			for _, r := range b.records {
				l.suspects.answered(r, b.alone)
			}
		}
	}
	var together []meter.Record // records of failed requests that records share
	for _, b := range batches {
		switch {
		case b.err == nil:
		case badRequest(b.err):
			failed = cmp.Or(failed, b.err)
		case b.alone:
			if of := l.suspects.failedAlone(b.records[0], now); of != nil {
				of.begin(slog.LevelError, "every request with this SKU fails: it is sent apart from the others", b.err, deliveryHint(b.err), suspectPause)
			} else {
				failed = cmp.Or(failed, b.err)
			}
		default:
			together = append(together, b.records...)
			failed = cmp.Or(failed, b.err)
		}
	}
	if len(together) > 0 {
		l.suspects.failedTogether(together, answered, began, now)
	}
	return failed, answered
}

// shared returns how many records went in requests that records share. Where none did,
// it returns how many a request takes.
func shared(batches []*batch) (records int) {
	for _, b := range batches {
		if !b.alone {
			records += len(b.records)
		}
	}
	return cmp.Or(records, meter.MaxRecords)
}

// badRequest reports whether the API answered 400.
func badRequest(err error) bool {
	var refusal *sender.Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusBadRequest
}

// release ends the waits of an outage with it, so that the oldest goes first
// again. Where every other delivery fails, records are at fault and not the API:
// those wait on, and are let go now and then at most.
func (l *sendLoop) release(ctx context.Context) error {
	if l.failures < 2 || time.Since(l.released) < releaseEvery {
		return nil
	}
	l.released = time.Now()
	return l.ledger.Release(ctx)
}

// apiClock returns what the API's clock shows at now, as far as it is known. It errs
// towards the past, because the API refuses records from its future.
func (l *sendLoop) apiClock(now time.Time) time.Time {
	return now.Add(l.sender.Skew() - clockError)
}

// rest returns how long to wait when nothing is due.
func (l *sendLoop) rest(ctx context.Context) time.Duration {
	_, sealed, err := l.ledger.Unsettled(ctx)
	if err != nil {
		return l.ledgerFailed(ctx, err)
	}
	l.accounting.end("the ledger can be read again")
	if sealed > 0 {
		return sendPause
	}
	l.failures = 0
	l.delivering.end("nothing is left to deliver")
	l.pace.Idle(time.Now())
	return restPause
}

// sealed returns how many records wait for delivery, 0 where the ledger does
// not tell.
func (l *sendLoop) sealed(ctx context.Context) int {
	_, sealed, err := l.ledger.Unsettled(ctx)
	if err != nil {
		return 0
	}
	return sealed
}

// deliveryFailed reports a failed delivery where that is news, and returns how
// long to wait.
func (l *sendLoop) deliveryFailed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	l.failures++
	level, slow, asked := slog.LevelWarn, false, time.Duration(0)
	if refusal := (*sender.Error)(nil); errors.As(err, &refusal) {
		asked = refusal.RetryAfter
		if refusal.Kind == sender.NeedsOperator {
			slow, level = true, slog.LevelError
		}
	}
	pause := l.pace.Failed(time.Now(), slow, asked)
	l.delivering.begin(level, "delivery failed: nothing is lost, it will be tried again", err, deliveryHint(err), pause)
	return pause
}

// ledgerFailed does the same where the ledger fails.
func (l *sendLoop) ledgerFailed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	pause := l.accounting.again()
	l.accounting.begin(slog.LevelError, "the ledger cannot be used for deliveries: nothing is lost, it will be tried again", err,
		"free space on the disk of the state folder, or see what the kernel's log says of it", pause)
	return pause
}

// prune deletes what was settled longer ago than the retention time.
func (l *sendLoop) prune(ctx context.Context) {
	now := time.Now()
	if now.Before(l.nextPrune) {
		return
	}
	l.nextPrune = now.Add(pruneEvery)
	n, err := l.ledger.Prune(ctx, now.Add(-l.retention))
	if err == nil {
		peaks := 0
		peaks, err = l.ledger.PrunePeaks(ctx, now.Add(-l.retention))
		n += peaks
	}
	switch {
	case err == nil:
		l.pruning.end("old records are deleted again")
		if n > 0 { // there may be more: the next step goes on with it
			l.nextPrune = time.Time{}
		}
	case ctx.Err() == nil:
		l.nextPrune = now.Add(pruneAgain)
		l.pruning.begin(slog.LevelWarn, "old records cannot be deleted: the ledger grows, and nothing is lost", err,
			"free space on the disk of the state folder, or see what the kernel's log says of it", pruneAgain)
	}
}

// forgetPause is the time between two passes that forget keys.
const forgetPause = time.Hour

// forgetKeys forgets the keys of hours, days and months that were over an hour ago:
// the API takes no usage of them. A clock that is wrong for less than an hour
// forgets nothing: the earlier of two looks at it counts.
func (l *sendLoop) forgetKeys(ctx context.Context) {
	now := time.Now()
	if !now.Before(l.nextForget) {
		if clock := now.Round(0); !l.clockThen.IsZero() {
			l.over = clock.Add(-meter.UsableFor)
			if l.clockThen.Before(clock) {
				l.over = l.clockThen.Add(-meter.UsableFor)
			}
		}
		l.clockThen, l.nextForget = now.Round(0), now.Add(forgetPause)
	}
	if l.over.IsZero() {
		return
	}
	n, err := l.ledger.ForgetKeys(ctx, l.over)
	if err != nil && ctx.Err() == nil {
		l.log.Debug("keys could not be forgotten: the next hour tries it again", "error", err)
	}
	if err != nil || n == 0 {
		l.over = time.Time{}
	}
}

// deliverAll delivers until every sealed record is settled, or nothing was
// settled for patience.
func (l *sendLoop) deliverAll(ctx context.Context, patience time.Duration) (Summary, error) {
	var summary Summary
	progress := time.Now()
	report := l.settled
	l.settled = func(record meter.Record, result meter.Result) {
		report(record, result)
		if result.State != meter.Sealed {
			progress = time.Now()
			summary.Add(record, result)
		}
	}
	defer l.unaccepted.flush()
	for {
		var err error
		if summary.Open, summary.Sealed, err = l.ledger.Unsettled(ctx); err != nil {
			return summary, err
		}
		if summary.Sealed == 0 || time.Since(progress) > patience {
			return summary, nil
		}
		pause := min(l.step(ctx), patience-time.Since(progress)+time.Millisecond)
		select {
		case <-ctx.Done():
			return summary, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Add counts a record that was settled.
func (s *Summary) Add(record meter.Record, result meter.Result) {
	i := slices.IndexFunc(s.Settled, func(line Settled) bool {
		return line.ProductID == record.ProductID && line.SKU == record.SKU && line.State == result.State && line.Reason == result.Reason
	})
	if i < 0 {
		i = len(s.Settled)
		s.Settled = append(s.Settled, Settled{ProductID: record.ProductID, SKU: record.SKU, State: result.State, Reason: result.Reason})
	}
	s.Settled[i].Records++
	s.Settled[i].Quantity += record.Quantity
}
