package agent

import (
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// suspects are the SKUs that seem to fail the requests that hold them. Their
// records are sent alone and seldom, so that no SKU holds back another. After a 400
// the sender splits the batch without this. The zero value suspects nothing.
//
// If a request with several SKUs fails for a minute, each half of its SKUs gets a
// request of its own. If the API answers one half, it works, and the SKUs of the other
// half go alone. If it answers no half, an outage is more likely. Then records share
// requests as before, except that now and then one is tried alone. If the API answers
// that one, the next request shows whether the others can share one again.
type suspects struct {
	newTrouble func(sku string) trouble
	draw       func(atMost time.Duration) time.Duration // draws a wait, so that a fleet does not try at once

	failing map[string]time.Time // by uuid: since when every request with the record fails
	of      map[skuKey]*suspect
	alive   bool      // the API has answered something since the last SKUs came under suspicion
	trial   bool      // it answered a record alone: the next request holds them together
	next    time.Time // while the API is not alive: when a record is tried alone
	probed  bool      // the last request was such a one: the next holds several records
}

type skuKey struct{ product, sku string }

func keyOf(r meter.Record) skuKey { return skuKey{r.ProductID, r.SKU} }

// suspect is an SKU under suspicion.
type suspect struct {
	trouble
	failed   map[string]bool // uuids of the records that failed alone
	innocent bool            // the API answered another record of it: only the failed ones are sent alone
	next     time.Time       // when it may be tried again
	tried    bool            // while the API is not alive: it failed alone, and others are to be tried before it
}

// mostFailing bounds how many records are remembered.
const mostFailing = 10_000

// apart reports whether a record must not share a request.
func (s *suspects) apart(r meter.Record) bool {
	of := s.of[keyOf(r)]
	return of != nil && s.alive && !s.trial && (!of.innocent || of.failed[r.UUID])
}

// probe returns a function that chooses one record of each suspect that may be tried
// at now. It returns nil where nothing is to be tried.
func (s *suspects) probe(now time.Time) func(meter.Record) bool {
	if len(s.of) == 0 || s.trial || !s.alive && (s.probed || now.Before(s.next)) {
		return nil
	}
	chosen := make(map[skuKey]bool)
	return func(r meter.Record) bool {
		key := keyOf(r)
		of := s.of[key]
		if of == nil || chosen[key] {
			return false
		}
		if s.alive && (!s.apart(r) || now.Before(of.next)) || !s.alive && of.tried {
			return false
		}
		chosen[key] = true
		return true
	}
}

// answered notes that the API answered a request with the record.
func (s *suspects) answered(r meter.Record, alone bool) {
	delete(s.failing, r.UUID)
	of := s.of[keyOf(r)]
	if of != nil && (of.failed[r.UUID] || len(of.failed) == 0) { // what failed it is over
		of.end("the SKU is delivered again")
		delete(s.of, keyOf(r))
	} else if of != nil {
		of.innocent = true
	}
	s.trial = alone && (s.trial || !s.alive) && len(s.of) > 0
	s.alive = true
}

// isDue reports whether the requests of one of the records have failed for so long
// that records of other SKUs go without it. A request with these records begins at now.
func (s *suspects) isDue(records []meter.Record, now time.Time) bool {
	return slices.ContainsFunc(records, func(r meter.Record) bool {
		since, ok := s.failing[r.UUID]
		return ok && now.Sub(since) >= togetherMax
	})
}

// split halves the batches that are due, as far as room allows more batches. If no half
// was answered lately, it halves nothing: an outage would get twice the requests.
func (s *suspects) split(batches []*batch, room int, now time.Time) []*batch {
	if len(s.of) > 0 && !s.alive {
		return batches
	}
	var list []*batch
	for i, b := range batches {
		halves := []*batch{b}
		if len(list)+len(batches)-i < room && s.isDue(b.records, now) {
			halves = b.halves()
		}
		list = append(list, halves...)
	}
	return list
}

// failedTogether notes that requests with the records failed, which began at this time.
// If that goes on for one of the records, their SKUs come under suspicion. In an outage
// the SKUs of the first requests are enough: more suspects would tell nothing until the
// API answers. others says that it has answered other requests at the same time.
func (s *suspects) failedTogether(records []meter.Record, others bool, began, now time.Time) {
	s.probed = false
	if s.failing == nil || len(s.failing) > mostFailing {
		s.failing = make(map[string]time.Time)
	}
	goesOn := s.isDue(records, began)
	for _, r := range records {
		if _, ok := s.failing[r.UUID]; !ok {
			s.failing[r.UUID] = began
		}
	}
	if s.trial { // it is not an outage
		s.trial = false
		return
	}
	if !goesOn || len(s.of) > 0 && !s.alive {
		return
	}
	if s.of == nil {
		s.of = make(map[skuKey]*suspect)
	}
	for _, r := range records {
		if key := keyOf(r); s.of[key] == nil {
			s.of[key] = &suspect{trouble: s.newTrouble(r.SKU), failed: make(map[string]bool)}
		}
	}
	s.alive, s.next = others, now.Add(s.pauseAlone())
}

// pauseAlone returns the time until a record is tried alone while nothing is answered.
// An SKU without neighbours holds back its own records only.
func (s *suspects) pauseAlone() time.Duration {
	if len(s.of) == 1 {
		return s.draw(4 * aloneMax)
	}
	return s.draw(aloneMax)
}

// failedAlone notes that a request with this record only failed. It returns the
// suspect if the API works otherwise, and nil if that is not known.
func (s *suspects) failedAlone(r meter.Record, now time.Time) *suspect {
	of := s.of[keyOf(r)]
	if of == nil {
		return nil
	}
	if s.alive {
		if len(of.failed) < mostFailing {
			of.failed[r.UUID] = true
		}
		of.next = now.Add(suspectPause)
		return of
	}
	of.tried, s.probed, s.next = true, true, now.Add(max(suspectPause, s.pauseAlone()))
	for _, other := range s.of {
		if !other.tried {
			return nil
		}
	}
	for _, other := range s.of { // all were tried: begin again
		other.tried = false
	}
	return nil
}

// pause returns how long records wait after a failure: the longer it goes on,
// the longer.
func (s *suspects) pause(records []meter.Record, now time.Time) time.Duration {
	longest := time.Duration(0)
	for _, r := range records {
		if since, ok := s.failing[r.UUID]; ok {
			longest = max(longest, now.Sub(since))
		}
	}
	return min(max(longest, retryPause), failedMax)
}
