package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/recount"
	"github.com/meterlog/meterlog/internal/report"
	"github.com/meterlog/meterlog/internal/trial"
	"github.com/meterlog/meterlog/test/hostile"
)

// outcome is what a command makes of a log.
type outcome struct {
	lines map[string]int64 // by what counts: rule, SKU, amount, window and text
	wrong map[string]int64 // errors by rule, and not_parsed, bad_timestamp and repeated by what they are of
	units map[string]int64 // by SKU
}

func newOutcome() outcome {
	return outcome{map[string]int64{}, map[string]int64{}, map[string]int64{}}
}

// lineKey identifies a line that counts. The window is that of
// the reading, unless lines have their own times.
func lineKey(timed bool, rule, sku string, amount json.Number, window, text string) string {
	if !timed {
		window = ""
	}
	return fmt.Sprintf("%s %s %s %s %q", rule, sku, amount, window, text)
}

// tested returns what `meterlog test` makes of a file.
func (e *explained) tested(timed bool, args ...string) outcome {
	e.t.Helper()
	out, _ := e.meterlog(append([]string{"test", "--format", "json"}, args...)...)
	o := newOutcome()
	for line := range strings.Lines(out) {
		var last struct{ Summary *trial.PublishedSummary }
		var match trial.PublishedMatch
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			e.t.Fatal(err)
		}
		if last.Summary == nil {
			if err := json.Unmarshal([]byte(line), &match); err != nil {
				e.t.Fatal(err)
			}
			o.lines[lineKey(timed, match.Rule, match.SKU, match.Amount, match.Window, match.Line)]++
			continue
		}
		for _, r := range last.Summary.Rules {
			o.units[r.SKU] += r.Quantity.Int64()
		}
		for _, r := range last.Summary.Errors {
			o.wrong["error "+r.Rule] += r.Count
		}
		for _, r := range last.Summary.NotParsed {
			o.wrong["not_parsed "+r.Source] += r.Count
		}
		for _, r := range last.Summary.Times {
			o.wrong["bad_timestamp "+r.Source] += r.Bad
		}
		for _, r := range last.Summary.Repeated {
			o.wrong["repeated "+r.Rule] += r.Count
		}
	}
	o.tidy()
	return o
}

// billed returns what `meterlog run` made of the log, as the ledger and `meterlog
// explain` have it. equal says whether explain is sure of every record.
func (e *explained) billed(timed bool) (o outcome, equal bool) {
	e.t.Helper()
	reader, err := ledger.OpenReader(e.path("state"))
	if err != nil {
		e.t.Fatal(err)
	}
	defer reader.Close()
	anomalies, err := reader.Anomalies(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	kinds := map[meter.AnomalyKind]string{meter.RuleError: "error ", meter.NotParsed: "not_parsed ", meter.BadTimestamp: "bad_timestamp ", meter.Repeated: "repeated ", meter.LineTooLong: "error "}
	o, equal = newOutcome(), true
	for _, a := range anomalies {
		kind, known := kinds[a.Kind]
		switch {
		case a.Kind == meter.LineTooLong:
			o.wrong[kind] += a.Count
		case known:
			o.wrong[kind+a.Subject] += a.Count
		case a.Kind != meter.History:
			e.t.Errorf("%+v", a)
		}
	}
	listed, _ := e.meterlog("records", "--format", "json")
	for line := range strings.Lines(listed) {
		var r report.PublishedRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			e.t.Fatal(err)
		}
		out, _ := e.meterlog("explain", r.UUID, "--lines", "1000000", "--format", "json")
		var x report.PublishedExplanation
		if err := json.Unmarshal([]byte(out), &x); err != nil {
			e.t.Fatal(err)
		}
		o.units[x.SKU] += x.Quantity
		if x.Verdict == recount.Different {
			e.t.Errorf("different: %.400s ... %s", out, out[strings.Index(out, `"contributions"`):])
		}
		for _, c := range x.Contributions {
			equal = equal && c.Verdict == recount.Equal && !strings.HasPrefix(c.Note, "counted together")
			for _, line := range c.Counted {
				o.lines[lineKey(timed, c.Rule, x.SKU, line.Quantity, x.Window, line.Line)]++
			}
		}
	}
	o.tidy()
	return o, equal
}

// tidy leaves out what is 0.
func (o *outcome) tidy() {
	for _, m := range []map[string]int64{o.lines, o.wrong, o.units} {
		maps.DeleteFunc(m, func(_ string, n int64) bool { return n == 0 })
	}
}

// differences lists where two outcomes differ in something.
func differences(what string, a, b map[string]int64) (list []string) {
	keys := slices.Sorted(maps.Keys(a))
	for key := range b {
		if _, has := a[key]; !has {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		if a[key] != b[key] {
			list = append(list, fmt.Sprintf("%s %.300s: run %d, test %d", what, key, a[key], b[key]))
		}
	}
	return list
}

// parts cuts a log into what is written at a time, anywhere.
func parts(random *rand.Rand, log []byte) (parts [][]byte) {
	for range random.IntN(3) {
		at := random.IntN(len(log) + 1)
		parts, log = append(parts, log[:at]), log[at:]
	}
	return append(parts, log)
}

// What `meterlog test` says of a log is what `meterlog run` bills of it and what
// `meterlog explain` finds again: the same lines with the same amounts, the same
// errors, the same lines that are not parsed. The log is written in parts, and
// rotated and compressed in the end.
func TestTestSaysWhatRunBills(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := hostile.New(seed)
			rules := h.Rules()
			e := newExplained(t, fmt.Sprintf("interval: 30m\nsources: [%s]\nrules:\n%s", h.Sources("DIR/app.log"), rules))
			log := append(h.Log(time.Now()), '\n')
			parts := parts(rand.New(rand.NewPCG(seed, 4)), log)
			// A window that closes with less than a unit has no record to explain.
			explainable := len(parts) == 1 || !strings.Contains(rules, "per:") && !strings.Contains(rules, "decimals:")
			for _, part := range parts {
				e.append("app.log", string(part))
				e.meterlog("run", "--once", "--sandbox", "--state", e.path("state"), "--log-level", "error")
			}
			tested := e.tested(h.Timed, e.path("app.log"))
			check := func(when string) {
				t.Helper()
				billed, equal := e.billed(h.Timed)
				found := append(differences("units", billed.units, tested.units), differences("wrong", billed.wrong, tested.wrong)...)
				if equal && explainable {
					lines := maps.Clone(tested.lines)
					maps.DeleteFunc(lines, func(key string, _ int64) bool { return billed.units[strings.Fields(key)[1]] == 0 })
					found = append(found, differences("line", billed.lines, lines)...)
				}
				if len(found) > 0 {
					t.Fatalf("%s:\n%s\n%s\n%s\n%.2000q", when, strings.Join(found, "\n"), h.Sources("app.log"), rules, log)
				}
			}
			check("in place")
			packed := new(bytes.Buffer)
			gz := gzip.NewWriter(packed)
			gz.Write(log)
			gz.Close()
			os.Remove(e.path("app.log"))
			e.write("app.log.2.gz", packed.String())
			check("compressed")
			again := e.tested(h.Timed, e.path("app.log.2.gz"))
			if found := slices.Concat(differences("line", tested.lines, again.lines), differences("wrong", tested.wrong, again.wrong)); len(found) > 0 {
				t.Errorf("test reads another from the archive: %s", strings.Join(found, "\n"))
			}
		})
	}
}
