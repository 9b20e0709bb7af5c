package agent

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

const peakSKU = "dn2ppppppppppppppppp"

// peakRule counts the largest size of each hour and key. The key is the last digit
// of the line's number.
const peakRule = `  - name: largest
    when: line contains "sent" and not (line contains "size=0 ")
    quantity: 'extract(line, "size=([0-9]+)")'
    sku_id: ` + peakSKU + `
    peak: {each: hour, key: 'extract(line, "^\\S+ [0-9]*([0-9]) ")'}
`

// gaugeOracle knows every sample that the applications have written.
type gaugeOracle struct {
	timed   bool // lines tell their own time
	samples []gaugeSample
}

// gaugeSample is a line that a gauge reads.
type gaugeSample struct {
	hour int64 // the beginning of the hour of its own time
	key  int
	size int64
	sure time.Time // when it was written whole to a log that is followed; zero if nobody can tell
}

func (o *gaugeOracle) add(at time.Time, number int, size int64) {
	if size > 0 {
		o.samples = append(o.samples, gaugeSample{meter.WindowAt(at, time.Hour).Start, number % 10, size, time.Time{}})
	}
}

// written notes when the latest n samples were written to a log.
func (o *gaugeOracle) written(since int, now time.Time) {
	for i := range o.samples[since:] {
		o.samples[since+i].sure = now
	}
}

// largest returns the largest size of each hour and key.
func (o *gaugeOracle) largest() map[gaugeSample]int64 {
	all := make(map[gaugeSample]int64)
	for _, s := range o.samples {
		at := gaugeSample{hour: s.hour, key: s.key}
		all[at] = max(all[at], s.size)
	}
	return all
}

// waitForPeaks lets time go by until the next stretch can be closed. It reports
// whether one is open.
func (s *simulation) waitForPeaks() bool {
	next, err := s.agent.meter.ledger.NextClosing(s.t.Context())
	s.check(err)
	if next.IsZero() {
		return false
	}
	s.ready(0)
	time.Sleep(max(time.Second, next.Sub(s.now())))
	return true
}

// keptPeaks returns the peaks of the ledger by their hours and sizes, with the times
// when they were closed. The ledger hashes keys, so that they are numbers in the order
// of its hashes. No stretch may be open.
func (s *simulation) keptPeaks() (peaks []gaugeSample) {
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "state", ledger.FileName))
	s.check(err)
	defer db.Close()
	rows, err := db.Query(`SELECT start, dense_rank() OVER (ORDER BY hash), amount, closed FROM peaks JOIN peak_stretches ON id = stretch_id`)
	s.check(err)
	defer rows.Close()
	for rows.Next() {
		var p gaugeSample
		var closed int64
		s.check(rows.Scan(&p.hour, &p.key, &p.size, &closed))
		if p.sure = time.Unix(closed, 0); closed == 0 {
			s.fail("the hour from %v is open in the end", time.Unix(p.hour, 0).UTC())
		}
		peaks = append(peaks, p)
	}
	s.check(rows.Err())
	return peaks
}

// latePeaks returns how many lines came after their stretch was closed.
func (s *simulation) latePeaks() (n int64) {
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "state", ledger.FileName))
	s.check(err)
	defer db.Close()
	err = db.QueryRow(`SELECT count FROM anomalies WHERE kind = ?`, meter.LatePeak).Scan(&n)
	if !errors.Is(err, sql.ErrNoRows) {
		s.check(err)
	}
	return n
}

// verifyPeaks checks that every peak of the ledger was billed once, or is known to be
// too old, and that peaks are those of the lines: exactly if no line was late and no
// clock was set.
func (s *simulation) verifyPeaks() {
	s.t.Helper()
	peaks, late := s.keptPeaks(), s.latePeaks()
	sum, best := int64(0), make(map[int]int64)
	for _, p := range peaks {
		sum += p.size
		best[p.key] = max(best[p.key], p.size)
	}
	if got := s.billed(peakSKU) + s.lost()[peakSKU]; got != sum {
		s.fail("the peaks come to %d, and %d were billed", sum, got)
	}
	if late > 0 {
		s.verifyLatePeaks(peaks)
		return
	}
	want := make(map[int]int64) // of all hours
	for at, size := range s.gauge.largest() {
		want[at.key] = max(want[at.key], size)
	}
	if a, b := sizes(best), sizes(want); !slices.Equal(a, b) {
		s.fail("no line was late, and the largest sizes of the keys are %v, want %v", a, b)
	}
	if !s.gauge.timed || s.set {
		return
	}
	if a, b := hourly(peaks), hourly(s.gauge.peaks()); !slices.Equal(a, b) {
		s.fail("no line was late, and the peaks are\n%s\nwant\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

// verifyLatePeaks checks the peaks where lines came late. With times of their own, a
// line that was written within the ten minutes is in, unless the reader was so far
// behind that its hour was closed without it.
func (s *simulation) verifyLatePeaks(peaks []gaugeSample) {
	s.t.Helper()
	if !s.gauge.timed || s.set {
		return
	}
	most := make(map[int64]int64) // of all keys, by hour
	least := make(map[int64]int64)
	for _, line := range s.gauge.samples {
		most[line.hour] = max(most[line.hour], line.size)
		if end := time.Unix(line.hour, 0).Add(70*time.Minute - inTime); !line.sure.IsZero() && line.sure.Before(end) {
			least[line.hour] = max(least[line.hour], line.size)
		}
	}
	got, behind := make(map[int64]int64), make(map[int64]bool)
	for _, p := range peaks {
		got[p.hour] = max(got[p.hour], p.size)
		age := p.sure.Sub(time.Unix(p.hour, 0).Add(time.Hour))
		behind[p.hour] = age >= meter.LateAfter && age < meter.UsableFor
	}
	for hour, size := range most {
		if got[hour] > size || got[hour] < least[hour] && !behind[hour] {
			s.fail("the peak of the hour from %v is %d, want %d to %d", time.Unix(hour, 0).UTC(), got[hour], least[hour], size)
		}
	}
}

// inTime is how long before the end of the ten minutes a line must be written so that
// a reader that polls has it.
const inTime = 10 * time.Second

// peaks returns the largest samples.
func (o *gaugeOracle) peaks() (all []gaugeSample) {
	for at, size := range o.largest() {
		at.size = size
		all = append(all, at)
	}
	return all
}

// sizes returns the values of a map in order.
func sizes(of map[int]int64) (all []int64) {
	for _, size := range of {
		all = append(all, size)
	}
	slices.Sort(all)
	return all
}

// hourly returns the sizes of each hour in order.
func hourly(peaks []gaugeSample) (all []string) {
	for _, p := range peaks {
		all = append(all, fmt.Sprintf("%d %03d", p.hour, p.size))
	}
	slices.Sort(all)
	return all
}
