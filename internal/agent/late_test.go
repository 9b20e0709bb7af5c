package agent

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// lateSource counts events that are too old for the API at the time of their reading.
const lateSource = `
sources:
  - path: DIR/logs/*.log
    timestamp: {pattern: '^(\S+)', layout: rfc3339}
    late: read
rules:
  - name: mails
    when: line contains "sent"
    sku_id: ` + sku + `
`

// hourSeed is the seed of a history in which the API takes nothing over an hour old.
const hourSeed = 2

// Wherever a kill comes between reading and the API's answer, an event that was too
// old counts once, at a time that the API takes, and no uuid comes with two times.
func TestLateReadOverKills(t *testing.T) {
	for last := range killSteps + 1 {
		for _, down := range []time.Duration{time.Second, 20 * time.Minute} {
			t.Run(fmt.Sprint(last, "/", down), func(t *testing.T) {
				t.Parallel()
				dir := memoryDir(t)
				synctest.Test(t, func(t *testing.T) {
					s := newSimulation(t, dir, hourSeed)
					if !s.hour {
						t.Fatal("the API takes everything")
					}
					s.stop()
					s.configure(lateSource)
					s.start(nil)
					write := func(n int) {
						for i := range n {
							s.write("app.log", fmt.Sprintf("%s mail sent %d\n", s.now().Add(-time.Duration(i)*time.Hour).UTC().Format(time.RFC3339), i))
							s.written.events++
						}
					}
					write(10)
					s.read()
					s.readBlocks(10)
					s.killAtStep(last)
					write(3)
					time.Sleep(down)
					s.start(nil)
					write(10)
					s.settle()
					if got := s.billed(sku); got != s.written.events {
						t.Errorf("wrote %d, billed %d", s.written.events, got)
					}
					for _, r := range s.records() {
						if r.State != meter.Accepted {
							t.Errorf("a record is %s: %+v", r.State, r)
						}
					}
					for _, text := range s.anomalies() {
						if !strings.HasPrefix(text, string(meter.LateEvent)+" ") {
							t.Errorf("what did not happen was reported: %s", text)
						}
					}
					s.agree()
				})
			})
		}
	}
}
