package agent

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// timesOff is the code of the problem that a source's own times cannot be right.
const timesOff = "times_off"

const (
	offBy       = 10*time.Minute - 30*time.Second // an offset of less is a delay, or a clock that is a little wrong
	fewSamples  = 5
	mostSamples = 20
	samplePause = time.Second
	mostSpread  = time.Minute // offsets that differ by more are not always the same
)

// clockWatch compares the own times of freshly written lines with the clock.
// A forgotten time zone puts every line off by the same amount. A job that logs
// when it began is off by its duration, which differs.
type clockWatch struct {
	sources    map[string]*offsets
	timestamps map[string]*fields.Timestamp // of the sources that have one
	machine    func() *time.Location        // the zone that the machine is set to; nil if unknown
}

func newClockWatch(config *config.Config) clockWatch {
	w := clockWatch{timestamps: make(map[string]*fields.Timestamp), machine: machineZone}
	for _, s := range config.Sources {
		if s.Timestamp != nil {
			w.timestamps[s.Name] = s.Timestamp
		}
	}
	return w
}

// machineZone returns the zone that this machine is set to, by its name. It returns
// nil if the name is unknown.
func machineZone() *time.Location {
	target, err := os.Readlink("/etc/localtime")
	_, name, found := strings.Cut(target, "zoneinfo/")
	if err != nil || !found {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return zone
}

// offsets are the last differences between a source's own times and the clock.
type offsets struct {
	samples []sample
	off     time.Duration // by how much the source is off, or 0
}

type sample struct {
	at     time.Time // of the reading
	offset time.Duration
}

// see takes the times of a block that was written shortly before its reading.
func (w *clockWatch) see(times []rules.EventTime, readAt time.Time) {
	for _, t := range times {
		if w.sources == nil {
			w.sources = make(map[string]*offsets)
		}
		o := w.sources[t.Source]
		if o == nil {
			o = new(offsets)
			w.sources[t.Source] = o
		}
		o.add(sample{readAt, t.At.Sub(readAt)})
	}
}

func (o *offsets) add(s sample) {
	if n := len(o.samples); n > 0 {
		if since := s.at.Sub(o.samples[n-1].at); since < 0 {
			o.samples = nil // the clock was set back
		} else if since < samplePause {
			return
		}
	}
	if len(o.samples) == mostSamples {
		o.samples = slices.Delete(o.samples, 0, 1)
	}
	o.samples = append(o.samples, s)
	o.judge()
}

// judge finds out whether the offsets are alike. What is alike depends on how
// long they were watched: of jobs that began together and end one after the
// other, the offsets differ by as much as their ends.
func (o *offsets) judge() {
	n := len(o.samples)
	if n < fewSamples {
		return
	}
	sorted := make([]time.Duration, n)
	for i, s := range o.samples {
		sorted[i] = s.offset
	}
	slices.Sort(sorted)
	middle := sorted[n/2]
	apart := n / 10 // this many at each end may be delayed
	spread := sorted[n-1-apart] - sorted[apart]
	alike := min(o.samples[n-1].at.Sub(o.samples[0].at)/4, mostSpread)
	switch {
	case middle.Abs() < offBy || o.off != 0 && spread > 2*mostSpread:
		o.off = 0
	case spread <= alike:
		o.off = middle.Round(time.Minute)
	}
}

// problems returns which sources are off.
func (w *clockWatch) problems(now time.Time) (list []meter.Problem) {
	for name, o := range w.sources {
		if o.off != 0 {
			list = append(list, w.problem(name, o.off, now))
		}
	}
	slices.SortFunc(list, func(a, b meter.Problem) int { return cmp.Compare(a.Subject, b.Subject) })
	return list
}

func (w *clockWatch) problem(source string, off time.Duration, now time.Time) meter.Problem {
	p := meter.Problem{Code: timesOff, Subject: source}
	relation, fate := "behind", "what is over an hour old, the API refuses"
	if off > 0 {
		relation, fate = "ahead of", "its events count at the time of reading"
	}
	p.Message = fmt.Sprintf("the times in source %s are always %s %s the clock: %s", source, durationText(off.Abs()), relation, fate)
	stamp := w.timestamps[source]
	switch {
	case off%(30*time.Minute) != 0:
		p.Hint = "see the clock of the machine that writes the log; if the time is when the event began, take the time when it ended, or leave `timestamp:` out"
	case stamp == nil || stamp.NamesZone():
		p.Hint = "the log names the zone of its times, and that zone is wrong: let the application write its times right, or leave `timestamp:` out"
	default:
		p.Hint = w.zoneHint(stamp, off, now)
	}
	return p
}

// zoneHint returns which location the source's timestamp needs.
func (w *clockWatch) zoneHint(stamp *fields.Timestamp, off time.Duration, now time.Time) string {
	_, read := now.In(stamp.Location).Zone()
	written := time.Duration(read)*time.Second + off
	const set = "set `location:` in the source's timestamp to the zone that the application writes in"
	if zone := w.machine(); zone != nil {
		if _, offset := now.In(zone).Zone(); time.Duration(offset)*time.Second == written {
			return set + ", perhaps this machine's: `location: " + zone.String() + "`"
		}
	}
	return set + ", where it is " + now.Add(written).UTC().Format("15:04") + " at " + now.UTC().Format("15:04") + " UTC; a zone is named as in `location: Europe/Berlin`"
}

// durationText returns a duration of whole minutes without the parts that are zero.
func durationText(d time.Duration) string {
	hours, minutes := d/time.Hour, d%time.Hour/time.Minute
	switch {
	case minutes == 0:
		return fmt.Sprintf("%dh", hours)
	case hours == 0:
		return fmt.Sprintf("%dm", minutes)
	}
	return fmt.Sprintf("%dh%dm", hours, minutes)
}

// freshness knows which generations were read to their end earlier. Lines that are
// read from one of them later were written since.
type freshness struct {
	reading, read map[int64]bool
	at            time.Time // when everything was last read to its end
}

const (
	mostFresh = 4096            // generations that are remembered
	freshFor  = 2 * time.Minute // what is read later may have been written long before
)

// fresh reports whether a block's lines were written shortly before its reading.
func (f *freshness) fresh(b meter.Block) bool {
	if f.reading == nil {
		f.reading, f.read = make(map[int64]bool), make(map[int64]bool)
	}
	f.reading[b.Generation] = true
	since := b.ReadAt.Sub(f.at)
	return f.read[b.Generation] && since >= 0 && since < freshFor
}

// drained notes that everything was read to its end.
func (f *freshness) drained(now time.Time) {
	f.at = now
	if len(f.reading) == 0 {
		return
	}
	if len(f.read)+len(f.reading) > mostFresh {
		clear(f.read)
	}
	for g := range f.reading {
		f.read[g] = true
	}
	clear(f.reading)
}
