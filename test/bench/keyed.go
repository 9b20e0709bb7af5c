package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

const million = 1_000_000

// users is the rule of the keyed logs: an active user counts once a day.
const users = `{name: users, when: 'fields.event == "request"', sku_id: sku-users, once: {key: fields.user.id, each: day}}`

// keyedLine writes a line of about 120 bytes with a key.
func keyedLine(w io.Writer, key, n int) {
	fmt.Fprintf(w, `{"level":"info","event":"request","user":{"id":"user-%07d@example.com"},"bytes":%d,"path":"/api/v1/items/%d"}`+"\n", key, n, n%1000)
}

// keyedLog writes a log of a million lines with this number of keys, in a random
// order.
func keyedLog(path string, keys int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	order := rand.New(rand.NewPCG(1, 2)).Perm(keys)
	w := bufio.NewWriter(f) // the memory of this process counts as a child's peak, too
	for i := range million {
		keyedLine(w, order[i%keys], i)
	}
	return w.Flush()
}

// withMemory measures a rule that counts the first line of each key.
func withMemory(r *report) error {
	fmt.Fprintf(r, "## Rules with a memory\n\nA rule with `once`, each day, over %d lines of JSON. Without `once` the same\nlines take the CPU time and memory of the first row.\n\n| keys | CPU s | peak RSS MiB | ledger MB |\n|---|---|---|---|\n", million)
	var plain measured
	for _, keys := range []int{0, million, 100_000} {
		m, size, err := catchUpKeyed(r.binary, keys)
		if err != nil {
			return err
		}
		name := fmt.Sprint(keys)
		if keys == 0 {
			name, plain = "without `once`", m
		}
		fmt.Fprintf(r, "| %s | %.2f | %.0f | %.1f |\n", name, m.cpu.Seconds(), float64(m.rss)/1024, float64(size)/1e6)
		switch keys {
		case million:
			r.aimed("1,000,000 new keys: CPU", m.cpu.Seconds(), 5, false, " s")
			r.aimed("1,000,000 new keys: memory for them", float64(m.rss-plain.rss)/1024, 32, false, " MiB")
			r.aimed("1,000,000 new keys: ledger", float64(size)/1e6, 60, false, " MB")
		case 100_000:
			r.aimed("1,000,000 lines with 100,000 keys: CPU", m.cpu.Seconds(), 1.5, false, " s")
		}
	}
	percent, rss, err := keyedUnderWay(r.binary)
	if err != nil {
		return err
	}
	fmt.Fprintf(r, "\n50,000 lines a second with 100,000 keys, over %v, after each key has counted:\n%.2f %% of a core, %.0f MiB.\n\n", *live, percent, float64(rss)/1024)
	r.aimed("50,000 keyed lines a second, live", percent, 12, false, " % of a core")
	return otherRules(r)
}

// catchUpKeyed reads a log with this number of keys, or with a rule without a memory. It
// returns the size of the ledger, too.
func catchUpKeyed(binary string, keys int) (m measured, ledger int64, err error) {
	billed, want := users, int64(keys)
	if keys == 0 {
		billed, want = `{name: users, when: 'fields.event == "request"', sku_id: sku-users}`, million
	}
	return catchUpRule(binary, keys, billed, expectTotals(map[string]int64{"sku-users": want}, []rule{{sku: "sku-users"}}))
}

// catchUpRule reads a log with this number of keys by one rule.
func catchUpRule(binary string, keys int, billed string, check func(output []byte) error) (m measured, ledger int64, err error) {
	dir, err := os.MkdirTemp(*data, "keyed-")
	if err != nil {
		return m, 0, err
	}
	defer os.RemoveAll(dir)
	log, config, state := filepath.Join(dir, "app.log"), filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "state")
	if err := keyedLog(log, max(keys, 1)); err != nil {
		return m, 0, err
	}
	if err := writeKeyedConfig(config, log, billed); err != nil {
		return m, 0, err
	}
	var all []measured
	single := *runs
	defer func() { *runs = single }()
	*runs = 1
	for range single {
		if err := os.RemoveAll(state); err != nil {
			return m, 0, err
		}
		m, err := measure(check, binary, "run", "--once", "--sandbox", "--log-level", "error", "--config", config, "--state", state)
		if err != nil {
			return m, 0, err
		}
		all = append(all, m)
	}
	info, err := os.Stat(filepath.Join(state, "ledger.db"))
	if err != nil {
		return m, 0, err
	}
	return middle(all), info.Size(), nil
}

func writeKeyedConfig(config, log, rule string) error {
	path, err := filepath.Abs(log)
	if err != nil {
		return err
	}
	return os.WriteFile(config, fmt.Appendf(nil, "product_id: bench\nsources: [{name: log, path: %s, format: json}]\nrules:\n  - %s\n", path, rule), 0o644)
}

// keyedUnderWay writes 50,000 lines a second with keys of 100,000, and watches the
// agent that follows them.
func keyedUnderWay(binary string) (percent float64, rss int64, err error) {
	const perSecond, writes, keys = 50_000, 100, 100_000
	dir, err := os.MkdirTemp("", "meterlog-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	log, err := os.Create(filepath.Join(dir, "app.log"))
	if err != nil {
		return 0, 0, err
	}
	defer log.Close()
	var batches [keys / (perSecond / writes)]bytes.Buffer
	for i := range keys {
		keyedLine(&batches[i/(perSecond/writes)], i, i)
	}
	config := filepath.Join(dir, "rules.yaml")
	if err := writeKeyedConfig(config, log.Name(), users); err != nil {
		return 0, 0, err
	}
	f, err := start(binary, dir, config)
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(startTime)
	written := 0
	write := func() error {
		written++
		_, err := log.Write(batches[written%len(batches)].Bytes())
		return err
	}
	if err := pace(writes, 3*time.Second, write); err != nil { // each key counts
		return 0, 0, err
	}
	percent, rss, err = f.during(func() error { return pace(writes, *live, write) })
	if err == nil {
		time.Sleep(2 * time.Second) // the last commit
		err = f.stop()
	}
	if err != nil {
		return 0, 0, err
	}
	counted, err := recorded(binary, f)
	if err == nil && counted != keys {
		err = fmt.Errorf("counted %d users, want %d", counted, keys)
	}
	return percent, rss, err
}
