package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/test/trial"
)

// run is one shape under trial: its folder, its API, its agent and the account
// of what was written. A step that cannot be done ends the run (see through).
type run struct {
	shape
	ctx     context.Context
	dir     string // with the log folder, the state and the agent's log
	agent   *trial.Agent
	model   *sandbox.Sandbox
	lastID  int64
	want    map[string]int64 // by SKU
	extra   string           // of the source: more keys
	sources string           // instead of the usual source and rules
	faults  []error          // what was wrong on the way
	cleanup func()           // runs after the agent has ended
}

// broken is how a step that cannot be done ends a run.
type broken struct{ error }

func newRun(ctx context.Context, s shape, dir string) (*run, error) {
	r := &run{shape: s, ctx: ctx, dir: dir, want: map[string]int64{}}
	if len(r.patterns) == 0 {
		r.patterns = []string{"app.log"}
	}
	if err := os.MkdirAll(r.path(""), 0o755); err != nil {
		return nil, err
	}
	r.model = sandbox.New(sandbox.Config{})
	log, err := os.Create(filepath.Join(dir, "agent.log"))
	if err != nil {
		return nil, err
	}
	r.agent = &trial.Agent{Binary: *binary, Config: filepath.Join(dir, "rules.yaml"), Level: "debug", Log: log}
	return r, nil
}

// changing makes a change: under a running agent, or between a kill and a start.
func (r *run) changing(down bool, change func()) {
	if down {
		r.kill()
	}
	change()
	if down {
		r.start()
	}
}

// through runs the shape to its end and returns what was wrong.
func (r *run) through() (err error) {
	ctx, cancel := context.WithTimeout(r.ctx, *limit)
	r.ctx = ctx
	url, wait, err := r.model.Start(ctx)
	if err != nil {
		cancel()
		return err
	}
	r.agent.API = url
	defer func() {
		if r.agent.Running() {
			r.agent.Kill()
		}
		if r.cleanup != nil {
			r.cleanup()
		}
		cancel()
		wait()
	}()
	defer func() {
		if p := recover(); p != nil {
			b, ok := p.(broken)
			if !ok {
				panic(p)
			}
			err = errors.Join(append(r.faults, b.error)...)
		}
	}()
	r.do(r)
	r.finish()
	return errors.Join(r.faults...)
}

// finish waits for the sums, holds them for a while and asks for problems.
func (r *run) finish() {
	if !r.agent.Running() {
		r.start()
	}
	r.await(*patience)
	calm := *calm
	if r.alone {
		calm /= 4
	}
	for until := time.Now().Add(calm); time.Now().Before(until) && r.difference() == ""; {
		r.rest(200 * time.Millisecond)
	}
	if d := r.difference(); d != "" {
		r.fault("%s", d)
	}
	if wrong := append(r.model.Conflicts(), r.model.Violations()...); len(wrong) > 0 {
		r.fault("the API was misused: %s", strings.Join(wrong, "; "))
	}
	status, err := r.agent.Status()
	r.must(err)
	if err := status.Alarms(r.expect, r.tolerate); err != nil {
		r.faults = append(r.faults, err)
	}
	if err := r.agent.Stop(farewell); err != nil {
		r.fault("%v", err)
	}
}

const farewell = 5 * time.Second

// fault notes what is wrong and goes on.
func (r *run) fault(format string, arguments ...any) {
	r.faults = append(r.faults, fmt.Errorf(format, arguments...))
}

// must ends the run if a step could not be done.
func (r *run) must(err error) {
	if err != nil {
		panic(broken{err})
	}
}

func (r *run) rest(d time.Duration) {
	select {
	case <-r.ctx.Done():
		panic(broken{r.ctx.Err()})
	case <-time.After(d):
	}
}

// The agent.

const usualRules = `rules:
  - {name: count, when: 'line contains "EV id="', sku_id: count}
  - {name: sum, when: 'line contains "EV id="', sku_id: sum, quantity: 'extract(line, "id=(\\d+)")'}
  - {name: square, when: 'line contains "EV id="', sku_id: square, quantity: 'int(extract(line, "id=(\\d+)")) * int(extract(line, "id=(\\d+)"))'}
`

func (r *run) start() {
	r.configure()
	r.must(r.agent.Start())
	r.rest(1500 * time.Millisecond)
}

func (r *run) configure() {
	text := r.sources
	if text == "" {
		var patterns []string
		for _, p := range r.patterns {
			patterns = append(patterns, fmt.Sprintf("%q", r.path(p)))
		}
		text = fmt.Sprintf("sources:\n  - name: app\n    path: [%s]\n%s%s", strings.Join(patterns, ", "), r.extra, usualRules)
	}
	text = strings.ReplaceAll(text, "LOGS", r.path(""))
	text += fmt.Sprintf("product_id: shapes\ninterval: 1s\nstate: %s\ndelivery: {endpoint: %q}\n", r.state(), r.agent.API)
	r.must(os.WriteFile(r.agent.Config, []byte(text), 0o644))
}

func (r *run) state() string { return filepath.Join(r.dir, "state") }

func (r *run) kill() { r.must(r.agent.Kill()) }

func (r *run) stop() { r.must(r.agent.Stop(farewell)) }

func (r *run) restart() { r.kill(); r.start() }

// The account.

// line returns a line that counts, with an id of its own, without a newline.
func (r *run) line() string {
	r.lastID++
	r.count(r.lastID)
	return fmt.Sprintf("%s EV id=%d", time.Now().UTC().Format("2006-01-02T15:04:05.000000"), r.lastID)
}

// count adds a line with an id to what must be billed.
func (r *run) count(id int64) {
	r.want["count"]++
	r.want["sum"] += id
	r.want["square"] += id * id
}

func (r *run) lines(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(r.line() + "\n")
	}
	return b.String()
}

// difference returns what the API has accepted beyond what was written, or "".
func (r *run) difference() string {
	got := map[string]int64{}
	for _, t := range r.model.Totals() {
		got[t.SKU] = t.Quantity
	}
	if maps.Equal(got, r.want) {
		return ""
	}
	var parts []string
	for sku := range union(got, r.want) {
		if got[sku] != r.want[sku] {
			parts = append(parts, fmt.Sprintf("%s: written %d, billed %d (%+d)", sku, r.want[sku], got[sku], got[sku]-r.want[sku]))
		}
	}
	return strings.Join(parts, ", ")
}

// overcharged reports whether more was billed than was written, which no time
// puts right.
func (r *run) overcharged() bool {
	for _, t := range r.model.Totals() {
		if t.Quantity > r.want[t.SKU] {
			return true
		}
	}
	return false
}

func union(a, b map[string]int64) map[string]int64 {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// settled waits until every written line is billed. A shape goes on if the wait
// is too long: finish reports what is wrong.
func (r *run) settled() { r.await(8 * time.Second) }

func (r *run) await(d time.Duration) bool {
	for until := time.Now().Add(d); time.Now().Before(until) && !r.overcharged(); {
		if r.difference() == "" {
			return true
		}
		r.rest(100 * time.Millisecond)
	}
	return false
}

// The files.

// path returns where a name is; names are below the log folder.
func (r *run) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, "log", name)
}

// write appends n lines that count, as one write.
func (r *run) write(name string, n int) { r.raw(name, r.lines(n)) }

// raw appends text.
func (r *run) raw(name, text string) {
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	r.must(err)
	_, err = f.WriteString(text)
	r.must(errors.Join(err, f.Close()))
}

// open opens a file as an application that keeps its log open.
func (r *run) open(name string, flags int) *os.File {
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_WRONLY|flags, 0o644)
	r.must(err)
	return f
}

func (r *run) read(name string) string {
	data, err := os.ReadFile(r.path(name))
	r.must(err)
	return string(data)
}

func (r *run) move(from, to string) {
	r.must(os.MkdirAll(filepath.Dir(r.path(to)), 0o755))
	r.must(os.Rename(r.path(from), r.path(to)))
}

// sh runs a script in the log folder.
func (r *run) sh(script string) {
	c := exec.CommandContext(r.ctx, "sh", "-euc", script)
	c.Dir = r.path("")
	output, err := c.CombinedOutput()
	if err != nil {
		panic(broken{fmt.Errorf("%s: %w: %s", script, err, output)})
	}
}
