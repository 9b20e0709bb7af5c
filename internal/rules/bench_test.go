package rules_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// benchmarkMatch matches a log of 64 MiB in blocks as the tailer cuts them.
func benchmarkMatch(b *testing.B, text string, log []byte, wantLines int64) {
	c, err := config.Parse("rules.yaml", []byte(text))
	if err != nil {
		b.Fatal(err)
	}
	m := rules.NewMatcher(&c.Set)
	var tally meter.Tally
	b.SetBytes(int64(len(log)))
	b.ReportAllocs()
	for b.Loop() {
		tally.Reset()
		for start := 0; start < len(log); {
			end := min(start+256<<10, len(log))
			for end < len(log) && log[end-1] != '\n' {
				end--
			}
			m.Match(meter.Block{Generation: 1, Path: "/s", Sources: []string{"s"}, Data: log[start:end], Start: int64(start), ReadAt: readAt}, &tally)
			start = end
		}
	}
	lines := int64(0)
	for _, n := range tally.Counts {
		lines += n.Lines
	}
	if lines != wantLines || len(tally.Anomalies) > 0 {
		b.Fatalf("%d lines, want %d: %s", lines, wantLines, tallyText(&tally))
	}
}

const benchSize = 64 << 20

// textLog is a log of lines of 160 bytes of which 2 in 100 have one of the
// literals.
func textLog(literals []string) (log []byte, matching int64) {
	r := rand.New(rand.NewPCG(1, 2))
	filler := strings.Fields("connection from client accepted request handled in ms worker started job queue size is now upstream response cached warning retry scheduled for shard user session opened closed with status ok and id")
	for len(log) < benchSize {
		from := len(log)
		log = fmt.Appendf(log, "2026-03-01T12:%02d:%02d.%03dZ INFO [worker-%d] ", r.IntN(60), r.IntN(60), r.IntN(1000), r.IntN(32))
		if r.IntN(50) == 0 {
			log = append(log, literals[r.IntN(len(literals))]...)
			log = append(log, ' ')
			matching++
		}
		for len(log)-from < 150 {
			log = append(log, filler[r.IntN(len(filler))]...)
			log = append(log, ' ')
		}
		log = append(log, "done\n"...)
	}
	return log, matching
}

func benchmarkText(b *testing.B, rules int) {
	var literals []string
	config := "product_id: p\nsources: [{name: s, path: /s}]\nrules:\n"
	for i := range rules {
		literal := fmt.Sprintf("email sent to list %02d", i)
		if rules == 1 {
			literal = "email sent"
		}
		literals = append(literals, literal)
		config += fmt.Sprintf("  - {name: r%d, when: 'line contains %q', sku_id: s%d}\n", i, literal, i)
	}
	log, matching := textLog(literals)
	benchmarkMatch(b, config, log, matching)
}

func BenchmarkText1(b *testing.B)   { benchmarkText(b, 1) }
func BenchmarkText10(b *testing.B)  { benchmarkText(b, 10) }
func BenchmarkText100(b *testing.B) { benchmarkText(b, 100) }

// Literals that have nothing in common.
func BenchmarkTextWords100(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	var literals []string
	config := "product_id: p\nsources: [{name: s, path: /s}]\nrules:\n"
	for i := range 100 {
		var word strings.Builder
		for range 10 + r.IntN(12) {
			word.WriteByte(byte('a' + r.IntN(26)))
		}
		literals = append(literals, word.String())
		config += fmt.Sprintf("  - {name: r%d, when: 'line contains %q', sku_id: s%d}\n", i, word.String(), i)
	}
	log, matching := textLog(literals)
	benchmarkMatch(b, config, log, matching)
}

func jsonLog() (log []byte, matching int64) {
	r := rand.New(rand.NewPCG(5, 6))
	for len(log) < benchSize {
		event := "request.handled"
		switch r.IntN(100) {
		case 0, 1:
			event = "export.finished"
			matching++
		case 2:
			event = "email.sent"
			matching++
		}
		log = fmt.Appendf(log, `{"time":"2026-03-01T12:%02d:%02d.%03dZ","level":"info","logger":"app.http","event":%q,"user":{"id":%d,"plan":"pro"},`+
			`"bytes":%d,"request_id":"%016x%016x","path":"/api/v1/things/%d","duration_ms":%.3f,"tags":["eu","prod"],"message":"the request was handled"}`+"\n",
			r.IntN(60), r.IntN(60), r.IntN(1000), event, r.IntN(100000), r.IntN(1<<30), r.Uint64(), r.Uint64(), r.IntN(100000), r.Float64()*100)
	}
	return log, matching
}

func BenchmarkJSONSum(b *testing.B) {
	log, matching := jsonLog()
	benchmarkMatch(b, `
product_id: p
sources: [{name: s, path: /s, format: json}]
rules:
  - {name: bytes, when: fields.event == "export.finished", sku_id: a, quantity: fields.bytes}
  - {name: emails, when: fields.event == "email.sent" and fields.user.plan == "pro", sku_id: b}
`, log, matching)
}

// A field that may be no string, on which the condition would fail.
func BenchmarkJSONContains(b *testing.B) {
	log, matching := jsonLog()
	benchmarkMatch(b, `
product_id: p
sources: [{name: s, path: /s, format: json}]
rules:
  - {name: bytes, when: fields.event endsWith "finished" or fields.event endsWith "mail.sent", sku_id: a, quantity: fields.bytes}
`, log, matching)
}

// A condition on which no line can be skipped.
func BenchmarkJSONEveryLine(b *testing.B) {
	log, matching := jsonLog()
	benchmarkMatch(b, `
product_id: p
sources: [{name: s, path: /s, format: json}]
rules:
  - {name: bytes, when: fields.bytes > -1 and (fields.event endsWith "finished" or fields.event endsWith "sent"), sku_id: a, quantity: fields.bytes}
`, log, matching)
}

func nginxLog() (log []byte, matching int64) {
	r := rand.New(rand.NewPCG(7, 8))
	for len(log) < benchSize {
		path, status := "/static/app.js", 200
		if r.IntN(10) < 3 {
			path = fmt.Sprintf("/api/v1/items/%d", r.IntN(1e6))
		}
		if r.IntN(10) == 0 {
			status = 404
		}
		if path[1] == 'a' && status == 200 {
			matching++
		}
		log = fmt.Appendf(log, "10.0.%d.%d - - [01/Mar/2026:12:%02d:%02d +0000] \"GET %s HTTP/1.1\" %d %d \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"\n",
			r.IntN(256), r.IntN(256), r.IntN(60), r.IntN(60), path, status, r.IntN(1e6))
	}
	return log, matching
}

func BenchmarkNginxLiterals(b *testing.B) {
	log, matching := nginxLog()
	benchmarkMatch(b, `
product_id: p
sources: [{name: s, path: /s}]
rules:
  - {name: api, when: 'line contains "GET /api/" and line contains "\" 200 "', sku_id: a}
`, log, matching)
}

func BenchmarkNginxRegexp(b *testing.B) {
	log, matching := nginxLog()
	benchmarkMatch(b, `
product_id: p
sources:
  - {name: s, path: /s, format: regexp, pattern: '"(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d+)'}
rules:
  - {name: api, when: 'fields.path startsWith "/api/" and fields.status == "200"', sku_id: a}
`, log, matching)
}

// A rule of which nothing is known beforehand.
func BenchmarkEveryLine(b *testing.B) {
	log, _ := textLog([]string{"email sent"})
	benchmarkMatch(b, `
product_id: p
sources: [{name: s, path: /s}]
rules:
  - {name: none, when: 'not (line contains "done")', sku_id: a}
`, log, 0)
}
