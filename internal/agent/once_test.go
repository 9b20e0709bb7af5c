package agent

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
)

func TestOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.sent("a.log", 3)
	s.sent("b.log", 2)
	s.write("b.log", "mail sent, and the line goes on")
	summary := s.once()
	var quantity int64
	for _, line := range summary.Settled {
		if line.SKU != sku || line.State != meter.Accepted {
			t.Errorf("%+v", line)
		}
		quantity += line.Quantity
	}
	if quantity != 5 || !summary.AllAccepted() {
		t.Errorf("%d accepted of 5: %+v", quantity, summary)
	}
	s.wantBilled(sku, 5)
	if again := s.once(); len(again.Settled) != 0 || !again.AllAccepted() {
		t.Errorf("with nothing new it came to %+v", again)
	}
	s.write("b.log", " to here\n")
	s.sent("a.log", 1)
	s.sent("c.log", 1)
	s.once()
	s.wantBilled(sku, 8)
}

func TestTwoSourcesOnOneFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, `
sources:
  - {name: all, path: DIR/logs/*.log}
  - {name: json, path: DIR/logs/a.log, format: json}
rules:
  - {name: anywhere, when: 'line contains "sent"', sku_id: `+sku+`}
  - {name: of-all, source: all, when: 'line contains "sent"', sku_id: all}
  - {name: of-json, source: json, when: 'fields.event == "sent"', sku_id: json}
`)
	s.write("a.log", strings.Repeat(`{"event":"sent"}`+"\n", 3)+"sent, and no JSON\n")
	s.sent("b.log", 10)
	s.once()
	s.wantBilled(sku, 14) // a rule counts a line once, whatever number of sources has it
	s.wantBilled("all", 14)
	s.wantBilled("json", 3)
}

func TestStartAtEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, strings.Replace(oneRule, "*.log\n", "*.log\n    start_at: end\n", 1))
	s.sent("old.log", 100)
	if summary := s.once(); len(summary.Settled) != 0 {
		t.Errorf("what was there before came to %+v", summary)
	}
	s.sent("old.log", 2)
	s.sent("new.log", 3) // not there at the first start
	s.once()
	s.wantBilled(sku, 5)
}

const timed = `
sources:
  - path: DIR/logs/*.log
    format: json
    timestamp: {field: ts, layout: rfc3339}
rules:
  - {name: mails, when: 'fields.event == "sent"', sku_id: ` + sku + `}
`

func event(at time.Time) string {
	return fmt.Sprintf(`{"ts":%q,"event":"sent"}`+"\n", at.UTC().Format(time.RFC3339Nano))
}

// Usage is billed in the window of its event; for what comes late another
// record of that window is opened.
func TestEventsAreBilledWhenTheyHappened(t *testing.T) {
	t.Parallel()
	s := newSite(t, timed)
	base := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
	for i := range 5 {
		s.write("a.log", event(base.Add(time.Duration(i)*300*time.Millisecond))) // 4 and 1
	}
	s.once()
	byWindow := func() map[time.Duration][]int64 {
		found := make(map[time.Duration][]int64)
		for _, r := range s.box.Records() {
			after := r.Timestamp.Sub(base)
			found[after] = append(found[after], r.Quantity)
		}
		return found
	}
	if got, want := byWindow(), map[time.Duration][]int64{0: {4}, time.Second: {1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("billed are %v, want %v", got, want)
	}
	s.write("a.log", event(base.Add(time.Second))+event(base)+event(base.Add(5*time.Second))+event(base))
	s.once()
	if got, want := byWindow(), map[time.Duration][]int64{0: {4, 2}, time.Second: {1, 1}, 5 * time.Second: {1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("billed are %v, want %v", got, want)
	}
}

// A window that has not begun cannot be billed; it stays open for later.
func TestOnceLeavesTheFutureOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t, timed)
	s.write("a.log", event(time.Now().Add(3*time.Minute))+event(time.Now().Add(-time.Minute)))
	summary := s.once()
	if summary.Open != 1 || summary.Sealed != 0 || summary.AllAccepted() {
		t.Errorf("%+v, want one record open", summary)
	}
	s.wantBilled(sku, 1)
	if n := s.counted(sku); n != 2 {
		t.Errorf("%d are counted, want 2", n)
	}
}

const gib = `
sources:
  - {path: DIR/logs/*.log, format: json}
rules:
  - {name: exports, when: 'fields.bytes != nil', sku_id: ` + gibSKU + `, quantity: fields.bytes, per: 1000}
`

// Parts of a unit are neither lost nor rounded, over any number of runs.
func TestPerOverRestarts(t *testing.T) {
	t.Parallel()
	s := newSite(t, gib)
	total := int64(0)
	for i, amount := range []int64{1, 998, 1, 999, 2500, 1, 700, 800} {
		s.write(fmt.Sprintf("%d.log", i%3), fmt.Sprintf(`{"bytes":%d}`+"\n", amount))
		total += amount
		s.once()
		s.wantBilled(gibSKU, total/1000)
	}
}

func TestOnceTellsWhatWasRefused(t *testing.T) {
	t.Parallel()
	s := newSiteWith(t, oneRule+`
  - {name: others, when: 'line contains "queued"', sku_id: unknown}
`, sandbox.Config{Products: map[string][]string{product: {sku}}})
	s.sent("a.log", 3)
	summary := s.once()
	if summary.AllAccepted() || summary.Sealed != 0 || len(summary.Settled) != 2 { // by SKU and state
		t.Fatalf("%+v", summary)
	}
	for _, line := range summary.Settled {
		refused := line.SKU == "unknown"
		if refused != (line.State == meter.Refused) || refused != (line.Reason != "") || line.Quantity != 3 {
			t.Errorf("%+v", line)
		}
	}
	if again := s.once(); len(again.Settled) != 0 {
		t.Errorf("refused records are settled again: %+v", again)
	}
}

func TestOnceGivesUpAndGoesOnNextTime(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.sent("a.log", 3)
	s.box.SetFaults(sandbox.Fault{Kind: sandbox.FaultStatus, Status: 503})
	a, end := s.agent()
	summary, err := a.Once(t.Context(), time.Millisecond)
	end()
	if err != nil || summary.Sealed != 1 || summary.AllAccepted() {
		t.Errorf("%+v, %v", summary, err)
	}
	s.box.SetFaults()
	s.alter(`UPDATE records SET not_before = ''`) // as if it were later
	if summary := s.once(); !summary.AllAccepted() {
		t.Errorf("%+v", summary)
	}
	s.wantBilled(sku, 3)
}

func TestOnceOnABrokenLedger(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.write("a.log", "mail queued\n")
	s.once()
	s.alter(breakCommits)
	s.sent("a.log", 3)
	a, end := s.agent()
	_, err := a.Once(t.Context(), time.Second)
	end()
	if err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("%v", err)
	}
	s.alter(repairCommits)
	s.once()
	s.wantBilled(sku, 3)
}

// What was rotated while nobody watched is counted to its end.
func TestOnceOverRotations(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.sent("a.log", 3)
	s.once()
	s.sent("a.log", 4)
	s.rename("a.log", "a.log.2")
	s.sent("a.log", 5)
	s.rename("a.log", "a.log.1")
	s.sent("a.log", 6)
	s.once()
	s.wantBilled(sku, 18)
}
