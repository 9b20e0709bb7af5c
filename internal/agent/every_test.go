package agent

import (
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

const everyMinute = `
sources:
  - {name: up, every: 1m}
rules:
  - name: minutes
    when: true
    sku_id: ` + sku + `
`

// The event of a stretch counts in the window that the stretch is in, before that
// is sealed. What ends while no agent runs is missed, and nothing counts twice.
func TestEveryOverRestarts(t *testing.T) {
	s := newSite(t, everyMinute)
	s.config.Interval = time.Minute
	w := &watched{site: s}
	w.startAt(halfPast)
	w.at(halfPast.Add(29 * time.Second))
	w.want(meter.Open)
	w.at(halfPast.Add(31 * time.Second))
	w.want(meter.Sealed, 1)
	if r := w.records(meter.Sealed)[0]; r.Window.StartTime() != halfPast.Truncate(time.Minute) {
		t.Errorf("it counts in the window of %v", r.Window.StartTime())
	}
	w.at(halfPast.Add(91 * time.Second))
	w.want(meter.Sealed, 1, 1)
	w.end()
	w.startAt(halfPast.Add(5 * time.Minute)) // at 12:05:30: the stretches from 12:02 to 12:05 have ended
	w.at(halfPast.Add(5*time.Minute + 31*time.Second))
	w.want(meter.Sealed, 1, 1, 1)
	key := meter.AnomalyKey{Kind: meter.StretchMissed, Subject: "up"}
	anomalies := must(w.agent.meter.ledger.Anomalies(t.Context()))
	if len(anomalies) != 1 || anomalies[0].AnomalyKey != key || anomalies[0].Count != 3 {
		t.Errorf("missed: %+v", anomalies)
	}
	if at := w.agent.meter.wakeAt(w.clock); at.After(w.clock.Add(time.Minute)) {
		t.Errorf("the loop sleeps until %v", at)
	}
}
