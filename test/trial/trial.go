// Package trial starts the built binary for the programs below test and reads
// what it reports.
//
// It is used by commands, so it may take time. An [Agent] is used by one
// goroutine at a time.
package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Main reads the flags and runs a program until it ends or is interrupted. It prints
// an error under the program's name, and exits with 1 then.
func Main(name string, run func(context.Context) error) {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Binary returns path, or builds meterlog from this module into dir if path is
// empty.
func Binary(ctx context.Context, path, dir string) (string, error) {
	if path != "" {
		return filepath.Abs(path)
	}
	path = filepath.Join(dir, "meterlog")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/meterlog")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	return path, nil
}

// Agent is a meterlog that runs against a model of the API.
type Agent struct {
	Binary, Config string
	API            string   // URL of the model
	Level          string   // of its log
	Env            []string // beside the environment of this process
	Prefix         []string // a program that starts it, with arguments
	Log            io.Writer
	cmd            *exec.Cmd
}

// Running reports whether the process was started and not ended.
func (a *Agent) Running() bool { return a.cmd != nil }

// PID returns the id of the running process.
func (a *Agent) PID() int { return a.cmd.Process.Pid }

// Start starts the process and does not wait for anything.
func (a *Agent) Start() error {
	a.cmd = a.command("run", "--log-level", a.Level)
	a.cmd.Stderr = a.Log
	return a.cmd.Start()
}

// Kill ends the process with SIGKILL. It returns an error if the process had
// ended before.
func (a *Agent) Kill() error {
	a.cmd.Process.Kill()
	err := a.cmd.Wait()
	a.cmd = nil
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		return fmt.Errorf("the agent ended by itself: %v", err)
	}
	return nil
}

// Stop ends the process with SIGTERM. It returns an error if that takes longer
// than the farewell, and kills the process then.
func (a *Agent) Stop(farewell time.Duration) error {
	a.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(farewell, func() { a.cmd.Process.Kill() })
	err := a.cmd.Wait()
	if !late.Stop() {
		err = fmt.Errorf("the agent took more than %v to end", farewell)
	}
	a.cmd = nil
	return err
}

const answerLimit = 30 * time.Second // of a command

// Run runs another command of the binary with the agent's configuration, and
// returns its standard output. It kills a command that does not end.
func (a *Agent) Run(arguments ...string) ([]byte, error) {
	c := a.command(arguments...)
	var output bytes.Buffer
	c.Stdout = &output
	if err := c.Start(); err != nil {
		return nil, err
	}
	late := time.AfterFunc(answerLimit, func() { c.Process.Kill() })
	err := c.Wait()
	if !late.Stop() {
		err = fmt.Errorf("no answer in %v", answerLimit)
	}
	return output.Bytes(), err
}

func (a *Agent) command(arguments ...string) *exec.Cmd {
	words := slices.Concat(a.Prefix, []string{a.Binary}, arguments[:1], []string{"--config", a.Config}, arguments[1:])
	c := exec.Command(words[0], words[1:]...)
	c.Env = append(os.Environ(), "YC_METADATA_ADDR="+strings.TrimPrefix(a.API, "http://"))
	c.Env = append(c.Env, a.Env...)
	return c
}

// Problem is one of the problems that `meterlog status` reports.
type Problem struct{ Code, Message string }

// Status is the part of `meterlog status --format json` that the trials need.
type Status struct {
	Problems []Problem
	Sources  []struct {
		Name  string
		Files []struct {
			Path                    string
			Offset, Size, Lag_bytes int64
			State                   string
		}
	}
}

// Status asks `meterlog status`.
func (a *Agent) Status() (s Status, err error) {
	output, err := a.Run("status", "--format", "json")
	if err != nil {
		return s, fmt.Errorf("status: %w: %s", err, output)
	}
	if err := json.Unmarshal(output, &s); err != nil {
		return s, fmt.Errorf("status: %w: %s", err, output)
	}
	return s, nil
}

// Alarms compares the problems with the expected codes. It returns the false
// alarms and the missing ones. It ignores the tolerated codes.
func (s Status) Alarms(expected, tolerated []string) error {
	var faults []error
	for _, p := range s.Problems {
		if !slices.Contains(expected, p.Code) && !slices.Contains(tolerated, p.Code) {
			faults = append(faults, fmt.Errorf("false alarm %s: %s", p.Code, p.Message))
		}
	}
	for _, code := range expected {
		if !slices.ContainsFunc(s.Problems, func(p Problem) bool { return p.Code == code }) {
			faults = append(faults, fmt.Errorf("no problem %s is reported", code))
		}
	}
	return errors.Join(faults...)
}
