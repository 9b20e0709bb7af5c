// Command faults starts the built binary under a tracer and makes one system
// call on its state folder fail, or kills the process there: every call of a
// first start, and every call of an agent that starts, reloads and ends. After
// each fault it lets meterlog run once without any, and wants every line to be
// billed exactly once, without the help of a person.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/test/trial"
)

var (
	binary  = flag.String("binary", "", "the meterlog to try (default: built from this module)")
	every   = flag.Int("every", 1, "try every so manieth call")
	from    = flag.Int("from", 1, "the first call to try")
	parts   = flag.String("part", "first,live", "first: a first start; live: a run with a reload and a shutdown")
	kinds   = flag.String("kind", "eio,enospc,kill", "the faults")
	workers = flag.Int("workers", 2, "trials at the same time")
	restart = flag.Bool("restart", false, "make the machine look started again after each fault")
	verbose = flag.Bool("v", false, "list every trial")
)

// fault is what happens at a call.
type fault struct {
	name  string
	errno syscall.Errno // 0: the process is killed
}

var faults = []fault{{"eio", syscall.EIO}, {"enospc", syscall.ENOSPC}, {"kill", 0}}

func main() { trial.Main("faults", run) }

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "meterlog-faults-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *binary, err = trial.Binary(ctx, *binary, dir); err != nil {
		return err
	}
	for _, part := range strings.Split(*parts, ",") {
		history, known := histories[part]
		if !known {
			return fmt.Errorf("there is no part %q", part)
		}
		if err := try(ctx, dir, part, history); err != nil {
			return err
		}
	}
	return nil
}

// point is one trial: a fault at a call.
type point struct {
	fault
	call int
}

// try tries every point of one part.
func try(ctx context.Context, dir, part string, history func(*site, *tracee) error) error {
	began := time.Now()
	calls, err := count(ctx, dir, history)
	if err != nil {
		return fmt.Errorf("%s: without a fault: %w", part, err)
	}
	points := make(chan point)
	var failed, tried, missed atomic.Int64
	var group sync.WaitGroup
	for range *workers {
		group.Go(func() {
			for p := range points {
				met, err := trialOf(ctx, dir, history, p)
				tried.Add(1)
				if met == "" {
					missed.Add(1)
				}
				if err != nil {
					failed.Add(1)
				}
				if err != nil || *verbose {
					fmt.Printf("%s: %s at call %d, %s: %v\n", part, p.name, p.call, met, err)
				}
			}
		})
	}
	for call := *from; call <= calls && ctx.Err() == nil; call += *every {
		for _, f := range faults {
			if slices.Contains(strings.Split(*kinds, ","), f.name) {
				points <- point{f, call}
			}
		}
	}
	close(points)
	group.Wait()
	fmt.Printf("%s: %d calls, %d faults (%d not met) in %v: ", part, calls, tried.Load(), missed.Load(), time.Since(began).Round(time.Second))
	if failed.Load() > 0 {
		fmt.Println("FAILED")
		return fmt.Errorf("%s: %d faults were not survived", part, failed.Load())
	}
	fmt.Println("every line was billed exactly once")
	return ctx.Err()
}

// count returns how many calls a history makes.
func count(ctx context.Context, dir string, history func(*site, *tracee) error) (int, error) {
	s, err := newSite(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer s.close()
	t := &tracee{site: s}
	if err := history(s, t); err != nil {
		return 0, err
	}
	return t.calls, s.verdict()
}

// trialOf returns the call that met the fault; "" where the history was over
// before that.
func trialOf(ctx context.Context, dir string, history func(*site, *tracee) error, p point) (met string, err error) {
	s, err := newSite(ctx, dir)
	if err != nil {
		return "", err
	}
	defer s.close()
	t := &tracee{site: s, fault: p.fault, at: p.call}
	if err := history(s, t); err != nil {
		return t.met, err
	}
	return t.met, s.verdict()
}

// site is a machine with a log, a state folder and a model of the API.
type site struct {
	trial.Agent
	dir    string
	lines  int64
	model  *sandbox.Sandbox
	cancel context.CancelFunc
}

func newSite(ctx context.Context, parent string) (*site, error) {
	dir, err := os.MkdirTemp(parent, "site-")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &site{dir: dir, model: sandbox.New(sandbox.Config{}), cancel: cancel}
	url, _, err := s.model.Start(ctx)
	if err != nil {
		return nil, err
	}
	s.Agent = trial.Agent{Binary: *binary, Config: filepath.Join(dir, "rules.yaml"), API: url, Level: "warn"}
	text := fmt.Sprintf(`product_id: f2e4tmlj4qqciunhr7e6
sources: [{path: %[1]s/logs/*.log}]
rules: [{name: sent, when: 'line contains "sent"', sku_id: dn272e8979uvek5cnuhk}]
interval: 1s
delivery: {endpoint: %[2]s, timeout: 5s}
state: %[1]s/state
`, dir, url)
	return s, errors.Join(os.Mkdir(filepath.Join(dir, "logs"), 0o755), os.WriteFile(s.Config, []byte(text), 0o644), s.write(20))
}

func (s *site) close() {
	s.cancel()
	os.RemoveAll(s.dir)
}

func (s *site) write(lines int64) error {
	f, err := os.OpenFile(filepath.Join(s.dir, "logs", "a.log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Repeat("mail sent\n", int(lines)))
	s.lines += lines
	return errors.Join(err, f.Close())
}

func (s *site) billed() (units int64) {
	for _, t := range s.model.Totals() {
		units += t.Quantity
	}
	return units
}

// settled is how long the lines may take to be billed while nothing fails, and
// patience how long a run with a fault may take to end.
const (
	settled  = 4 * time.Second
	patience = 30 * time.Second
)

// await waits for the lines to be billed, but not for long: the fault may have
// stopped that.
func (s *site) await(t *tracee) {
	for deadline := time.Now().Add(settled); time.Now().Before(deadline) && s.billed() < s.lines && !t.ended(); {
		time.Sleep(20 * time.Millisecond)
	}
}

// verdict runs meterlog once without faults and compares what is billed.
func (s *site) verdict() error {
	s.write(3)
	if *restart {
		s.startAgain()
	}
	var output []byte
	var err error
	for range 3 { // a delivery that the fault broke off is repeated
		if output, err = s.Run("run", "--once"); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("the next run fails: %w: %s", err, output)
	}
	if got := s.billed(); got != s.lines {
		return fmt.Errorf("%d units are billed, want %d", got, s.lines)
	}
	return nil
}

// startAgain makes the lock one that was written before another start of the
// machine.
func (s *site) startAgain() {
	path := filepath.Join(s.dir, "state", "lock")
	text, err := os.ReadFile(path)
	if err != nil {
		return // the fault came before it was made
	}
	before, _, _ := strings.Cut(string(text), " boot ")
	os.WriteFile(path, []byte(before+" boot another\n"), 0o640)
}

// histories are what is traced.
var histories = map[string]func(*site, *tracee) error{
	"first": func(s *site, t *tracee) error { return t.run(func() {}, "run", "--once") },
	"live": func(s *site, t *tracee) error {
		if output, err := s.Run("run", "--once"); err != nil {
			return fmt.Errorf("the run before: %w: %s", err, output)
		}
		return t.run(func() {
			s.write(5)
			s.await(t)
			t.signal(syscall.SIGHUP)
			s.write(7)
			s.await(t)
			t.signal(syscall.SIGTERM)
			for deadline := time.Now().Add(patience); !t.ended(); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.signal(syscall.SIGKILL)
				}
			}
		}, "run", "--log-level", "error")
	},
}
