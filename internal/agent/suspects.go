package agent

import (
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// suspects are the SKUs that seem to fail the requests that hold them. Their
// records are sent alone and seldom, so that no SKU holds back another. After a 400
// the sender splits the batch without this. The zero value suspects nothing.
type suspects struct {
	newTrouble func(sku string) trouble

	failing map[string]time.Time // by uuid: since when every request with the record fails
	of      map[skuKey]*suspect
	alive   bool // the API has answered something since the last SKUs came under suspicion
}

type skuKey struct{ product, sku string }

func keyOf(r meter.Record) skuKey { return skuKey{r.ProductID, r.SKU} }

// suspect is an SKU under suspicion.
type suspect struct {
	trouble
	failed   map[string]bool // uuids of the records that failed alone
	innocent bool            // the API answered another record of it: only the failed ones are sent alone
	next     time.Time       // when it may be tried again
}

// mostFailing bounds how many records are remembered.
const mostFailing = 10_000

// apart reports whether a record must not share a request.
func (s *suspects) apart(r meter.Record) bool {
	of := s.of[keyOf(r)]
	return of != nil && (!of.innocent || of.failed[r.UUID])
}

// probe returns a function that chooses one record of each suspect that may be tried
// at now. It returns nil without suspects.
func (s *suspects) probe(now time.Time) func(meter.Record) bool {
	if len(s.of) == 0 {
		return nil
	}
	chosen := make(map[skuKey]bool)
	return func(r meter.Record) bool {
		key := keyOf(r)
		if !s.apart(r) || chosen[key] || now.Before(s.of[key].next) {
			return false
		}
		chosen[key] = true
		return true
	}
}

// answered notes that the API answered a request with the record.
func (s *suspects) answered(r meter.Record, alone bool) {
	if !s.alive { // an outage is over, perhaps
		s.alive = true
		for _, of := range s.of {
			of.next = time.Time{}
		}
	}
	delete(s.failing, r.UUID)
	of := s.of[keyOf(r)]
	if of == nil || !alone {
		return
	}
	of.innocent = true
	if of.failed[r.UUID] || len(of.failed) == 0 { // what failed it is over
		of.end("the SKU is delivered again")
		delete(s.of, keyOf(r))
	}
}

// failedTogether notes that a request with the records failed. If that goes on for one
// of them, their SKUs come under suspicion. In an outage the SKUs of one request are
// enough: more suspects would tell nothing until the API answers.
func (s *suspects) failedTogether(records []meter.Record, now time.Time) {
	if s.failing == nil || len(s.failing) > mostFailing {
		s.failing = make(map[string]time.Time)
	}
	goesOn := false
	for _, r := range records {
		since, ok := s.failing[r.UUID]
		if !ok {
			s.failing[r.UUID] = now
			continue
		}
		goesOn = goesOn || now.Sub(since) >= togetherMax
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
	s.alive = false
}

// failedAlone notes that a request with this record only failed. It returns the
// suspect if the API works otherwise, and nil if that is not known.
func (s *suspects) failedAlone(r meter.Record, now time.Time) *suspect {
	of := s.of[keyOf(r)]
	if of == nil {
		return nil
	}
	if len(of.failed) < mostFailing {
		of.failed[r.UUID] = true
	}
	of.next = now.Add(suspectPause)
	if !s.alive {
		return nil
	}
	return of
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
