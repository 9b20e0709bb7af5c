// Command torture asks the product's question of the built binary: was every
// unit billed exactly once?
//
// Writers append to logs, tear lines and rotate their files in every way that
// logs are rotated, by themselves and by logrotate if it is installed. They
// also copy logs, cut off their beginnings, link to them, give archives names
// of their own and soon remove them. An API with faults takes the records.
// SIGKILL ends the agent at random moments. It starts again at once, after
// several rotations, or after a power failure took the end of a log.
//
// In the end the API must have accepted what was written, to the unit. No uuid
// may have come with two contents, and `meterlog status` may report no gap.
//
//	go run ./test/torture -duration 1m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/test/trial"
)

var (
	duration  = flag.Duration("duration", 30*time.Second, "how long to write and kill")
	seed      = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of everything that is random")
	killPause = flag.Duration("kill", 1500*time.Millisecond, "mean time between kills")
	downtime  = flag.Duration("down", 3*time.Second, "longest time without an agent: enough for several rotations")
	powerLoss = flag.Int("power", 4, "kills to one power failure, in the mean; 0: none")
	rotation  = flag.Duration("rotate", time.Second, "mean time between the rotations of a log")
	settling  = flag.Duration("settling", time.Second, "time for the first commit, before which nothing is rotated")
	retention = flag.Duration("retention", 4*time.Second, "age at which an archive is removed, also while it is read")
	calm      = flag.Duration("calm", 15*time.Second, "how long the sums must stay right in the end")
	patience  = flag.Duration("patience", 90*time.Second, "how long to wait for the sums in the end")
	farewell  = flag.Duration("farewell", 5*time.Second, "how long the agent may take to end in order")
	transport = flag.String("transport", "rest", "of the deliveries: rest or grpc")
	rate      = flag.Int("rate", 2000, "lines a second of each writer")
	without   = flag.String("without", "vanish,named,copied,cut,blocks,names", "writers to leave out; the follower is not exact yet with those of the default")
	binary    = flag.String("binary", "", "the meterlog to torture (default: built from this module)")
	keep      = flag.Bool("keep", false, "keep the folder with logs and ledger")
	verbose   = flag.Bool("v", false, "show the agent's log")
	logLevel  = flag.String("log-level", "warn", "of the agent")
)

const perUnit = 1000 // of the rule that carries a remainder

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := torture(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "torture: %v\nrepeat with -seed %d\n", err, *seed)
		os.Exit(1)
	}
}

func torture(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "meterlog-torture-")
	if err != nil {
		return err
	}
	if *keep {
		fmt.Println("kept:", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	if *binary, err = trial.Binary(ctx, *binary, dir); err != nil {
		return err
	}
	model := sandbox.New(sandbox.Config{TokenLife: 20 * time.Second, Seed: *seed, Faults: []sandbox.Fault{
		{Kind: sandbox.FaultDropAfter, Every: 3},
		{Kind: sandbox.FaultDropBefore, Every: 7},
		{Kind: sandbox.FaultStatus, Status: http.StatusServiceUnavailable, Probability: 0.05},
		{Kind: sandbox.FaultGarbage, Probability: 0.05},
		{Kind: sandbox.FaultOmit, Probability: 0.1},
	}})
	url, _, err := model.Start(ctx)
	if err != nil {
		return err
	}
	agent := newAgent(dir, url)
	writers, err := newWriters(dir, model, agent)
	if err != nil {
		return err
	}
	if err := os.WriteFile(agent.Config, []byte(configuration(dir, url, writers)), 0o644); err != nil {
		return err
	}

	began := time.Now()
	writing, cancel := context.WithTimeout(ctx, *duration)
	defer cancel()
	var group sync.WaitGroup
	failures := make(chan error, len(writers)+1)
	for _, w := range writers {
		group.Go(func() { failures <- w.run(writing) })
	}
	failures <- agent.runAndKill(writing, writers)
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	model.SetFaults()
	if err := agent.Start(); err != nil {
		return err
	}
	verdict := errors.Join(settle(ctx, model, writers), agent.alarms())
	verdict = errors.Join(verdict, agent.Stop(*farewell))
	lines, rotations := 0, 0
	for _, w := range writers {
		lines += w.lines
		rotations += w.rotations
	}
	fmt.Printf("%d lines, %d rotations, %d kills, %d power failures, %d requests (%d with faults) in %v: ", lines, rotations, agent.kills, agent.powerLosses, model.Stats().Requests, model.Stats().Faults, time.Since(began).Round(time.Second))
	if verdict == nil {
		fmt.Println("every unit was billed exactly once")
	} else {
		fmt.Println("FAILED")
	}
	return verdict
}

func configuration(dir, url string, writers []*writer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "product_id: torture\ninterval: 1s\nstate: %s\ndelivery: {endpoint: %q, transport: %s, timeout: 2s}\nsources:\n", filepath.Join(dir, "state"), url, *transport)
	for _, w := range writers {
		fmt.Fprintf(&b, "  - {name: %s, path: [%s]}\n", w.name, strings.Join(w.patterns, ", "))
	}
	b.WriteString("rules:\n")
	for _, w := range writers {
		fmt.Fprintf(&b, "  - {name: %s, source: %s, when: 'line contains \"event sent\"', sku_id: sku-%s}\n", w.name, w.name, w.name)
	}
	fmt.Fprintf(&b, "  - {name: bytes, when: 'line contains \"event sent\"', sku_id: sku-bytes, quantity: 'extract(line, `size=(\\d+)`)', per: %d}\n", perUnit)
	return b.String()
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
