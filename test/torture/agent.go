package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// agent is the meterlog under torture.
type agent struct {
	config, api string
	ledger      string // its database
	cmd         *exec.Cmd
	kills       int
	powerLosses int
}

func (a *agent) start() error {
	a.cmd = exec.Command(*binary, "run", "--config", a.config, "--log-level", *logLevel)
	a.cmd.Env = append(os.Environ(), "YC_METADATA_ADDR="+a.api)
	if *verbose {
		a.cmd.Stderr = os.Stderr
	}
	return a.cmd.Start()
}

func (a *agent) runAndKill(ctx context.Context, writers []*writer) error {
	chance := rand.New(rand.NewPCG(*seed, 0))
	for ctx.Err() == nil {
		start := a.start
		if a.kills > 0 && *powerLoss > 0 && chance.IntN(*powerLoss) == 0 {
			start = func() error { return a.losePower(ctx, writers[chance.IntN(len(writers))], chance) }
		}
		if err := start(); err != nil {
			return err
		}
		alive := time.Duration(chance.ExpFloat64() * float64(*killPause))
		if a.kills == 0 { // what is rotated before the first commit is none of ours
			alive += *settling
		}
		sleep(ctx, alive)
		a.cmd.Process.Kill()
		var exit *exec.ExitError
		if err := a.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			return fmt.Errorf("the agent ended by itself: %v", err)
		}
		a.kills++
		if chance.IntN(4) == 0 { // long enough for several rotations
			sleep(ctx, time.Duration(chance.Float64()*float64(*downtime)))
		}
	}
	return nil
}

// stop ends the agent in order.
func (a *agent) stop() error {
	began := time.Now()
	a.cmd.Process.Signal(syscall.SIGTERM)
	err := a.cmd.Wait()
	if took := time.Since(began); took > *farewell {
		return fmt.Errorf("the agent took %v to end", took)
	}
	return err
}
