package agent

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// batch is records of one product that share a request, and what became of it.
type batch struct {
	records []meter.Record
	alone   bool  // one record, of an SKU that fails the requests that hold it
	half    bool  // half of the SKUs of a request that fails
	err     error // why the delivery failed, or the question if nothing was delivered; nil where the API answered

	ready []meter.Record // of records: what the API does not rule out for its time
}

// inBatches divides records, in their order, into requests. A request holds a limited
// number of records, of one product.
func inBatches(records []meter.Record) (list []*batch) {
	current := make(map[string]*batch) // by product: its last batch
	for _, r := range records {
		b := current[r.ProductID]
		if b == nil || len(b.records) == meter.MaxRecords {
			b = new(batch)
			current[r.ProductID] = b
			list = append(list, b)
		}
		b.records = append(b.records, r)
	}
	return list
}

// halves divides a batch into two, each with half of its SKUs. A batch of one SKU stays
// as it is.
func (b *batch) halves() []*batch {
	var skus []string
	for _, r := range b.records {
		if !slices.Contains(skus, r.SKU) {
			skus = append(skus, r.SKU)
		}
	}
	if len(skus) < 2 {
		return []*batch{b}
	}
	first, second := &batch{half: true}, &batch{half: true}
	for _, r := range b.records {
		half := second
		if slices.Index(skus, r.SKU) < (len(skus)+1)/2 {
			half = first
		}
		half.records = append(half.records, r)
	}
	return []*batch{first, second}
}

// each does the same for all batches at the same time, and returns the first
// error. The first batch is done by the caller's goroutine.
func each(batches []*batch, do func(*batch) error) error {
	errs := make([]error, len(batches))
	var others sync.WaitGroup
	for i := 1; i < len(batches); i++ {
		others.Go(func() { errs[i] = do(batches[i]) })
	}
	errs[0] = do(batches[0])
	others.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// deliver vets the batches, sends them, and settles the answered records, each batch
// at the same time: one without an answer delays no other. Failures of deliveries are
// in the batches; the error is one of the ledger.
func (l *sendLoop) deliver(ctx context.Context, batches []*batch) error {
	return each(batches, func(b *batch) error {
		if err := l.vet(ctx, b); err != nil || len(b.ready) == 0 {
			return err
		}
		if err := l.ledger.Attempt(ctx, b.ready); err != nil {
			return err
		}
		return l.send(ctx, b)
	})
}

// vet asks the API about the batch's records that it may refuse for their time. It
// settles the records that the API rules out. It puts off records without an answer.
func (l *sendLoop) vet(ctx context.Context, b *batch) error {
	ready, ruledOut, err := l.sender.Vet(ctx, b.records)
	b.ready, b.err = ready, err
	if err := l.settle(ctx, b.records, ruledOut, askEvery); err != nil {
		return err
	}
	if err == nil {
		return nil
	}
	isReady := make(map[string]bool, len(ready))
	for _, r := range ready {
		isReady[r.UUID] = true
	}
	var unanswered []meter.Result
	for _, r := range b.records {
		if !isReady[r.UUID] {
			unanswered = append(unanswered, meter.Result{
				UUID: r.UUID, State: meter.Sealed, Reason: cause(err), MaybeStored: r.MaybeStored, MaybeRefused: r.MaybeRefused,
			})
		}
	}
	return l.settle(ctx, b.records, unanswered, b.putOff(l.suspects.pause(b.records, time.Now())))
}

func (l *sendLoop) send(ctx context.Context, b *batch) error {
	results, err := l.sender.Send(ctx, b.ready)
	l.health.Requests.WithLabelValues(outcome(err)).Inc()
	if b.err = err; err == nil {
		b.records = b.ready // an unanswered question about others is no failed delivery
	}
	return l.settle(ctx, b.ready, results, b.putOff(putOff(b.ready, err)))
}

// outcome returns how a delivery counts among the requests.
func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "answered"
}

// putOff bounds the time that the records of a batch wait. If one half of a batch was
// answered, the records of the other go alone at once.
func (b *batch) putOff(wait time.Duration) time.Duration {
	if b.half {
		return min(wait, retryPause)
	}
	return wait
}

// putOff returns how long the records wait that are still to be delivered. The
// more often that was tried, the longer: so no record holds back the others,
// whatever the API makes of it.
func putOff(records []meter.Record, failed error) time.Duration {
	most := slices.MaxFunc(records, func(a, b meter.Record) int { return cmp.Compare(a.Attempts, b.Attempts) })
	longest := unansweredMax
	if failed != nil {
		longest = failedMax
	}
	return min(retryPause<<min(most.Attempts, 10), longest)
}

// settle notes results for some of the records, also after ctx has ended: they
// are known now.
func (l *sendLoop) settle(ctx context.Context, records []meter.Record, results []meter.Result, putOff time.Duration) error {
	if len(results) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalCommit)
	defer cancel()
	if err := l.ledger.Settle(ctx, results, time.Now(), putOff); err != nil {
		return err
	}
	of := make(map[string]meter.Record, len(records))
	for _, r := range records {
		of[r.UUID] = r
	}
	l.settling.Lock()
	defer l.settling.Unlock()
	for _, result := range results {
		record := of[result.UUID]
		l.settled(record, result)
		if result.State.Settled() && result.State != meter.Accepted {
			l.unaccepted.add(record, result)
		}
	}
	return nil
}
