package agent

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/sender"
)

const (
	sendPause     = time.Second      // between looks while sealed records wait for their time
	restPause     = time.Minute      // the same while there are none; sealing wakes the loop
	retryPause    = time.Second      // after a failed delivery, growing up to retryMax
	retryMax      = 30 * time.Second // the API refuses what is an hour old
	slowMax       = 2 * time.Minute  // the same for what somebody has to mend
	unansweredMax = time.Minute      // a record that an answer left out is sent again after at most so long
	pruneEvery    = time.Hour
)

// sendLoop turns sealed records into settled ones.
type sendLoop struct {
	ledger        *ledger.Ledger
	sender        *sender.Sender
	instanceID    func(context.Context) (string, error) // nil once it is known
	askedInstance time.Time                             // when that was asked last
	retention     time.Duration
	settled       func(meter.Record, meter.Result)
	vitals        *monitor.Vitals
	pulse         *monitor.Pulse
	mostTime      time.Duration // that one step may take
	log           *slog.Logger

	backoff   *backoff.ExponentialBackOff
	failing   string // the last error that was reported; "" while deliveries succeed
	lastPrune time.Time
}

func newSendLoop(cfg Config) *sendLoop {
	l := &sendLoop{
		ledger:     cfg.Ledger,
		sender:     cfg.Sender,
		instanceID: cfg.InstanceID,
		retention:  cfg.Rules.Retention,
		settled:    cfg.Settled,
		vitals:     cfg.Vitals,
		pulse:      cfg.Vitals.Pulse("send"),
		mostTime:   time.Minute + 2*meter.MaxRecords*cfg.Rules.Delivery.Timeout, // a batch that is split into its records
		log:        cfg.Log,
		backoff:    backoff.NewExponentialBackOff(),
	}
	if l.settled == nil {
		l.settled = func(meter.Record, meter.Result) {}
	}
	l.backoff.InitialInterval = retryPause
	l.backoff.MaxInterval = retryMax
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

// step delivers one batch and settles what became of it. It returns how long
// to wait before the next.
func (l *sendLoop) step(ctx context.Context) time.Duration {
	l.prune(ctx)
	if err := l.bindInstance(ctx); err != nil {
		return l.failed(ctx, err)
	}
	now := time.Now()
	records, err := l.ledger.Pending(ctx, now, now.Add(l.sender.Skew()), meter.MaxRecords)
	if err != nil {
		return l.failed(ctx, err)
	}
	if len(records) == 0 {
		return l.rest(ctx)
	}
	if err := l.ledger.Attempt(ctx, records); err != nil {
		return l.failed(ctx, err)
	}
	results, err := l.sender.Send(ctx, records)
	l.noteSkew()
	var pause time.Duration
	if err != nil {
		l.vitals.Requests.WithLabelValues("failed").Inc()
		pause = l.failed(ctx, err)
	} else {
		l.vitals.Requests.WithLabelValues("answered").Inc()
		l.succeeded()
	}
	if err := l.settle(ctx, records, results, max(pause, unanswered(records))); err != nil {
		return max(pause, l.failed(ctx, err))
	}
	return pause
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
	return restPause
}

// settle notes the results, also after ctx has ended: they are known now.
func (l *sendLoop) settle(ctx context.Context, records []meter.Record, results []meter.Result, retryAfter time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalCommit)
	defer cancel()
	if err := l.ledger.Settle(ctx, results, time.Now(), retryAfter); err != nil {
		return err
	}
	for i, r := range results {
		l.settled(records[i], r)
		switch r.State {
		case meter.Sealed, meter.Accepted:
		default:
			l.log.Error("usage was not accepted", "state", r.State, "reason", r.Reason, "uuid", r.UUID,
				"sku_id", records[i].SKU, "quantity", records[i].Quantity, "window", records[i].Window.StartTime())
		}
	}
	return nil
}

// unanswered is how long a record waits that an otherwise good answer left out.
func unanswered(records []meter.Record) time.Duration {
	most := slices.MaxFunc(records, func(a, b meter.Record) int { return cmp.Compare(a.Attempts, b.Attempts) })
	return min(retryPause<<min(most.Attempts, 10), unansweredMax)
}

// failed reports the error where it is news and returns how long to wait.
func (l *sendLoop) failed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	l.backoff.MaxInterval = retryMax
	var refusal *sender.Error
	asked := time.Duration(0)
	if errors.As(err, &refusal) {
		asked = refusal.RetryAfter
		if refusal.Kind == sender.Slow {
			l.backoff.MaxInterval = slowMax
		}
	}
	pause := max(l.backoff.NextBackOff(), asked)
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
	l.failing = ""
	l.backoff.Reset()
}

// prune deletes what was settled longer ago than the retention time.
func (l *sendLoop) prune(ctx context.Context) {
	if now := time.Now(); now.Sub(l.lastPrune) >= pruneEvery {
		l.lastPrune = now
		if _, err := l.ledger.Prune(ctx, now.Add(-l.retention)); err != nil {
			l.failed(ctx, err)
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
