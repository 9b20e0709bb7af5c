package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/journal/journaltest"
	"github.com/meterlog/meterlog/internal/journalctl"
	"github.com/meterlog/meterlog/internal/meter"
)

// gauged counts the most sessions of each hour.
const gauged = `
sources:
  - {path: DIR/logs/*.log, format: logfmtTIMESTAMP}
rules:
  - name: sessions
    when: fields.sessions != nil
    quantity: fields.sessions
    sku_id: ` + sku + `
    peak: {each: hour}
`

const (
	readTime = ""
	ownTime  = ", timestamp: {field: ts, layout: rfc3339}"
)

// newGauged starts an agent that reads a gauge.
func newGauged(t *testing.T, timestamp string, start time.Time) *watched {
	s := newSite(t, strings.Replace(gauged, "TIMESTAMP", timestamp, 1))
	s.config.Interval = time.Minute
	w := &watched{site: s}
	w.startAt(start)
	return w
}

// noonHour is when the hour of most tests of peaks begins.
var noonHour = halfPast.Truncate(time.Hour)

// clockAt returns a time of the noon hour, or after it.
func clockAt(minutes, seconds int) time.Time {
	return noonHour.Add(time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second)
}

// sessions writes a sample with its own time, which has the agent read it.
func (w *watched) sessions(now, own time.Time, n int) {
	w.t.Helper()
	w.write("a.log", sessionsLine(own, n))
	w.at(now)
	w.at(now.Add(time.Second))
}

func sessionsLine(own time.Time, n int) string {
	return fmt.Sprintf("ts=%s sessions=%d\n", own.UTC().Format(time.RFC3339), n)
}

// wantLate checks how many lines came after their stretch was closed.
func (w *watched) wantLate(want int64) {
	w.t.Helper()
	got := int64(0)
	for _, a := range must(w.agent.meter.ledger.Anomalies(w.t.Context())) {
		if a.Kind == meter.LatePeak && a.Subject == "sessions" {
			got = a.Count
		}
	}
	if got != want {
		w.t.Errorf("%d lines were late, want %d", got, want)
	}
}

// Without times of their own lines belong to the hour in which they are read. The
// hour is closed at its end.
func TestPeakByTheTimeOfReading(t *testing.T) {
	w := newGauged(t, readTime, clockAt(0, 30))
	w.sessions(clockAt(1, 0), clockAt(50, 0), 5)
	w.sessions(clockAt(20, 0), clockAt(50, 0), 9)
	w.sessions(clockAt(59, 57), clockAt(50, 0), 7)
	w.want(meter.Sealed)
	w.want(meter.Open)
	w.at(clockAt(60, 0))
	w.want(meter.Sealed, 9)
	if r := w.records(meter.Sealed)[0]; !r.Timestamp.Equal(clockAt(59, 59)) {
		t.Errorf("it is of %v", r.Timestamp)
	}
	w.sessions(clockAt(61, 0), clockAt(59, 0), 11)
	w.at(clockAt(120, 0))
	w.want(meter.Sealed, 9, 11)
	w.wantLate(0)
}

// With times of their own lines have ten minutes to come. Later lines count nothing.
func TestPeakByOwnTime(t *testing.T) {
	w := newGauged(t, ownTime, clockAt(0, 30))
	w.sessions(clockAt(30, 0), clockAt(29, 0), 5)
	w.sessions(clockAt(62, 0), clockAt(61, 0), 30)
	w.sessions(clockAt(69, 50), clockAt(59, 59), 8)
	w.want(meter.Sealed)
	if at := w.agent.meter.wakeAt(clockAt(69, 55)); !at.Equal(clockAt(70, 0)) {
		t.Errorf("it wakes at %v", at)
	}
	w.at(clockAt(70, 0))
	w.want(meter.Sealed, 8)
	w.sessions(clockAt(70, 5), clockAt(59, 59), 100)
	w.sessions(clockAt(70, 10), clockAt(10, 0), 100)
	w.wantLate(2)
	w.at(clockAt(130, 1))
	w.want(meter.Sealed, 8, 30)
}

// An agent that was down reads what was written meanwhile before it closes a
// stretch, however much that is.
func TestPeakAfterADownTime(t *testing.T) {
	w := newGauged(t, ownTime, clockAt(0, 30))
	w.sessions(clockAt(10, 0), clockAt(10, 0), 5)
	w.end()
	w.write("a.log", strings.Repeat(sessionsLine(clockAt(40, 0), 6), 20_000)+sessionsLine(clockAt(59, 0), 77)+sessionsLine(clockAt(61, 0), 9))
	w.startAt(clockAt(90, 0))
	for i := range 20 {
		w.at(clockAt(90, i))
	}
	w.want(meter.Sealed, 77)
	w.wantLate(0)
}

// A stretch that is no longer read in time is closed with what was read, before the
// API takes no record of it. One that is too old waits for the reader.
func TestPeakClock(t *testing.T) {
	c := &peakClock{interval: time.Minute}
	first := c.closing(clockAt(0, 0))
	if !first.Read.IsZero() || !first.Over.IsZero() {
		t.Errorf("at the start %+v are closed", first)
	}
	if later := c.closing(clockAt(1, 0)); !later.Over.IsZero() {
		t.Errorf("within a minute %+v are closed", later)
	}
	behind := c.closing(clockAt(1, 1))
	if !behind.Over.Equal(clockAt(1-55, 1)) || !behind.From.Equal(clockAt(1-60, 1)) || !behind.Read.IsZero() {
		t.Errorf("after a minute %+v are closed", behind)
	}
	c.drained(clockAt(2, 0))
	c.next = clockAt(2, 0)
	if all := c.closing(clockAt(2, 1)); !all.Read.Equal(clockAt(2, 0)) || !all.Over.IsZero() || !c.due() {
		t.Errorf("when all is read %+v are closed", all)
	}
	if back := c.closing(clockAt(-30, 0)); !back.Read.Equal(clockAt(-30, 0)) {
		t.Errorf("after the clock was set back %+v are closed", back)
	}
	if c.due() {
		t.Error("after the clock was set back a stretch is due")
	}
}

// A clock that was ahead has closed an hour: its lines count nothing until it is over.
// Nothing counts twice.
func TestPeakOverClockSteps(t *testing.T) {
	w := newGauged(t, readTime, clockAt(0, 30))
	w.sessions(clockAt(10, 0), clockAt(10, 0), 5)
	w.at(clockAt(130, 0)) // ahead, in the hour of 14:00
	w.want(meter.Sealed, 5)
	w.sessions(clockAt(131, 0), clockAt(11, 0), 6)
	w.sessions(clockAt(11, 0), clockAt(11, 0), 7) // right again
	w.wantLate(1)
	w.sessions(clockAt(62, 0), clockAt(62, 0), 8) // the hour of 13:00 was never closed
	w.at(clockAt(120, 0))
	w.want(meter.Sealed, 5, 8)
	w.sessions(clockAt(121, 0), clockAt(121, 0), 4)
	w.at(clockAt(180, 0))
	w.want(meter.Sealed, 5, 8, 6)
	w.wantLate(1)
}

// A rule that is removed while a stretch is open counts what it has seen, at the end.
// A rule with another name has a peak of its own.
func TestPeakOverReload(t *testing.T) {
	w := newGauged(t, readTime, clockAt(0, 30))
	w.sessions(clockAt(10, 0), clockAt(10, 0), 5)
	w.end()
	interval := w.config.Interval
	w.configure(strings.NewReplacer("TIMESTAMP", "", "name: sessions", "name: renamed", sku, gibSKU).Replace(gauged))
	w.config.Interval = interval
	w.startAt(clockAt(20, 0))
	w.sessions(clockAt(21, 0), clockAt(21, 0), 3)
	w.at(clockAt(60, 1))
	w.at(clockAt(60, 2))
	if a, b := w.counted(sku), w.counted(gibSKU); a != 5 || b != 3 {
		t.Errorf("%d of the rule that is gone and %d of the new one", a, b)
	}
}

// Over a reload of an unchanged rule the hour has one peak.
func TestPeakOverRestart(t *testing.T) {
	w := newGauged(t, readTime, clockAt(0, 30))
	for i, n := range []int{4, 9, 6} {
		w.sessions(clockAt(10*i+1, 0), clockAt(0, 0), n)
		w.end()
		w.startAt(clockAt(10*i+5, 0))
	}
	w.at(clockAt(60, 1))
	w.want(meter.Sealed, 9)
}

// Each key has a peak, and what a table chooses is of the largest line.
func TestPeakOfKeysWithTable(t *testing.T) {
	s := newSite(t, `
sources:
  - {path: DIR/logs/*.log, format: json}
rules:
  - name: storage
    when: fields.gib != nil
    quantity: fields.gib
    decimals: 1
    max: 100
    peak: {each: day, key: fields.tenant, location: Europe/Moscow}
    sku_id: {by: fields.tier, map: {hot: `+sku+`}, else: `+gibSKU+`}
`)
	s.config.Interval = 30 * time.Minute
	w := &watched{site: s}
	w.startAt(clockAt(0, 30))
	w.write("a.log", `{"tenant":"a","gib":1.5,"tier":"hot"}
{"tenant":"a","gib":4.5,"tier":"cold"}
{"tenant":"b","gib":2,"tier":"hot"}
{"tenant":"b","gib":101,"tier":"hot"}
{"gib":3,"tier":"hot"}
`)
	w.write("b.log", `{"tenant":"a","gib":4.4,"tier":"hot"}
{"tenant":"b","gib":2.9,"tier":"hot"}
`)
	w.at(clockAt(1, 0))
	w.at(clockAt(1, 1))
	midnight := time.Date(2026, 3, 14, 21, 0, 0, 0, time.UTC) // in Moscow
	w.at(midnight.Add(-time.Second))
	w.want(meter.Open)
	w.at(midnight)
	if hot, cold := w.counted(sku), w.counted(gibSKU); hot != 2 || cold != 4 {
		t.Errorf("hot %d, cold %d", hot, cold)
	}
	for _, a := range must(w.agent.meter.ledger.Anomalies(t.Context())) {
		if a.Kind != meter.RuleError || a.Count != 2 {
			t.Errorf("%+v", a)
		}
	}
}

// A run with --once closes what is over by the clock, and leaves the rest open.
func TestPeakOnce(t *testing.T) {
	s := newSite(t, strings.Replace(gauged, "TIMESTAMP", ownTime, 1))
	hour := time.Now().Truncate(time.Hour)
	if time.Until(hour.Add(time.Hour)) < 10*time.Second {
		t.Skip("the hour is nearly over")
	}
	s.write("a.log", sessionsLine(hour.Add(-time.Minute), 5)+sessionsLine(hour.Add(-2*time.Minute), 8)+sessionsLine(hour, 3))
	if summary := s.once(); !summary.AllAccepted() {
		t.Errorf("%+v", summary)
	}
	s.wantBilled(sku, 8)
	s.write("a.log", sessionsLine(hour.Add(time.Second), 4)+sessionsLine(hour.Add(-time.Second), 9))
	s.once()
	s.wantBilled(sku, 8)
	if r := s.box.Records()[0]; !r.Timestamp.Equal(hour.Add(-time.Second)) {
		t.Errorf("%+v", r)
	}
}

// A journal is read by another process, which may be slow to begin. After a down time
// no stretch is closed before it has told what it has.
func TestPeakOfASlowJournal(t *testing.T) {
	s := newSite(t, `
sources: [{name: app, journal: {unit: app}, format: logfmt}]
rules: [{name: sessions, when: fields.sessions != nil, quantity: fields.sessions, sku_id: `+sku+`, peak: {each: hour}}]
`)
	j := journaltest.New(journalMachine)
	printed := func(at time.Time, n int) {
		j.SetClock(at.Add(-time.Millisecond))
		j.Write("_SYSTEMD_UNIT=app.service", fmt.Sprintf("MESSAGE=sessions=%d", n))
	}
	begin := make(chan struct{})
	s.machine = machineOf(j)
	s.machine.Run = func(ctx context.Context, args []string, complain func(string)) (*journalctl.Process, error) {
		select {
		case <-begin:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return j.Run(ctx, args, complain)
	}
	s.config.Interval = time.Minute
	w := &watched{site: s}
	printed(clockAt(10, 0), 5)
	close(begin)
	w.startAt(clockAt(11, 0))
	open := func() int64 {
		w.at(w.clock.Add(time.Second))
		for _, p := range must(w.agent.meter.ledger.OpenPeaks(t.Context())) {
			return p.Amount.Int64()
		}
		return 0
	}
	until(t, "the first entry is counted", func() bool { return open() == 5 })
	w.end()
	printed(clockAt(59, 0), 77)
	begin = make(chan struct{})
	w.startAt(clockAt(90, 0))
	for i := range 9 {
		w.at(clockAt(90, i+1))
	}
	w.want(meter.Sealed)
	if at := w.agent.meter.wakeAt(w.clock); !at.After(w.clock) {
		t.Error("the loop does not sleep")
	}
	close(begin)
	w.clock = clockAt(90, 0)
	until(t, "the second entry is counted", func() bool { return open() == 77 || w.counted(sku) > 0 })
	w.at(w.clock.Add(journalPatience))
	w.at(w.clock.Add(time.Second))
	w.want(meter.Sealed, 77)
}
