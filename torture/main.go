// Command torture asks the product's question of the built binary: was every
// unit billed exactly once?
//
// Writers append to logs, tear lines and rotate their files in every way that
// logs are rotated, an API with faults takes the records, and the agent is
// killed with SIGKILL at random moments and started again, now and then after
// several rotations. At the end what the API accepted must equal what was
// written, to the unit, and no uuid may have come with two contents.
//
//	go run ./torture -duration 1m
package main

import (
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/meterlog/meterlog/internal/sandbox"
)

var (
	duration  = flag.Duration("duration", 30*time.Second, "how long to write and kill")
	seed      = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of everything that is random")
	killPause = flag.Duration("kill", 1500*time.Millisecond, "mean time between kills")
	rate      = flag.Int("rate", 2000, "lines a second of each writer")
	binary    = flag.String("binary", "", "the meterlog to torture (default: built from this module)")
	keep      = flag.Bool("keep", false, "keep the folder with logs and ledger")
	verbose   = flag.Bool("v", false, "show the agent's log")
	logLevel  = flag.String("log-level", "warn", "of the agent")
)

const settling = time.Second // for the first commit

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
	if *binary == "" {
		*binary = filepath.Join(dir, "meterlog")
		build := exec.CommandContext(ctx, "go", "build", "-o", *binary, "./cmd/meterlog")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build: %w", err)
		}
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
	writers := newWriters(dir)
	config := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(config, []byte(configuration(dir, url, writers)), 0o644); err != nil {
		return err
	}
	agent := &agent{config: config, api: strings.TrimPrefix(url, "http://")}

	began := time.Now()
	writing, cancel := context.WithTimeout(ctx, *duration)
	defer cancel()
	var group sync.WaitGroup
	failures := make(chan error, len(writers)+1)
	for _, w := range writers {
		group.Go(func() { failures <- w.run(writing) })
	}
	failures <- agent.runAndKill(writing)
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	model.SetFaults()
	if err := agent.start(); err != nil {
		return err
	}
	verdict := settle(ctx, model, writers)
	if err := agent.stop(); err != nil && verdict == nil {
		verdict = err
	}
	lines, rotations := 0, 0
	for _, w := range writers {
		lines += w.lines
		rotations += w.rotations
	}
	fmt.Printf("%d lines, %d rotations, %d kills, %d requests (%d with faults) in %v: ", lines, rotations, agent.kills, model.Stats().Requests, model.Stats().Faults, time.Since(began).Round(time.Second))
	if verdict == nil {
		fmt.Println("every unit was billed exactly once")
	} else {
		fmt.Println("FAILED")
	}
	return verdict
}

func configuration(dir, url string, writers []*writer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "product_id: torture\ninterval: 1s\nstate: %s\ndelivery: {endpoint: %q, timeout: 2s}\nsources:\n", filepath.Join(dir, "state"), url)
	for _, w := range writers {
		fmt.Fprintf(&b, "  - {name: %s, path: %s}\n", w.name, w.pattern)
	}
	b.WriteString("rules:\n")
	for _, w := range writers {
		fmt.Fprintf(&b, "  - {name: %s, source: %s, when: 'line contains \"event sent\"', sku_id: sku-%s}\n", w.name, w.name, w.name)
	}
	fmt.Fprintf(&b, "  - {name: bytes, when: 'line contains \"event sent\"', sku_id: sku-bytes, quantity: 'extract(line, `size=(\\d+)`)', per: %d}\n", perUnit)
	return b.String()
}

// settle waits until the API has all that was written, and says what differs
// when it has stopped coming nearer.
func settle(ctx context.Context, model *sandbox.Sandbox, writers []*writer) error {
	want := map[string]int64{}
	for _, w := range writers {
		want["sku-"+w.name] += w.events
		want["sku-bytes"] += w.bytes
	}
	want["sku-bytes"] /= perUnit
	deadline := time.Now().Add(90 * time.Second)
	for {
		got := map[string]int64{}
		for _, t := range model.Totals() {
			got[t.SKU] = t.Quantity
		}
		difference := ""
		for sku, n := range want {
			if got[sku] != n {
				difference += fmt.Sprintf("\n  %s: wrote %d, accepted %d (%+d)", sku, n, got[sku], got[sku]-n)
			}
		}
		over := false
		for sku, n := range got {
			over = over || n > want[sku]
		}
		if problems := append(model.Conflicts(), model.Violations()...); len(problems) > 0 {
			return errors.New("the API was misused:\n  " + strings.Join(problems, "\n  "))
		}
		if difference == "" {
			return nil
		}
		if over || time.Now().After(deadline) || ctx.Err() != nil {
			return errors.New("the sums differ:" + difference)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// agent is the meterlog under torture.
type agent struct {
	config, api string
	cmd         *exec.Cmd
	kills       int
}

func (a *agent) start() error {
	a.cmd = exec.Command(*binary, "run", "--config", a.config, "--log-level", *logLevel)
	a.cmd.Env = append(os.Environ(), "YC_METADATA_ADDR="+a.api)
	if *verbose {
		a.cmd.Stderr = os.Stderr
	}
	return a.cmd.Start()
}

func (a *agent) runAndKill(ctx context.Context) error {
	chance := rand.New(rand.NewPCG(*seed, 0))
	for ctx.Err() == nil {
		if err := a.start(); err != nil {
			return err
		}
		alive := time.Duration(chance.ExpFloat64() * float64(*killPause))
		if a.kills == 0 { // what is rotated before the first commit is none of ours
			alive += settling
		}
		sleep(ctx, alive)
		a.cmd.Process.Kill()
		var exit *exec.ExitError
		if err := a.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			return fmt.Errorf("the agent ended by itself: %v", err)
		}
		a.kills++
		if chance.IntN(4) == 0 { // long enough for several rotations
			sleep(ctx, time.Duration(chance.IntN(3000))*time.Millisecond)
		}
	}
	return nil
}

// stop ends the agent in order.
func (a *agent) stop() error {
	began := time.Now()
	a.cmd.Process.Signal(syscall.SIGTERM)
	err := a.cmd.Wait()
	if took := time.Since(began); took > 5*time.Second {
		return fmt.Errorf("the agent took %v to end", took)
	}
	return err
}

// writer is an application that logs and whose log is rotated.
type writer struct {
	name, path, pattern string
	rotate              func(*writer) error
	chance              *rand.Rand

	file      *os.File
	lines     int
	events    int64
	bytes     int64
	rotations int
}

func newWriters(dir string) []*writer {
	kinds := []struct {
		name    string
		pattern string
		rotate  func(*writer) error
	}{
		{"rename", "rename.log", (*writer).rename},
		{"late", "late.log*", (*writer).renameLate},
		{"compress", "compress.log", (*writer).renameAndCompress},
		{"copytruncate", "copytruncate.log", (*writer).copyTruncate},
	}
	var writers []*writer
	for i, k := range kinds {
		writers = append(writers, &writer{
			name: k.name, path: filepath.Join(dir, k.name+".log"), pattern: filepath.Join(dir, k.pattern),
			rotate: k.rotate, chance: rand.New(rand.NewPCG(*seed, uint64(i+1))),
		})
	}
	return writers
}

func (w *writer) run(ctx context.Context) error {
	if err := w.open(); err != nil {
		return err
	}
	const burst = 20 * time.Millisecond
	next := time.Now().Add(settling + w.nextRotation())
	for ctx.Err() == nil {
		if err := w.write(int(float64(*rate) * burst.Seconds())); err != nil {
			return err
		}
		if time.Now().After(next) {
			if err := w.rotate(w); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.rotations++
			next = time.Now().Add(w.nextRotation())
		}
		sleep(ctx, burst)
	}
	return w.file.Close()
}

func (w *writer) nextRotation() time.Duration {
	return time.Duration(200+w.chance.IntN(1500)) * time.Millisecond
}

func (w *writer) open() (err error) {
	w.file, err = os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

// write appends n lines; some writes end in the middle of a line, and the rest
// of it comes a moment later.
func (w *writer) write(n int) error {
	var b strings.Builder
	for range n {
		w.lines++
		if w.chance.IntN(5) == 0 {
			fmt.Fprintf(&b, "%s %s:%d housekeeping %d\n", time.Now().Format(time.RFC3339Nano), w.name, w.lines, w.chance.Int())
			continue
		}
		size := w.chance.Int64N(5000)
		w.events++
		w.bytes += size
		fmt.Fprintf(&b, "%s %s:%d event sent size=%d\n", time.Now().Format(time.RFC3339Nano), w.name, w.lines, size)
	}
	text := b.String()
	cut := len(text)
	if w.chance.IntN(4) == 0 && cut > 1 {
		cut = 1 + w.chance.IntN(cut-1)
	}
	if _, err := w.file.WriteString(text[:cut]); err != nil {
		return err
	}
	if cut < len(text) {
		time.Sleep(time.Duration(w.chance.IntN(20)) * time.Millisecond)
	}
	_, err := w.file.WriteString(text[cut:])
	return err
}

const kept = 200 // rotated files: more than come up, so that none is deleted unread

func (w *writer) shift() error {
	for i := kept; i >= 1; i-- {
		for _, ext := range []string{"", ".gz"} {
			from := fmt.Sprintf("%s.%d%s", w.path, i, ext)
			if err := os.Rename(from, fmt.Sprintf("%s.%d%s", w.path, i+1, ext)); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return nil
}

func (w *writer) rename() error {
	if err := w.shift(); err != nil {
		return err
	}
	if err := os.Rename(w.path, w.path+".1"); err != nil {
		return err
	}
	w.file.Close()
	return w.open()
}

// renameLate keeps writing to the old file for a while after the new one is
// there.
func (w *writer) renameLate() error {
	old := w.file
	if err := w.shift(); err != nil {
		return err
	}
	if err := os.Rename(w.path, w.path+".1"); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	fresh := w.file
	for range w.chance.IntN(5) {
		w.file = old
		if err := w.write(10); err != nil {
			return err
		}
		w.file = fresh
		if err := w.write(10); err != nil {
			return err
		}
		time.Sleep(time.Duration(w.chance.IntN(60)) * time.Millisecond)
	}
	return old.Close()
}

func (w *writer) renameAndCompress() error {
	if err := w.rename(); err != nil {
		return err
	}
	return compress(w.path + ".1")
}

// compress replaces a file by its compressed form and keeps its times, as gzip
// does.
func compress(name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(name + ".gz")
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	if err := errors.Join(z.Close(), out.Close(), os.Chtimes(name+".gz", info.ModTime(), info.ModTime())); err != nil {
		return err
	}
	return os.Remove(name)
}

// copyTruncate copies and truncates while nothing is written, so that nothing
// is destroyed.
func (w *writer) copyTruncate() error {
	if err := w.shift(); err != nil {
		return err
	}
	in, err := os.Open(w.path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(w.path + ".1")
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Truncate(w.path, 0)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
