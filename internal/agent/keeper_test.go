package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
)

func has(v *monitor.Health, code string) bool {
	for _, p := range v.Problems() {
		if p.Code == code {
			return true
		}
	}
	return false
}

// When the state folder is moved away, nothing is counted or delivered, and the
// agent says so. When it is back, all is billed, once.
func TestStateFolderIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule)
	s.leaveSealed(3)
	state := filepath.Join(s.dir, "state")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, end := s.agent()
	if err := os.Rename(state, state+".aside"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
	}()
	health := a.keeper.health
	until(t, "the problem is raised", func() bool { return has(health, ledgerGone) })
	s.sent("a.log", 4)
	until(t, "a commit fails", func() bool { return s.logged.has("the ledger cannot be written") })
	s.wantBilled(sku, 0)
	if err := os.Rename(state+".aside", state); err != nil {
		t.Fatal(err)
	}
	until(t, "all is billed", func() bool { return s.billed(sku) == 7 })
	until(t, "the problem is over", func() bool { return !has(health, ledgerGone) })
	cancel()
	<-done
	a.Close()
	end()
}

func TestDamageStopsTheBilling(t *testing.T) {
	for want, err := range map[string]error{
		ledgerDamaged: fmt.Errorf("commit: %w", &ledger.CorruptError{Path: "p", Detail: "d"}),
		ledgerGone:    fmt.Errorf("commit: %w", &ledger.GoneError{Dir: "p", Detail: "d"}),
	} {
		if p, stopped := ledgerProblem(err); !stopped || p.Code != want || p.Hint == "" {
			t.Errorf("%v is the problem %+v", err, p)
		}
	}
	if p, stopped := ledgerProblem(errors.New("the disk is full")); stopped {
		t.Errorf("a full disk is the problem %+v", p)
	}
}

// What the log has said of files is not remembered for ever.
func TestReportedAnomaliesAreBounded(t *testing.T) {
	l := &meterLoop{log: quiet}
	for i := range 3 * mostReported {
		l.report(&meter.Tally{Anomalies: map[meter.AnomalyKey]*meter.Anomaly{{Kind: meter.BytesMissed, Subject: fmt.Sprint(i)}: {Count: 1}}})
	}
	if n := len(l.reported); n > mostReported {
		t.Errorf("%d are remembered", n)
	}
}
