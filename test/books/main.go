// Command books makes a ledger of many records by the product's own code, and
// measures what it costs to start on it, to list it and to prune it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/test/trial"
)

var (
	records = flag.Int("records", 1_000_000, "how many records")
	binary  = flag.String("binary", "", "the meterlog to measure (default: built from this module)")
	state   = flag.String("state", "", "a folder that an earlier call has filled, or that is to be kept")
)

const (
	product = "f2e4tmlj4qqciunhr7e6"
	skus    = 10
	atOnce  = 10_000 // records in one commit
)

func main() { trial.Main("books", run) }

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "meterlog-books-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *binary, err = trial.Binary(ctx, *binary, dir); err != nil {
		return err
	}
	if *state == "" {
		*state = filepath.Join(dir, "state")
	}
	if _, err := os.Stat(filepath.Join(*state, ledger.FileName)); errors.Is(err, os.ErrNotExist) {
		if err := fill(ctx); err != nil {
			return err
		}
	}
	info, err := os.Stat(filepath.Join(*state, ledger.FileName))
	if err != nil {
		return err
	}
	fmt.Printf("%d records, %d MiB\n", *records, info.Size()>>20)
	config := filepath.Join(dir, "rules.yaml")
	text := fmt.Sprintf("product_id: %s\nsources: [{path: %s/*.log}]\nrules: [{name: r, when: 'line contains \"x\"', sku_id: sku-0}]\n", product, dir)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	if err := start(ctx, dir, config); err != nil {
		return err
	}
	for _, format := range []string{"json", "csv", "table"} {
		if err := list(ctx, config, format); err != nil {
			return err
		}
	}
	return prune(ctx)
}

// begun returns the first window of the records. The last one is settled long ago.
func begun() time.Time { return time.Now().Add(-365 * 24 * time.Hour).Truncate(time.Minute) }

// fill counts, seals and settles the records.
func fill(ctx context.Context) error {
	l, err := ledger.Open(ctx, *state)
	if err != nil {
		return err
	}
	defer l.Close()
	rules := make([]*meter.Rule, skus)
	for i := range rules {
		rules[i] = &meter.Rule{Name: fmt.Sprint("rule-", i), ProductID: product, SKU: fmt.Sprint("sku-", i), Per: 1}
	}
	window, offset := begun(), int64(0)
	for made := 0; made < *records; made += atOnce {
		var tally meter.Tally
		for i := range min(atOnce, *records-made) {
			key := meter.CountKey{Rule: rules[i%skus], Window: meter.WindowAt(window, time.Minute), Generation: 1}
			tally.Add(key, 1, offset, offset+10, window.Unix())
			offset += 10
			if i%skus == skus-1 {
				window = window.Add(time.Minute)
			}
		}
		g := meter.Generation{ID: 1, Path: "/var/log/app.log", Offset: offset, State: meter.Live}
		if err := l.Commit(ctx, ledger.Batch{Generations: []meter.Generation{g}, Tally: &tally}, window); err != nil {
			return err
		}
		if _, err := l.SealAll(ctx, window); err != nil {
			return err
		}
		if err := settle(ctx, l, window); err != nil {
			return err
		}
	}
	return nil
}

// settle has all that is sealed accepted.
func settle(ctx context.Context, l *ledger.Ledger, now time.Time) error {
	for {
		list, err := l.Pending(ctx, now.Add(time.Hour), now.Add(time.Hour), 1000, nil)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := l.Attempt(ctx, list); err != nil {
			return err
		}
		results := make([]meter.Result, len(list))
		for i, r := range list {
			results[i] = meter.Result{UUID: r.UUID, State: meter.Accepted}
		}
		if err := l.Settle(ctx, results, now, 0); err != nil {
			return err
		}
	}
}

// start measures how long the agent takes until it says that it is ready.
func start(ctx context.Context, dir, config string) error {
	socket := filepath.Join(dir, "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer notify.Close()
	c := exec.CommandContext(ctx, *binary, "run", "--sandbox", "--config", config, "--state", *state)
	c.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	c.Stderr = os.Stderr
	began := time.Now()
	if err := c.Start(); err != nil {
		return err
	}
	defer c.Wait()
	defer c.Process.Signal(syscall.SIGTERM)
	notify.SetReadDeadline(began.Add(time.Minute))
	for text := make([]byte, 4096); ; {
		n, err := notify.Read(text)
		if err != nil {
			return fmt.Errorf("the agent does not become ready: %w", err)
		}
		if strings.Contains(string(text[:n]), "READY=1") {
			break
		}
	}
	fmt.Printf("ready %v after the start\n", time.Since(began).Round(time.Millisecond))
	return nil
}

// list measures `meterlog records`.
func list(ctx context.Context, config, format string) error {
	c := exec.CommandContext(ctx, *binary, "records", "--config", config, "--state-dir", *state, "--format", format)
	began := time.Now()
	if err := c.Run(); err != nil {
		return err
	}
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	fmt.Printf("records --format %s: %v, at most %d MiB\n", format, time.Since(began).Round(10*time.Millisecond), usage.Maxrss>>10)
	return nil
}

// prune measures how long a delivery can wait for the pruning, which goes on
// between its steps, and for a commit beside it.
func prune(ctx context.Context) error {
	l, err := ledger.Open(ctx, *state)
	if err != nil {
		return err
	}
	defer l.Close()
	waits, done := make(chan time.Duration), make(chan struct{})
	go func() {
		defer close(waits)
		longest := time.Duration(0)
		for i := 0; ; i++ {
			select {
			case <-done:
				waits <- longest
				return
			case <-time.After(20 * time.Millisecond):
			}
			began := time.Now()
			if err := l.Commit(ctx, ledger.Batch{Globs: map[string]time.Time{"glob": time.Now()}, Tally: new(meter.Tally)}, time.Now()); err != nil {
				fmt.Fprintln(os.Stderr, "books:", err)
			}
			longest = max(longest, time.Since(began))
		}
	}()
	longest, steps, deleted := time.Duration(0), 0, 0
	began := time.Now()
	for {
		step := time.Now()
		n, err := l.Prune(ctx, time.Now())
		if err != nil {
			return err
		}
		longest = max(longest, time.Since(step))
		steps, deleted = steps+1, deleted+n
		if n == 0 {
			break
		}
	}
	close(done)
	fmt.Printf("%d records pruned in %v and %d steps; the longest step took %v, the longest commit beside it %v\n",
		deleted, time.Since(began).Round(time.Second), steps, longest.Round(time.Millisecond), (<-waits).Round(time.Millisecond))
	return nil
}
