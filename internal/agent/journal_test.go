package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/journal"
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

// memoryJournal is a journal of one unit with its journalctl.
type memoryJournal struct {
	mu      sync.Mutex
	lines   []string
	cursors []string
	changed chan struct{}
	running []context.CancelFunc
}

func (j *memoryJournal) sent(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for range n {
		number := len(j.lines) + 1
		cursor := fmt.Sprintf("s=a;i=%x;b=b;m=%x;t=%x;x=1", number, number, time.Now().UnixMicro())
		j.cursors = append(j.cursors, cursor)
		j.lines = append(j.lines, fmt.Sprintf(`{"__CURSOR":%q,"__REALTIME_TIMESTAMP":"%d","MESSAGE":"mail\n sent","PRIORITY":"6"}`+"\n", cursor, time.Now().UnixMicro()))
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

// kill kills every journalctl.
func (j *memoryJournal) kill() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, kill := range j.running {
		kill()
	}
	j.running = nil
}

func (j *memoryJournal) run(ctx context.Context, args []string, _ func(string)) (*journal.Process, error) {
	ctx, kill := context.WithCancel(ctx)
	j.mu.Lock()
	j.running = append(j.running, kill)
	j.mu.Unlock()
	in, out := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer out.Close()
		next := 0
		for _, arg := range args {
			if cursor, ok := strings.CutPrefix(arg, "--cursor="); ok {
				next = slices.Index(j.cursors, cursor)
			} else if arg == "--lines=1" {
				next = max(0, len(j.lines)-1)
			}
		}
		for {
			j.mu.Lock()
			text, changed := strings.Join(j.lines[next:], ""), j.changed
			next = len(j.lines)
			j.mu.Unlock()
			if _, err := io.Copy(out, bytes.NewBufferString(text)); err != nil || !slices.Contains(args, "--follow") {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}()
	return &journal.Process{Output: in, Wait: func() error { <-ended; return nil }, Sync: func() {}}, nil
}

// A journal is billed beside files: while the agent runs, over kills of journalctl,
// over restarts, and by a run that reads to the end.
func TestJournalIsBilled(t *testing.T) {
	t.Parallel()
	s := newSite(t, ofTheJournal)
	j := &memoryJournal{changed: make(chan struct{})}
	s.journalctl = j.run
	j.sent(3)
	stop := s.run()
	s.sent("a.log", 2)
	until(t, "what was there before is counted", func() bool { return s.counted(sku) == 5 })
	j.sent(4)
	until(t, "what comes is counted", func() bool { return s.counted(sku) == 9 })
	j.kill()
	j.sent(5)
	until(t, "what comes after a kill is counted", func() bool { return s.counted(sku) == 14 })
	stop()
	j.sent(6) // while nobody reads
	stop = s.run()
	until(t, "all is billed", func() bool { return s.billed(sku) == 20 })
	stop()
	j.sent(7)
	s.once()
	s.once()
	if n := s.counted(sku); n != 27 {
		t.Errorf("%d are counted in the end, want 27", n)
	}
	if list := must(s.agentAnomalies()); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

// agentAnomalies returns the anomalies in the ledger, but for the history.
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
