package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// measured is the median of several runs.
type measured struct {
	cpu, wall time.Duration
	rss       int64 // KiB
}

// rate returns how many megabytes were read in a second of CPU time.
func (m measured) rate(size int64) float64 { return float64(size) / 1e6 / m.cpu.Seconds() }

// measure runs a command several times and checks its output each time.
func measure(check func(out []byte) error, command ...string) (measured, error) {
	var cpu, wall []time.Duration
	var rss []int64
	for range *runs {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		began := time.Now()
		out, err := cmd.Output()
		took := time.Since(began)
		if err != nil {
			return measured{}, fmt.Errorf("%s: %w", strings.Join(command, " "), withStderr(err))
		}
		if err := check(out); err != nil {
			return measured{}, fmt.Errorf("%s: %w", strings.Join(command, " "), err)
		}
		wall = append(wall, took)
		cpu = append(cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		rss = append(rss, peak(cmd))
	}
	return measured{median(cpu), median(wall), median(rss)}, nil
}

func withStderr(err error) error {
	if exit, ok := err.(*exec.ExitError); ok && len(exit.Stderr) > 0 {
		text := strings.TrimSpace(string(exit.Stderr))
		return fmt.Errorf("%w: %s", err, text[max(0, len(text)-300):])
	}
	return err
}

func median[T time.Duration | int64 | float64](values []T) T {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// rule is one of a configuration that is measured.
type rule struct{ when, sku, quantity string }

// configuration returns a configuration of one source with rules.
func configuration(path, source string, rules []rule) string {
	absolute, _ := filepath.Abs(path)
	var b strings.Builder
	fmt.Fprintf(&b, "product_id: bench\nsources: [{name: log, path: %s, %s}]\nrules:\n", absolute, source)
	for i, r := range rules {
		fmt.Fprintf(&b, "  - {name: r%d, when: '%s', sku_id: %s", i, r.when, r.sku)
		if r.quantity != "" {
			fmt.Fprintf(&b, ", quantity: '%s'", r.quantity)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// once measures the whole job: `meterlog run --once --sandbox`.
func once(binary, config string, want map[string]int64, rules []rule) (measured, error) {
	dir, err := os.MkdirTemp("", "meterlog-bench-")
	if err != nil {
		return measured{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return measured{}, err
	}
	return measure(expectTotals(want, rules), binary, "run", "--once", "--sandbox", "--log-level", "error", "--config", path)
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
