// Command bench measures meterlog beside grep, mawk and other tools on the same
// files in one run. meterlog does its whole job: it matches, writes its ledger and
// delivers to the embedded sandbox. The command checks the counts of every run.
//
//	go run ./test/bench -write docs/benchmarks.md
//
// It compares the CPU time of the process, user and system, as medians of several
// runs. Ratios hold on other machines; absolute figures do not. It measures the
// peers that are installed. The variables MAWK, RG, MTAIL and FLUENT_BIT name others.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

var (
	size     = flag.Int64("size", 1<<30, "bytes of each log")
	peerSize = flag.Int64("peer-size", 128<<20, "bytes of it that slow peers read")
	runs     = flag.Int("runs", 5, "runs of each command")
	idle     = flag.Duration("idle", 30*time.Second, "how long idle agents are watched")
	live     = flag.Duration("live", 20*time.Second, "how long 50,000 lines a second are written")
	data     = flag.String("data", "test/bench/data", "folder for logs")
	output   = flag.String("write", "", "write the report to this file (default: standard output)")
	only     = flag.String("only", "", "measure only these, with commas: catchup, lines, files, idle, live, latency, keys")
)

func main() {
	flag.Parse()
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// report collects the tables and, to stand before them, their main figures.
type report struct {
	bytes.Buffer
	binary string
	aims   []aim
}

// aim is a figure with its aim: the least, or the most.
type aim struct {
	what     string
	got, aim float64
	least    bool
	unit     string
}

func (r *report) aimed(what string, got, aimed float64, least bool, unit string) {
	r.aims = append(r.aims, aim{what, got, aimed, least, unit})
}

func bench() error {
	if err := os.MkdirAll(*data, 0o755); err != nil {
		return err
	}
	binary, err := build()
	if err != nil {
		return err
	}
	r := &report{binary: binary}
	for _, part := range []struct {
		name    string
		measure func(*report) error
	}{{"catchup", catchUp}, {"lines", everyLine}, {"files", manyFiles}, {"idle", atRest}, {"live", underWay}, {"latency", latency}, {"keys", withMemory}} {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), part.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, "bench:", part.name)
		if err := part.measure(r); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	text, err := r.text()
	if err != nil {
		return err
	}
	if *output == "" {
		_, err = os.Stdout.WriteString(text)
		return err
	}
	return os.WriteFile(*output, []byte(text), 0o644)
}

func build() (string, error) {
	binary, err := filepath.Abs(filepath.Join(*data, "meterlog"))
	if err != nil {
		return "", err
	}
	build := exec.Command("packaging/compile", "-ldflags", "-s -w", "-o", binary)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	return binary, nil
}

func (r *report) text() (string, error) {
	info, err := os.Stat(r.binary)
	if err != nil {
		return "", err
	}
	r.aimed("stripped binary", float64(info.Size())/1e6, 25, false, " MB")
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Made by `+"`make bench`"+` on %s; do not edit by hand.

%s, %d cores, %s/%s, kernel %s, %s. Logs of %d MiB in the page cache, medians
of %d runs, one after another. CPU is user and system time of the process.
Every run's counts were checked. The stripped binary is %.1f MB.

`, time.Now().UTC().Format("2006-01-02"), processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, kernel(), runtime.Version(),
		*size>>20, *runs, float64(info.Size())/1e6)
	b.WriteString("| figure | measured | aim |\n|---|---|---|\n")
	for _, a := range r.aims {
		bound := "≤"
		if a.least {
			bound = "≥"
		}
		fmt.Fprintf(&b, "| %s | %s%s | %s %s%s |\n", a.what, figure(a.got), a.unit, bound, figure(a.aim), a.unit)
	}
	b.WriteString("\n")
	b.Write(r.Bytes())
	b.WriteString(versions())
	return b.String(), nil
}

// figure returns a number with at least three digits.
func figure(f float64) string {
	switch {
	case f >= 100 || f == float64(int64(f)):
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}
