// Command bench measures meterlog beside grep and wc on the same files in one
// run, the whole job included: matching, ledger and delivery to the embedded
// sandbox. Every run's counts are checked.
//
//	go run ./bench -write docs/benchmarks.md
//
// It compares CPU time (user and system, of the process), as medians of
// several runs. Ratios travel between machines; absolute figures do not.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	size   = flag.Int64("size", 1<<30, "bytes of each log")
	runs   = flag.Int("runs", 5, "runs of each command")
	idle   = flag.Duration("idle", 30*time.Second, "how long idle agents are watched")
	data   = flag.String("data", "bench/data", "folder for logs, made once")
	output = flag.String("write", "", "write the report to this file (default: standard output)")
)

func main() {
	flag.Parse()
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	if err := os.MkdirAll(*data, 0o755); err != nil {
		return err
	}
	binary, err := filepath.Abs(filepath.Join(*data, "meterlog"))
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/meterlog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	var report bytes.Buffer
	if err := describe(&report, binary); err != nil {
		return err
	}
	text, err := textLog()
	if err != nil {
		return err
	}
	jsonl, err := jsonLog()
	if err != nil {
		return err
	}
	if err := catchUp(&report, binary, text, jsonl); err != nil {
		return err
	}
	if err := atRest(&report, binary); err != nil {
		return err
	}
	if *output == "" {
		_, err = os.Stdout.Write(report.Bytes())
		return err
	}
	return os.WriteFile(*output, report.Bytes(), 0o644)
}

func describe(w *bytes.Buffer, binary string) error {
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, `# Benchmarks

Made by `+"`make bench`"+` on %s; do not edit by hand.

%d cores, %s/%s, %s; logs of %d MiB in the page cache; medians of %d runs.
CPU is user and system time of the process. Every run's counts were checked.
The stripped binary is %.1f MB.

`, time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), *size>>20, *runs, float64(info.Size())/1e6)
	return nil
}

// log is a generated file with what is to be counted in it.
type log struct {
	path string
	want map[string]int64 // by SKU
}

func words(r *rand.Rand, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	var b strings.Builder
	for b.Len() < n {
		for range 3 + r.IntN(8) {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
		b.WriteByte(' ')
	}
	return b.String()[:n]
}

func event(i int) string { return fmt.Sprintf("event-%03d done", i) }

// textLog has lines of about 160 bytes; 2 % are mails, and 0.02 % each of a
// hundred other events.
func textLog() (log, error) {
	return generate("text.log", func(r *rand.Rand, w *bufio.Writer, want map[string]int64) {
		fmt.Fprintf(w, "2026-01-01T00:00:%02d.%03dZ host app[%d]: ", r.IntN(60), r.IntN(1000), r.IntN(30000))
		switch n := r.IntN(10000); {
		case n < 200:
			fmt.Fprintf(w, "email sent to=<user%d@example.com> ", r.IntN(1e6))
			want["sku-mail"]++
		case n < 400:
			i := n % 100
			fmt.Fprintf(w, "%s ", event(i))
			want["sku-"+strconv.Itoa(i)]++
		}
		w.WriteString(words(r, 90))
		w.WriteByte('\n')
	})
}

// jsonLog has lines of about 300 bytes, of which 2 % finish an export.
func jsonLog() (log, error) {
	return generate("json.log", func(r *rand.Rand, w *bufio.Writer, want map[string]int64) {
		name, bytes := "request.served", r.Int64N(1e6)
		if r.IntN(50) == 0 {
			name = "export.finished"
			want["sku-bytes"] += bytes
		}
		fmt.Fprintf(w, `{"ts":"2026-01-01T00:00:%02dZ","level":"info","event":"%s","user":{"id":%d,"plan":"pro"},"bytes":%d,"note":"%s"}`+"\n",
			r.IntN(60), name, r.IntN(1e6), bytes, words(r, 180))
	})
}

func generate(name string, line func(*rand.Rand, *bufio.Writer, map[string]int64)) (log, error) {
	l := log{path: filepath.Join(*data, fmt.Sprintf("%d-%s", *size, name)), want: make(map[string]int64)}
	f, err := os.Create(l.path)
	if err != nil {
		return l, err
	}
	defer f.Close()
	r := rand.New(rand.NewPCG(1, 2))
	w := bufio.NewWriterSize(f, 1<<20)
	var counter countingWriter
	counter.w = f
	w.Reset(&counter)
	for counter.n < *size {
		line(r, w, l.want)
	}
	return l, errors.Join(w.Flush(), f.Sync())
}

type countingWriter struct {
	w *os.File
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// measured is the median of several runs.
type measured struct {
	cpu, wall time.Duration
	rss       int64 // KiB
}

func measure(check func(out []byte) error, command ...string) (measured, error) {
	var cpu, wall []time.Duration
	var rss []int64
	for range *runs {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		cmd.Stderr = os.Stderr
		began := time.Now()
		out, err := cmd.Output()
		if err != nil {
			return measured{}, fmt.Errorf("%s: %w", strings.Join(command, " "), err)
		}
		if err := check(out); err != nil {
			return measured{}, fmt.Errorf("%s: %w", strings.Join(command, " "), err)
		}
		wall = append(wall, time.Since(began))
		cpu = append(cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		rss = append(rss, peak(cmd))
	}
	slices.Sort(cpu)
	slices.Sort(wall)
	slices.Sort(rss)
	return measured{cpu[len(cpu)/2], wall[len(wall)/2], rss[len(rss)/2]}, nil
}

func catchUp(report *bytes.Buffer, binary string, text, jsonl log) error {
	dir, err := os.MkdirTemp("", "meterlog-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	one := []rule{{when: `line contains "email sent"`, sku: "sku-mail"}}
	ten, hundred := slices.Clone(one), slices.Clone(one)
	for i := range 99 {
		r := rule{when: fmt.Sprintf("line contains %q", event(i)), sku: "sku-" + strconv.Itoa(i)}
		if i < 9 {
			ten = append(ten, r)
		}
		hundred = append(hundred, r)
	}
	sum := []rule{{when: `fields.event == "export.finished"`, sku: "sku-bytes", quantity: "fields.bytes"}}

	fmt.Fprintf(report, "## Catching up\n\n| command | CPU s | MB per CPU s | wall s | peak RSS MiB | CPU, grep = 1 |\n|---|---|---|---|---|---|\n")
	grep, err := measure(expectNumber(text.want["sku-mail"]), "grep", "-c", "-F", "email sent", text.path)
	if err != nil {
		return err
	}
	row := func(name string, m measured) {
		fmt.Fprintf(report, "| %s | %.2f | %.0f | %.2f | %.0f | %.2f |\n", name, m.cpu.Seconds(), float64(*size)/1e6/m.cpu.Seconds(), m.wall.Seconds(), float64(m.rss)/1024, m.cpu.Seconds()/grep.cpu.Seconds())
	}
	row("`LC_ALL=C grep -c -F 'email sent'`", grep)
	wc, err := measure(func([]byte) error { return nil }, "wc", "-l", text.path)
	if err != nil {
		return err
	}
	row("`wc -l`", wc)
	for _, job := range []struct {
		name   string
		log    log
		format string
		rules  []rule
	}{
		{"meterlog, text, 1 rule", text, "text", one},
		{"meterlog, text, 10 rules", text, "text", ten},
		{"meterlog, text, 100 rules", text, "text", hundred},
		{"meterlog, JSON, sum of a field", jsonl, "json", sum},
	} {
		config := filepath.Join(dir, "rules.yaml")
		if err := os.WriteFile(config, []byte(configuration(job.log.path, job.format, job.rules)), 0o644); err != nil {
			return err
		}
		m, err := measure(expectTotals(job.log.want, job.rules), binary, "run", "--once", "--sandbox", "--log-level", "error", "--config", config)
		if err != nil {
			return err
		}
		row(job.name+" (`run --once --sandbox`)", m)
	}
	fmt.Fprintln(report)
	return nil
}

type rule struct{ when, sku, quantity string }

func configuration(pattern, format string, rules []rule) string {
	absolute, _ := filepath.Abs(pattern)
	var b strings.Builder
	fmt.Fprintf(&b, "product_id: bench\nsources: [{name: log, path: %s, format: %s}]\nrules:\n", absolute, format)
	for i, r := range rules {
		fmt.Fprintf(&b, "  - {name: r%d, when: '%s', sku_id: %s", i, r.when, r.sku)
		if r.quantity != "" {
			fmt.Fprintf(&b, ", quantity: %s", r.quantity)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func expectNumber(want int64) func([]byte) error {
	return func(out []byte) error {
		if got := strings.TrimSpace(string(out)); got != strconv.FormatInt(want, 10) {
			return fmt.Errorf("counted %s, want %d", got, want)
		}
		return nil
	}
}

// expectTotals reads what the sandbox accepted from the end of the output.
func expectTotals(want map[string]int64, rules []rule) func([]byte) error {
	return func(out []byte) error {
		got := make(map[string]int64)
		for line := range strings.Lines(string(out)) {
			var product, sku, noun string
			var records, quantity int64
			if n, _ := fmt.Sscanf(strings.TrimSpace(line), "product %s SKU %s %d %s quantity %d", &product, &sku, &records, &noun, &quantity); n == 5 {
				got[sku] = quantity
			}
		}
		for _, r := range rules {
			if got[r.sku] != want[r.sku] {
				return fmt.Errorf("%s: accepted %d, want %d", r.sku, got[r.sku], want[r.sku])
			}
		}
		return nil
	}
}

// atRest watches agents that follow files in which nothing happens.
func atRest(report *bytes.Buffer, binary string) error {
	fmt.Fprintf(report, "## At rest, over %v\n\n| files | CPU, %% of a core | RSS MiB |\n|---|---|---|\n", *idle)
	for _, files := range []int{100, 1000} {
		percent, rss, err := watchIdle(binary, files)
		if err != nil {
			return err
		}
		fmt.Fprintf(report, "| %d | %.2f | %.0f |\n", files, percent, float64(rss)/1024)
	}
	return nil
}

func watchIdle(binary string, files int) (percent float64, rss int64, err error) {
	dir, err := os.MkdirTemp("", "meterlog-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("app%d.log", i)), []byte("nothing to bill here\n"), 0o644); err != nil {
			return 0, 0, err
		}
	}
	config := filepath.Join(dir, "rules.yaml")
	text := configuration(filepath.Join(dir, "*.log"), "text", []rule{{when: `line contains "email sent"`, sku: "sku-mail"}})
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return 0, 0, err
	}
	cmd := exec.Command(binary, "run", "--sandbox", "--log-level", "error", "--config", config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	}()
	time.Sleep(10 * time.Second) // the start is over
	before, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(*idle)
	after, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	rss, err = rssOf(cmd.Process.Pid)
	return 100 * (after - before).Seconds() / idle.Seconds(), rss, err
}
