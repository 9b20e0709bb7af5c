package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/meterlog/meterlog/test/trial"
)

// agent is the meterlog under torture.
type agent struct {
	trial.Agent
	ledger      string // its database
	kills       int
	powerLosses int
}

func newAgent(dir, api string) *agent {
	a := &agent{
		Agent:  trial.Agent{Binary: *binary, Config: filepath.Join(dir, "rules.yaml"), API: api, Level: *logLevel},
		ledger: filepath.Join(dir, "state", "ledger.db"),
	}
	if *verbose {
		a.Log = os.Stderr
	}
	return a
}

func (a *agent) runAndKill(ctx context.Context, writers []*writer) error {
	chance := rand.New(rand.NewPCG(*seed, 0))
	for ctx.Err() == nil {
		start := a.Start
		if w := writers[chance.IntN(len(writers))]; a.kills > 0 && *powerLoss > 0 && chance.IntN(*powerLoss) == 0 && !w.blocks {
			start = func() error { return a.losePower(ctx, w, chance) }
		}
		if err := start(); err != nil {
			return err
		}
		alive := time.Duration(chance.ExpFloat64() * float64(*killPause))
		if a.kills == 0 { // nobody follows what is rotated before the first commit
			alive += *settling
		}
		sleep(ctx, alive)
		if err := a.Kill(); err != nil {
			return err
		}
		a.kills++
		if chance.IntN(4) == 0 { // long enough for several rotations
			sleep(ctx, time.Duration(chance.Float64()*float64(*downtime)))
		}
	}
	return nil
}

// alarms returns an error if `meterlog status` reports lost bytes. No writer
// loses any, so every gap is a false one.
func (a *agent) alarms() error {
	if a.powerLosses > 0 {
		return nil // a log that lost its end may be a gap
	}
	status, err := a.Status()
	if err != nil {
		return err
	}
	for _, p := range status.Problems {
		if p.Code == "gap" || p.Code == "torn" {
			err = fmt.Errorf("a false alarm, %s: %s", p.Code, p.Message)
		}
	}
	return err
}
