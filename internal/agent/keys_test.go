package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// userRule counts each user of an hour once.
const userRule = `
sources:
  - {path: DIR/logs/*.log, format: logfmt, timestamp: {field: ts, layout: rfc3339}LATE}
rules:
  - name: users
    when: fields.user != nil
    sku_id: ` + sku + `
    once: {key: fields.user, each: hour}
`

// newUsers starts an agent that counts users.
func newUsers(t *testing.T, late string, start time.Time) *watched {
	s := newSite(t, strings.Replace(userRule, "LATE", late, 1))
	s.config.Interval = time.Minute
	w := &watched{site: s}
	w.startAt(start)
	return w
}

// user writes a line of a user with its own time, which has the agent read it.
func (w *watched) user(now, own time.Time, name string) {
	w.t.Helper()
	w.write("a.log", fmt.Sprintf("ts=%s user=%s\n", own.UTC().Format(time.RFC3339), name))
	w.at(now)
	w.at(now.Add(time.Second))
}

// changed restarts the agent with a changed rule.
func (w *watched) changed(now time.Time, old, new string) {
	w.t.Helper()
	w.end()
	interval := w.config.Interval
	w.configure(strings.NewReplacer("LATE", "", old, new).Replace(userRule))
	w.config.Interval = interval
	w.startAt(now)
}

// wantKeys checks how many users were counted for a SKU, and how many lines were
// reported as of the kind.
func (w *watched) wantKeys(sku string, users int64, kind meter.AnomalyKind, lines int64) {
	w.t.Helper()
	got := int64(0)
	for _, a := range must(w.agent.meter.ledger.Anomalies(w.t.Context())) {
		if a.Kind == kind {
			got += a.Count
		}
	}
	if n := w.counted(sku); n != users || got != lines {
		w.t.Errorf("%d users of %s and %d lines are %s, want %d and %d", n, sku, got, kind, users, lines)
	}
}

// A reload keeps what a rule remembers as long as its name, key and stretch stay.
func TestKeysOverReload(t *testing.T) {
	w := newUsers(t, "", clockAt(0, 30))
	w.user(clockAt(1, 0), clockAt(1, 0), "ann")
	w.user(clockAt(2, 0), clockAt(2, 0), "bob")
	w.changed(clockAt(3, 0), sku, gibSKU)
	w.user(clockAt(4, 0), clockAt(4, 0), "ann") // who was billed under another SKU
	w.user(clockAt(5, 0), clockAt(5, 0), "eve")
	w.wantKeys(sku, 2, meter.Repeated, 1)
	w.wantKeys(gibSKU, 1, meter.Repeated, 1)
	w.changed(clockAt(6, 0), "name: users", "name: people")
	w.user(clockAt(7, 0), clockAt(7, 0), "ann")
	w.wantKeys(sku, 3, meter.Repeated, 1)
	w.changed(clockAt(8, 0), "each: hour", "each: day")
	w.user(clockAt(9, 0), clockAt(9, 0), "ann")
	w.wantKeys(sku, 4, meter.Repeated, 1)
}

// After the keys of an hour are forgotten its lines count nothing, and are reported.
// Before that they are no repeats.
func TestLateKeys(t *testing.T) {
	w := newUsers(t, "", clockAt(0, 30))
	w.user(clockAt(1, 0), clockAt(1, 0), "ann")
	forget := func(now time.Time) {
		t.Helper()
		if _, err := w.agent.meter.ledger.ForgetKeys(t.Context(), now.Add(-meter.UsableFor)); err != nil {
			t.Fatal(err)
		}
	}
	forget(clockAt(119, 0))
	w.user(clockAt(119, 0), clockAt(30, 0), "ann")
	w.user(clockAt(119, 10), clockAt(31, 0), "bob")
	w.wantKeys(sku, 2, meter.Repeated, 1)
	forget(clockAt(300, 0))
	w.user(clockAt(300, 0), clockAt(32, 0), "ann")
	w.user(clockAt(300, 10), clockAt(33, 0), "eve")
	w.user(clockAt(300, 20), clockAt(300, 0), "eve")
	w.wantKeys(sku, 3, meter.LateKey, 1)
	w.wantKeys(sku, 3, meter.Repeated, 2) // the agent remembers ann, who counted in this run
}

// With late: read an event that is too old counts at the time of reading. Its key is of
// the hour of its own time.
func TestKeysOfLateEvents(t *testing.T) {
	w := newUsers(t, ", late: read", clockAt(0, 30))
	w.user(clockAt(110, 0), clockAt(10, 0), "ann")
	w.user(clockAt(111, 0), clockAt(111, 0), "ann")
	w.user(clockAt(112, 0), clockAt(11, 0), "ann")
	w.user(clockAt(113, 0), clockAt(112, 0), "ann")
	w.wantKeys(sku, 2, meter.Repeated, 2)
	w.at(clockAt(130, 0))
	for _, r := range w.records(meter.Sealed) {
		if r.Timestamp.Before(clockAt(110, 0)) {
			t.Errorf("a record is of %v", r.Timestamp)
		}
	}
}
