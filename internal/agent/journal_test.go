package agent

import (
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/journal/journaltest"
	"github.com/meterlog/meterlog/internal/meter"
)

const ofTheJournal = `
sources:
  - {name: app, journal: {unit: app}}
  - {name: files, path: DIR/logs/*.log}
rules:
  - name: mails
    when: line contains "sent" and (source == "files" or entry.PRIORITY == "6")
    sku_id: ` + sku + `
`

// print has the unit app print n messages.
func print(j *journaltest.Journal, n int) {
	j.SetClock(time.Now())
	for range n {
		j.Write("_SYSTEMD_UNIT=app.service", "PRIORITY=6", "MESSAGE=mail\n sent")
	}
}

// machineOf returns the machine that has the journal.
func machineOf(j *journaltest.Journal) journal.Machine {
	return journal.Machine{ID: journalMachine, Boot: j.Boot(), Run: j.Run, Files: j.Files}
}

const journalMachine = "0123456789abcdef0123456789abcdef"

// A journal is billed beside files: while the agent runs, over kills of journalctl,
// over restarts, and by a run that reads to the end.
func TestJournalIsBilled(t *testing.T) {
	t.Parallel()
	s := newSite(t, ofTheJournal)
	j := journaltest.New(journalMachine)
	s.machine = machineOf(j)
	print(j, 3)
	stop := s.run()
	s.sent("a.log", 2)
	until(t, "what was there before is counted", func() bool { return s.counted(sku) == 5 })
	print(j, 4)
	until(t, "what comes is counted", func() bool { return s.counted(sku) == 9 })
	j.Kill()
	print(j, 5)
	until(t, "what comes after a kill is counted", func() bool { return s.counted(sku) == 14 })
	stop()
	print(j, 6) // while nobody reads
	stop = s.run()
	until(t, "all is billed", func() bool { return s.billed(sku) == 20 })
	stop()
	print(j, 7)
	s.once()
	s.once()
	if n := s.counted(sku); n != 27 {
		t.Errorf("%d are counted in the end, want 27", n)
	}
	if list := must(s.agentAnomalies()); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

// agentAnomalies returns the anomalies in the ledger, except the history.
func (s *site) agentAnomalies() (list []meter.AnomalyKey, err error) {
	a, end := s.agent()
	defer end()
	defer a.Close()
	all, err := a.meter.ledger.Anomalies(s.t.Context())
	for _, anomaly := range all {
		if anomaly.Kind != meter.History {
			list = append(list, anomaly.AnomalyKey)
		}
	}
	return list, err
}
