package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const startTime = 10 * time.Second // an agent has started after that

// follower is an agent under way.
type follower struct {
	cmd   *exec.Cmd
	dir   string
	state string
}

// follow starts `meterlog run` on the logs of a folder.
func follow(binary, dir string) (*follower, error) {
	config := filepath.Join(dir, "rules.yaml")
	text := configuration(filepath.Join(dir, "*.log"), "format: text", []rule{{when: `line contains "email sent"`, sku: "sku-mail"}})
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return start(binary, dir, config)
}

// start starts `meterlog run` with a configuration.
func start(binary, dir, config string) (*follower, error) {
	machine := filepath.Join(dir, "machine-id")
	if err := os.WriteFile(machine, []byte("0123456789abcdef0123456789abcdef\n"), 0o644); err != nil {
		return nil, err
	}
	f := &follower{dir: dir, state: filepath.Join(dir, "state")}
	f.cmd = exec.Command(binary, "run", "--sandbox", "--state", f.state, "--log-level", "error", "--config", config)
	f.cmd.Env = append(os.Environ(), "METERLOG_MACHINE_ID_FILE="+machine)
	f.cmd.Stderr = os.Stderr
	return f, f.cmd.Start()
}

func (f *follower) stop() error {
	f.cmd.Process.Signal(os.Interrupt)
	return f.cmd.Wait()
}

// during returns the CPU time that the agent uses during work, in percent of a core.
// It also returns the agent's resident set after the work, in KiB.
func (f *follower) during(work func() error) (percent float64, rss int64, err error) {
	before, err := cpuOf(f.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := work(); err != nil {
		return 0, 0, err
	}
	took := time.Since(began)
	after, err := cpuOf(f.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	rss, err = rssOf(f.cmd.Process.Pid)
	return 100 * (after - before).Seconds() / took.Seconds(), rss, err
}

// atRest watches agents that follow files without new lines.
func atRest(r *report) error {
	fmt.Fprintf(r, "## At rest, over %v\n\n| files | CPU, %% of a core | RSS MiB |\n|---|---|---|\n", *idle)
	for _, files := range []int{100, 1000} {
		percent, rss, err := watchIdle(r.binary, files)
		if err != nil {
			return err
		}
		fmt.Fprintf(r, "| %d | %.2f | %.0f |\n", files, percent, float64(rss)/1024)
		r.aimed(fmt.Sprintf("idle with %d files", files), percent, map[int]float64{100: 0.1, 1000: 0.2}[files], false, " % of a core")
	}
	fmt.Fprintln(r)
	return nil
}

func watchIdle(binary string, files int) (percent float64, rss int64, err error) {
	dir, err := os.MkdirTemp("", "meterlog-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("app%d.log", i)), fmt.Appendf(nil, "%d: nothing to bill here\n", i), 0o644); err != nil {
			return 0, 0, err
		}
	}
	f, err := follow(binary, dir)
	if err != nil {
		return 0, 0, err
	}
	defer f.stop()
	time.Sleep(startTime)
	return f.during(func() error { time.Sleep(*idle); return nil })
}

// underWay writes 50,000 lines a second, in a hundred writes, and watches the agent
// that follows them.
func underWay(r *report) error {
	const perSecond, writes = 50_000, 100
	dir, err := os.MkdirTemp("", "meterlog-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := os.Create(filepath.Join(dir, "app.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	f, err := follow(r.binary, dir)
	if err != nil {
		return err
	}
	time.Sleep(startTime)
	random, want := rand.New(rand.NewPCG(1, 2)), map[string]int64{}
	var batches [16]bytes.Buffer
	var mails [16]int64
	for i := range batches { // before, so that the agent has the processor for itself
		clear(want)
		for range perSecond / writes {
			textLine(random, &batches[i], want)
		}
		mails[i] = want["sku-mail"]
	}
	written, expected := 0, int64(0)
	began, took := time.Now(), time.Duration(0)
	percent, rss, err := f.during(func() error {
		defer func() { took = time.Since(began) }()
		return pace(writes, *live, func() error {
			i := written % len(batches)
			written, expected = written+1, expected+mails[i]
			_, err := log.Write(batches[i].Bytes())
			return err
		})
	})
	if err == nil {
		time.Sleep(2 * time.Second) // the last commit
		err = f.stop()
	}
	if err != nil {
		return err
	}
	counted, err := recorded(r.binary, f)
	if err != nil {
		return err
	}
	if counted != expected {
		return fmt.Errorf("counted %d mails, and %d were written", counted, expected)
	}
	fmt.Fprintf(r, "## Under way\n\n%d lines in %d writes over %.1f s; %d mails, all counted.\n\n| lines a second | CPU, %% of a core | RSS MiB |\n|---|---|---|\n| %.0f | %.2f | %.0f |\n\n",
		written*perSecond/writes, written, took.Seconds(), counted, float64(written*perSecond/writes)/took.Seconds(), percent, float64(rss)/1024)
	r.aimed("50,000 lines a second, live", percent, 3, false, " % of a core")
	return nil
}

// recorded returns the sum of the records of an agent that has ended.
func recorded(binary string, f *follower) (int64, error) {
	out, err := exec.Command(binary, "records", "--config", filepath.Join(f.dir, "rules.yaml"), "--state-dir", f.state, "--format", "json").Output()
	if err != nil {
		return 0, withStderr(err)
	}
	sum := int64(0)
	for line := range bytes.Lines(out) {
		var record struct{ Quantity int64 }
		if err := json.Unmarshal(line, &record); err != nil {
			return 0, err
		}
		sum += record.Quantity
	}
	return sum, nil
}
