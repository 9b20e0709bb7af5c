package agent

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
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
	restPause     = 5 * time.Second  // the same while there are none; sealing wakes the loop, what others queue does not
	retryPause    = time.Second      // before a record is sent again, growing with its attempts
	unansweredMax = time.Minute      // a record that an answer left out is sent again after at most so long
	failedMax     = 15 * time.Second // one whose request failed, so that others are tried in between
	maxWidth      = 4                // requests at a time, for a backlog
	clockError    = 2 * time.Second  // how far the API's clock may be from what is known of it
	askEvery      = time.Minute      // a record that the API calls ahead of its clock is asked about so often
	releaseEvery  = time.Minute      // at most so often is what failures put off due at once
	pruneEvery    = time.Hour
)

// sendLoop turns sealed records into settled ones.
type sendLoop struct {
	ledger        *ledger.Ledger
	sender        *sender.Sender
	rules         *config.Config
	instanceID    func(context.Context) (string, error) // nil once it is known
	askedInstance time.Time                             // when that was asked last
	retention     time.Duration
	settled       func(meter.Record, meter.Result)
	vitals        *monitor.Vitals
	pulse         *monitor.Pulse
	mostTime      time.Duration // that one step may take
	log           *slog.Logger

	width     int // requests at a time
	pace      *pace.Pace
	askedHeld time.Time // when the API was last asked about records that wait for its clock
	failing   string    // the last error that was reported; "" while deliveries succeed
	failures  int       // in a row
	released  time.Time
	lastPrune time.Time
}

func newSendLoop(cfg Config) *sendLoop {
	l := &sendLoop{
		ledger:     cfg.Ledger,
		sender:     cfg.Sender,
		rules:      cfg.Rules,
		instanceID: cfg.InstanceID,
		retention:  cfg.Rules.Retention,
		settled:    cfg.Settled,
		vitals:     cfg.Vitals,
		pulse:      cfg.Vitals.Pulse("send"),
		mostTime:   time.Minute + 2*meter.MaxRecords*cfg.Rules.Delivery.Timeout, // a batch that is split into its records
		log:        cfg.Log,
		width:      1,
		pace:       pace.New(pace.Config{}),
	}
	if l.settled == nil {
		l.settled = func(meter.Record, meter.Result) {}
	}
	return l
}

func (l *sendLoop) run(ctx context.Context) {
	defer l.pulse.Rest()
	for ctx.Err() == nil {
		l.pulse.Beat(l.mostTime)
		pause := l.step(ctx)
		l.pulse.Beat(pause + time.Minute)
		l.sleep(ctx, pause)
	}
}

// sleep waits; sealing ends it early, unless deliveries fail.
func (l *sendLoop) sleep(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	sealed := l.ledger.Sealed()
	if l.failing != "" {
		sealed = nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-sealed:
	}
}

// step delivers what is due, as much at a time as width allows, and settles
// what became of it. It returns how long to wait before the next.
func (l *sendLoop) step(ctx context.Context) time.Duration {
	l.prune(ctx)
	if err := l.bindInstance(ctx); err != nil {
		return l.failed(ctx, err)
	}
	now := time.Now()
	most := l.width * meter.MaxRecords
	records, err := l.ledger.Pending(ctx, now, l.apiClock(now), most)
	if err != nil {
		return l.failed(ctx, err)
	}
	if len(records) == 0 && now.Sub(l.askedHeld) >= askEvery {
		if records, err = l.ledger.Held(ctx, now, l.apiClock(now), meter.MaxRecords); err != nil {
			return l.failed(ctx, err)
		}
		if len(records) > 0 {
			l.askedHeld = now
		}
	}
	if len(records) == 0 {
		return l.rest(ctx)
	}
	if wait := l.pace.Wait(now, meter.UsableFor-l.apiClock(now).Sub(records[0].Window.StartTime())); wait > 0 {
		return wait
	}
	ready, err := l.vet(ctx, batches(records))
	if len(ready) == 0 {
		l.noteSkew()
		if err != nil {
			return l.failed(ctx, err)
		}
		return 0
	}
	if err := l.ledger.Attempt(ctx, slices.Concat(ready...)); err != nil {
		return l.failed(ctx, err)
	}
	if failed := l.deliver(ctx, ready); failed != nil {
		err = failed
	}
	l.noteSkew()
	l.width = 1
	if err != nil {
		return l.failed(ctx, err)
	}
	if err := l.release(ctx); err != nil {
		return l.failed(ctx, err)
	}
	l.succeeded()
	l.pace.Succeeded(time.Now(), func() int { return l.sealed(ctx) })
	l.pace.Requested(time.Now(), len(ready))
	if len(records) == most && !l.pace.CatchingUp() { // a backlog: faster, as long as the API keeps up
		l.width = min(2*most/meter.MaxRecords, maxWidth)
	}
	return 0
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

// apiClock returns what the API's clock shows at now, as far as it is known,
// and rather a little less: the API refuses what lies in its future.
func (l *sendLoop) apiClock(now time.Time) time.Time {
	return now.Add(l.sender.Skew() - clockError)
}

// vet asks the API about those of the batches that it may refuse for their
// time, at the same time, and settles what it rules out. It returns the rest of
// each batch, and the first error.
func (l *sendLoop) vet(ctx context.Context, batches [][]meter.Record) (ready [][]meter.Record, failed error) {
	list := make([][]meter.Record, len(batches))
	errs := make([]error, len(batches))
	var questions sync.WaitGroup
	ask := func(i int) { list[i], errs[i] = l.vetBatch(ctx, batches[i]) }
	for i := 1; i < len(batches); i++ {
		questions.Go(func() { ask(i) })
	}
	ask(0)
	questions.Wait()
	for i := range batches {
		if len(list[i]) > 0 {
			ready = append(ready, list[i])
		}
		if failed == nil {
			failed = errs[i]
		}
	}
	return ready, failed
}

func (l *sendLoop) vetBatch(ctx context.Context, records []meter.Record) ([]meter.Record, error) {
	ready, ruledOut, err := l.sender.Vet(ctx, records)
	if len(ruledOut) == 0 {
		return ready, err
	}
	of := make(map[string]meter.Record, len(records))
	for _, r := range records {
		of[r.UUID] = r
	}
	d := delivery{results: ruledOut, putOff: askEvery}
	for _, result := range ruledOut {
		d.records = append(d.records, of[result.UUID])
	}
	return ready, errors.Join(err, l.settle(ctx, d))
}

// batches parts records, in their order, into what one request may hold: so
// many, of one product.
func batches(records []meter.Record) (list [][]meter.Record) {
	current := make(map[string]int) // by product: its last batch
	for _, r := range records {
		i, ok := current[r.ProductID]
		if !ok || len(list[i]) == meter.MaxRecords {
			i = len(list)
			current[r.ProductID] = i
			list = append(list, nil)
		}
		list[i] = append(list[i], r)
	}
	return list
}

// delivery is a batch with what became of it.
type delivery struct {
	records []meter.Record
	results []meter.Result
	err     error
	putOff  time.Duration // how long those wait that stay Sealed
}

// deliver sends the batches at the same time and settles them as they are
// answered. It returns the first error.
func (l *sendLoop) deliver(ctx context.Context, batches [][]meter.Record) (failed error) {
	answered := make(chan delivery, len(batches))
	send := func(records []meter.Record) {
		results, err := l.sender.Send(ctx, records)
		l.vitals.Requests.WithLabelValues(outcome(err)).Inc()
		d := delivery{records: records, results: results, err: err}
		d.putOff = d.pause()
		answered <- d
	}
	for _, records := range batches[1:] {
		go send(records)
	}
	send(batches[0])
	for range batches {
		d := <-answered
		if err := l.settle(ctx, d); err != nil && d.err == nil {
			d.err = err
		}
		if failed == nil {
			failed = d.err
		}
	}
	return failed
}

// outcome is how a delivery counts among the requests.
func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "answered"
}

// rest is how long to wait when nothing is due.
func (l *sendLoop) rest(ctx context.Context) time.Duration {
	_, sealed, err := l.ledger.Unsettled(ctx)
	switch {
	case err != nil:
		return l.failed(ctx, err)
	case sealed > 0:
		return sendPause
	}
	l.pace.Idle()
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

// settle notes the results, also after ctx has ended: they are known now.
func (l *sendLoop) settle(ctx context.Context, d delivery) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalCommit)
	defer cancel()
	if err := l.ledger.Settle(ctx, d.results, time.Now(), d.putOff); err != nil {
		return err
	}
	for i, r := range d.results {
		l.settled(d.records[i], r)
		switch r.State {
		case meter.Sealed, meter.Accepted:
		default:
			l.log.Error("usage was not accepted", "state", r.State, "reason", r.Reason, "uuid", r.UUID,
				"sku_id", d.records[i].SKU, "quantity", d.records[i].Quantity, "window", d.records[i].Window.StartTime())
		}
	}
	return nil
}

// pause returns how long the records wait that are still to be delivered. The
// more often that was tried, the longer: so no record holds back the others,
// whatever the API makes of it.
func (d delivery) pause() time.Duration {
	most := slices.MaxFunc(d.records, func(a, b meter.Record) int { return cmp.Compare(a.Attempts, b.Attempts) })
	longest := unansweredMax
	if d.err != nil {
		longest = failedMax
	}
	return min(retryPause<<min(most.Attempts, 10), longest)
}

// failed reports the error where it is news and returns how long to wait.
func (l *sendLoop) failed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	l.failures++
	var refusal *sender.Error
	asked := time.Duration(0)
	if errors.As(err, &refusal) {
		asked = refusal.RetryAfter
	}
	pause := l.pace.Failed(time.Now(), refusal != nil && refusal.Kind == sender.Slow, asked)
	if text := cause(err); text != l.failing {
		level := slog.LevelWarn
		if refusal != nil && refusal.Kind == sender.Slow {
			level = slog.LevelError
		}
		l.log.Log(ctx, level, "delivery failed: nothing is lost, it will be tried again", "error", err, "next_try", pause.Round(time.Millisecond))
		l.failing = text
		l.vitals.Raise(deliveryProblem(err))
	}
	return pause
}

func (l *sendLoop) succeeded() {
	if l.failing != "" {
		l.log.Info("delivering again")
		l.vitals.Clear(deliveryFailing, "")
	}
	l.failing, l.failures = "", 0
}

// prune deletes what was settled longer ago than the retention time.
func (l *sendLoop) prune(ctx context.Context) {
	if now := time.Now(); now.Sub(l.lastPrune) >= pruneEvery {
		l.lastPrune = now
		n, err := l.ledger.Prune(ctx, now.Add(-l.retention))
		if err != nil {
			l.failed(ctx, err)
		} else if n > 0 { // there may be more: the next step goes on with it
			l.lastPrune = time.Time{}
		}
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
			summary.add(record, result)
		}
	}
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

func (s *Summary) add(record meter.Record, result meter.Result) {
	i := slices.IndexFunc(s.Settled, func(line Settled) bool {
		return line.SKU == record.SKU && line.State == result.State && line.Reason == result.Reason
	})
	if i < 0 {
		i = len(s.Settled)
		s.Settled = append(s.Settled, Settled{SKU: record.SKU, State: result.State, Reason: result.Reason})
	}
	s.Settled[i].Records++
	s.Settled[i].Quantity += record.Quantity
}
