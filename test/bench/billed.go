package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// billing is a log with a quantity in every line, and the commands of the others.
type billing struct {
	name   string
	line   lineWriter
	source string // of the configuration, behind name and path
	rule   rule
	mawk   string // a program that prints the sum
	mtail  string // a program with the metric sum
	aim    func(r *report, b billing, m, mawk measured, size int64)
}

// combined is nginx's own format, as a pattern.
const combined = `^(?P<client>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"`

func billings() []billing {
	ratio := func(most float64) func(*report, billing, measured, measured, int64) {
		return func(r *report, b billing, m, mawk measured, _ int64) {
			if mawk.cpu > 0 {
				r.aimed(b.name+": CPU, mawk = 1", m.cpu.Seconds()/mawk.cpu.Seconds(), most, false, "")
			}
		}
	}
	rate := func(least float64) func(*report, billing, measured, measured, int64) {
		return func(r *report, b billing, m, _ measured, size int64) {
			r.aimed(b.name, m.rate(size), least, true, " MB per CPU s")
		}
	}
	nginx := billing{
		name: "nginx, sum of bytes", line: nginxLine, source: "format: regexp, pattern: '" + combined + "'",
		rule:  rule{when: `fields.status == "200"`, sku: "sku-traffic", quantity: "fields.bytes"},
		mawk:  `$9==200{s+=$10} END{printf "%.0f\n", s}`,
		mtail: "counter sum\n/\" 200 (?P<n>\\d+) / {\n  sum += $n\n}\n",
		aim:   ratio(1),
	}
	timed := nginx
	timed.name, timed.mtail, timed.aim = "nginx, with the line's time", "", ratio(1.5)
	timed.source += `, timestamp: {field: time, layout: "02/Jan/2006:15:04:05 -0700"}`
	return []billing{nginx, timed,
		{
			name: "JSON, sum on every line", line: jsonLine, source: "format: json",
			rule:  rule{when: `fields.bytes > -1`, sku: "sku-all", quantity: "fields.bytes"},
			mawk:  `{s+=substr($0, index($0, "\"bytes\":")+8)} END{printf "%.0f\n", s}`,
			mtail: "counter sum\n/\"bytes\":(?P<n>\\d+)/ {\n  sum += $n\n}\n",
			aim:   rate(1000),
		},
		{
			name: "logfmt, sum on every line", line: logfmtLine, source: "format: logfmt",
			rule:  rule{when: `fields.bytes != nil`, sku: "sku-all", quantity: "fields.bytes"},
			mawk:  `{s+=substr($0, index($0, " bytes=")+7)} END{printf "%.0f\n", s}`,
			mtail: "counter sum\n/ bytes=(?P<n>\\d+)/ {\n  sum += $n\n}\n",
			aim:   rate(800),
		},
		{
			name: "text, `extract` on every line", line: sizedLine, source: "format: text",
			rule:  rule{when: `line contains "size="`, sku: "sku-all", quantity: "extract(line, `size=(\\d+)`)"},
			mawk:  `{s+=substr($0, index($0, "size=")+5)} END{printf "%.0f\n", s}`,
			mtail: "counter sum\n/size=(?P<n>\\d+)/ {\n  sum += $n\n}\n",
			aim:   rate(600),
		},
	}
}

// everyLine reads logs and bills every line.
func everyLine(r *report) error {
	fmt.Fprintf(r, "## Every line billed\n\nA sum over every line, from the first byte to the end. meterlog and mawk take turns.\nmawk keeps no position and delivers nothing. For JSON, logfmt and text it looks for\none text in the line, and does not read the format. mtail reads the first %d MiB.\n\n", *peerSize>>20)
	fmt.Fprintf(r, "| workload | command | MB per CPU s | CPU, mawk = 1 | wall s |\n|---|---|---|---|---|\n")
	for _, b := range billings() {
		if err := measureBilling(r, b); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	fmt.Fprintln(r)
	return nil
}

func measureBilling(r *report, b billing) error {
	l, err := generate(filepath.Join(*data, "bench.log"), *size, 1, b.line)
	if err != nil {
		return err
	}
	defer os.Remove(l.path)
	var own, mawk []measured
	awk := installed("MAWK", "mawk")
	single := *runs
	*runs = 1
	for range single {
		m, err := once(r.binary, configuration(l.path, b.source, []rule{b.rule}), l.want, []rule{b.rule})
		if err != nil {
			return err
		}
		own = append(own, m)
		if awk == "" {
			continue
		}
		m, err = measure(expectNumber(l.want[b.rule.sku]), awk, b.mawk, l.path)
		if err != nil {
			return err
		}
		mawk = append(mawk, m)
	}
	*runs = single
	m := middle(own)
	row := func(command string, one measured, size int64) {
		against := "–"
		if len(mawk) > 0 {
			against = figure(middle(mawk).rate(l.size) / one.rate(size))
		}
		fmt.Fprintf(r, "| %s | %s | %.0f | %s | %.2f |\n", b.name, command, one.rate(size), against, one.wall.Seconds())
	}
	row("**meterlog** `run --once --sandbox`", m, l.size)
	if len(mawk) > 0 {
		row("`mawk`", middle(mawk), l.size)
	}
	b.aim(r, b, m, middle(mawk), l.size)
	return slowPeers(workload{name: b.name, line: b.line, mtail: b.mtail, metric: "sum", slow: b.rule.sku}, row)
}

// middle returns the medians of several measurements, or zeros for none.
func middle(all []measured) (m measured) {
	if len(all) == 0 {
		return m
	}
	slices.SortFunc(all, func(a, b measured) int { return int(a.cpu - b.cpu) })
	return all[len(all)/2]
}

// billedCommands lists what was summed, for the report.
func billedCommands() string {
	var b strings.Builder
	for _, w := range billings() {
		fmt.Fprintf(&b, "# %s: when %s, quantity %s\nmawk '%s' bench.log\n", w.name, w.rule.when, w.rule.quantity, w.mawk)
	}
	return b.String()
}
