package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// result is what the API has seen.
type result struct {
	start, ended time.Time
	rest         [2]int // seconds that are measured at rest
	outage       [2]int // seconds of the outage
	perSecond    []int  // requests
	records      int
	expired      int
	oldest       time.Duration // of an accepted record, from its timestamp
	agents       int
	left         int // records that never settled
	window, away time.Duration
	begins       time.Duration
	skus         int
}

func (r *result) begin(f *fleet) {
	*r = result{start: f.start, agents: f.setting.agents, window: f.interval, away: f.setting.outage, begins: f.setting.begins, skus: f.setting.skus}
	r.rest = [2]int{r.second(f.start.Add(warmUp * f.interval)), r.second(f.away[0])}
	r.outage = [2]int{r.second(f.away[0]), r.second(f.away[1])}
}

// caughtUp notes that nothing waits that the outage held back.
func (r *result) caughtUp(now time.Time) {
	if r.ended.IsZero() {
		r.ended = now
	}
}

func (r *result) second(t time.Time) int { return int(t.Sub(r.start) / time.Second) }

func (r *result) requested(now time.Time, requests int) {
	s := r.second(now)
	for len(r.perSecond) <= s {
		r.perSecond = append(r.perSecond, 0)
	}
	r.perSecond[s] += requests
}

func (r *result) accepted(age time.Duration, records int) {
	if age > meter.UsableFor {
		r.expired += records
		return
	}
	r.records += records
	r.oldest = max(r.oldest, age)
}

// rates are the requests a second of a stretch of seconds.
type rates struct {
	mean float64
	peak int
	at   int // the second of the peak, from the beginning of the stretch
}

func (r *result) rates(from, to int) (is rates) {
	sum := 0
	for i, n := range r.perSecond[from:min(to, len(r.perSecond))] {
		sum += n
		if n > is.peak {
			is.peak, is.at = n, i
		}
	}
	is.mean = float64(sum) / float64(max(to-from, 1))
	return is
}

func (r *result) atRest() rates { return r.rates(r.rest[0], r.rest[1]) }

// usual compares with the mean at rest. Of windows over a minute it compares with what
// the mean were if all requests of a window came within a minute.
func (r *result) usual(peak int) float64 {
	mean := r.atRest().mean * float64(max(r.window, time.Minute)) / float64(time.Minute)
	return float64(peak) / mean
}

// chance returns by how much the busiest second may exceed a multiple of the mean by
// chance alone. Agents of one kind reach their multiple on average: nothing but chance
// is left. Agents of several kinds stay below it.
func (r *result) chance(multiple float64) float64 {
	if r.skus == 0 {
		return 0
	}
	const deviations = 3 // of the busiest of some hundred seconds
	mean := float64(r.agents) / time.Minute.Seconds()
	return deviations * math.Sqrt(multiple*mean) / mean
}

func (r *result) print(w io.Writer) {
	rest, outage, back := r.atRest(), r.rates(r.outage[0], r.outage[1]), r.rates(r.outage[1], len(r.perSecond))
	kind := ""
	if r.skus > 0 {
		kind = fmt.Sprintf(" of %d SKUs", r.skus)
	}
	fmt.Fprintf(w, "%d agents%s, windows of %v, an outage of %v that begins %v into a window\n", r.agents, kind, r.window, r.away, r.begins)
	fmt.Fprintf(w, "at rest           %.0f requests a second, at most %d: %.2f × the mean\n", rest.mean, rest.peak, r.usual(rest.peak))
	if r.skus > 0 && r.skus <= meter.MaxRecords {
		fmt.Fprintf(w, "                  2.00 × on average in the first half of a minute; chance may add %.2f\n", r.chance(2))
	}
	fmt.Fprintf(w, "in the outage     %.0f attempts a second, at most %d: %.2f × the mean at rest\n", outage.mean, outage.peak, r.usual(outage.peak))
	fmt.Fprintf(w, "after the outage  at most %d requests a second: %.2f × the mean at rest, %d s after it\n", back.peak, r.usual(back.peak), back.at)
	fmt.Fprintf(w, "the last agent    has caught up %v after it\n", r.ended.Sub(r.start.Add(time.Duration(r.outage[1])*time.Second)).Round(time.Second))
	fmt.Fprintf(w, "records           %d accepted, the oldest %v old; %d expired, %d left\n", r.records, r.oldest.Round(time.Second), r.expired, r.left)
}

// broken lists the limits that were broken.
func (r *result) broken() (list []string) {
	limit := func(when string, peak int, multiple float64) {
		if ratio := r.usual(peak); ratio > multiple+r.chance(2*multiple) { // a request may be two halves
			list = append(list, fmt.Sprintf("%s a second has %.2f × the mean at rest, more than %g", when, ratio, multiple))
		}
	}
	limit("at rest", r.atRest().peak, 2)
	limit("in the outage", r.rates(r.outage[0], r.outage[1]).peak, 4)
	limit("after the outage", slices.Max(r.perSecond[r.outage[1]:]), 4)
	if r.expired > 0 || r.left > 0 {
		list = append(list, fmt.Sprintf("%d records have expired, %d were never accepted", r.expired, r.left))
	}
	return list
}
