package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// workload is a log, the rules for meterlog, and the commands of the others.
type workload struct {
	name   string
	line   lineWriter
	source string // of the configuration, behind name and path
	rules  []rule
	grep   []string // the pattern, as grep and rg take it
	hits   []string // keys of want: the lines that grep counts
	mtail  string   // a program
	metric string   // of it
	slow   string   // key of want: the value of the metric
}

const nginxPattern = `^(?P<client>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<method>[A-Z]+) (?P<path>\S+)[^"]*" (?P<status>\d{3}) (?P<bytes>\d+)`

func workloads() []workload {
	mail := rule{when: `line contains "email sent"`, sku: "sku-mail"}
	var events []rule
	var names, literals []string
	for i := range 99 {
		events = append(events, rule{when: fmt.Sprintf("line contains %q", event(i)), sku: "sku-" + strconv.Itoa(i)})
		names = append(names, "sku-"+strconv.Itoa(i))
		literals = append(literals, "-e", event(i))
	}
	counters := func(n int) string {
		var b strings.Builder
		b.WriteString("counter mails\n/email sent/ {\n  mails++\n}\n")
		for i := range n {
			fmt.Fprintf(&b, "counter e%d\n/%s/ {\n  e%d++\n}\n", i, event(i), i)
		}
		return b.String()
	}
	text := func(n int) workload {
		return workload{
			name: plural(n+1, "rule"), line: textLine, source: "format: text",
			rules: append([]rule{mail}, events[:n]...),
			grep:  append([]string{"-F", "-e", "email sent"}, literals[:2*n]...), hits: append([]string{"sku-mail"}, names[:n]...),
			mtail: counters(n), metric: "mails", slow: "sku-mail",
		}
	}
	ten, hundred := text(9), text(99)
	hundred.mtail = "" // minutes
	ten.name, hundred.name = "text, "+ten.name, "text, "+hundred.name
	one := text(0)
	one.name = "text, " + one.name
	return []workload{one, ten, hundred,
		{
			name: "JSON, sum of a field", line: jsonLine, source: "format: json",
			rules: []rule{{when: `fields.event == "export.finished"`, sku: "sku-bytes", quantity: "fields.bytes"}},
			grep:  []string{"-F", "-e", `"event":"export.finished"`}, hits: []string{"exports"},
			mtail:  "counter sum\n/\"event\":\"export.finished\".*\"bytes\":(?P<n>\\d+)/ {\n  sum += $n\n}\n",
			metric: "sum", slow: "sku-bytes",
		},
		{
			name: "nginx, path and status", line: nginxLine, source: "format: regexp, pattern: '" + nginxPattern + "'",
			rules: []rule{{when: `fields.path startsWith "/api/v1/export/" and fields.status == "200"`, sku: "sku-exports"}},
			grep:  []string{"-E", "-e", `"[A-Z]+ /api/v1/export/[^" ]*[^"]*" 200 `}, hits: []string{"sku-exports"},
			mtail:  "counter n\n/\"[A-Z]+ \\/api\\/v1\\/export\\/\\S*[^\"]*\" 200 / {\n  n++\n}\n",
			metric: "n", slow: "sku-exports",
		},
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// catchUp reads each log from its beginning to its end.
func catchUp(r *report) error {
	fmt.Fprintf(r, "## Catching up\n\nFrom the first byte to the end. Slow peers read the first %d MiB. grep and rg only\ncount lines that have one of the texts; they sum nothing, remember nothing and\ndeliver nothing.\n\n", *peerSize>>20)
	fmt.Fprintf(r, "| workload | command | MB per CPU s | CPU, grep = 1 | wall s | peak RSS MiB |\n|---|---|---|---|---|---|\n")
	cpu := map[string]float64{}
	for _, w := range workloads() {
		l, err := generate(filepath.Join(*data, "bench.log"), *size, 1, w.line)
		if err != nil {
			return err
		}
		row := func(command string, m measured, size int64, grep float64) {
			rss := "–"
			if agent := strings.Contains(command, "run") || size < l.size; agent { // a child begins with the peak of the bench itself
				rss = fmt.Sprintf("%.0f", float64(m.rss)/1024)
			}
			fmt.Fprintf(r, "| %s | %s | %.0f | %s | %.2f | %s |\n", w.name, command, m.rate(size), figure(grep/m.rate(size)), m.wall.Seconds(), rss)
		}
		hits := int64(0)
		for _, name := range w.hits {
			hits += l.want[name]
		}
		grep, err := measure(expectNumber(hits), slices.Concat([]string{"grep", "-c"}, w.grep, []string{l.path})...)
		if err != nil {
			return err
		}
		row("`LC_ALL=C grep -c`", grep, l.size, grep.rate(l.size))
		m, err := once(r.binary, configuration(l.path, w.source, w.rules), l.want, w.rules)
		if err != nil {
			return err
		}
		row("**meterlog** `run --once --sandbox`", m, l.size, grep.rate(l.size))
		cpu[w.name] = m.cpu.Seconds()
		if rg := installed("RG", "rg"); rg != "" {
			m, err := measure(expectNumber(hits), slices.Concat([]string{rg, "--no-config", "--no-mmap", "-j1", "-c"}, ripgrep(w.grep), []string{l.path})...)
			if err != nil {
				return err
			}
			row("`rg -c --no-mmap`", m, l.size, grep.rate(l.size))
		}
		if err := slowPeers(w, func(name string, m measured, size int64) { row(name, m, size, grep.rate(l.size)) }); err != nil {
			return err
		}
		switch w.name {
		case "text, 1 rule":
			r.aimed("one literal rule: CPU, `grep -c -F` = 1", m.cpu.Seconds()/grep.cpu.Seconds(), 0.30, false, "")
			wc, err := measure(func([]byte) error { return nil }, "wc", "-l", l.path)
			if err != nil {
				return err
			}
			row("`wc -l`", wc, l.size, grep.rate(l.size))
		case "text, 10 rules":
			r.aimed("10 rules: CPU, one rule = 1", cpu[w.name]/cpu["text, 1 rule"], 1.2, false, "")
		case "text, 100 rules":
			r.aimed("100 rules: CPU, one rule = 1", cpu[w.name]/cpu["text, 1 rule"], 1.6, false, "")
		case "JSON, sum of a field":
			r.aimed("JSON, sum of a field at 2 %", m.rate(l.size), 1500, true, " MB per CPU s")
		}
		if err := os.Remove(l.path); err != nil {
			return err
		}
	}
	fmt.Fprintln(r)
	return nil
}

// ripgrep returns the arguments of grep for rg, which needs no -E.
func ripgrep(grep []string) []string {
	return slices.DeleteFunc(slices.Clone(grep), func(s string) bool { return s == "-E" })
}

// manyFiles reads 1,000 files of 1 MiB.
func manyFiles(r *report) error {
	const files = 1000
	dir := filepath.Join(*data, "files")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	total, want := int64(0), map[string]int64{}
	for i := range files {
		l, err := generate(filepath.Join(dir, fmt.Sprintf("app%d.log", i)), 1<<20, uint64(i), textLine)
		if err != nil {
			return err
		}
		total += l.size
		for sku, n := range l.want {
			want[sku] += n
		}
	}
	rules := []rule{{when: `line contains "email sent"`, sku: "sku-mail"}}
	m, err := once(r.binary, configuration(filepath.Join(dir, "*.log"), "format: text", rules), want, rules)
	if err != nil {
		return err
	}
	fmt.Fprintf(r, "## %d files of 1 MiB\n\n| command | MB per CPU s | wall s | peak RSS MiB |\n|---|---|---|---|\n", files)
	fmt.Fprintf(r, "| **meterlog** `run --once --sandbox`, 1 rule | %.0f | %.2f | %.0f |\n\n", m.rate(total), m.wall.Seconds(), float64(m.rss)/1024)
	r.aimed("1,000 files of 1 MiB", m.rate(total), 1400, true, " MB per CPU s")
	r.aimed("1,000 files of 1 MiB: peak RSS", float64(m.rss)/1024, 40, false, " MiB")
	return nil
}
