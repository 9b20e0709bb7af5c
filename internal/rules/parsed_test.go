package rules_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// notParsed returns how many lines of each source were not of its format, and
// how many units were counted.
func notParsed(t *testing.T, source string, rule string, blocks ...meter.Block) (lines map[string]int64, example string, units int64) {
	t.Helper()
	c := parse(t, "product_id: p\nsources:\n  - "+source+"\nrules:\n  - {name: r, sku_id: s, "+rule+"}\n")
	m := rules.NewMatcher(&c.Set)
	var tally meter.Tally
	for _, b := range blocks {
		b.Path, b.Sources, b.ReadAt = "/a.log", []string{c.Sources[0].Name}, readAt
		m.Match(b, &tally)
	}
	lines = make(map[string]int64)
	for key, a := range tally.Anomalies {
		if key.Kind == meter.NotParsed {
			lines[key.Subject] = a.Count
			example = a.Example
		}
	}
	for _, n := range tally.Counts {
		units += n.Amount
	}
	return lines, example, units
}

// A line that holds the text of a rule, and is not of its source's format, counts
// nothing and is seen. Other lines may be what they like.
func TestLinesThatAreNotParsed(t *testing.T) {
	const (
		json = `{name: app, path: /a.log, format: json}`
		sent = `when: 'fields.status == "200"', quantity: fields.bytes`
	)
	for _, test := range []struct {
		source, rule, text string
		lines, units       int64
	}{
		{json, sent, `{"status":"200","bytes":1}`, 0, 1},
		{json, sent, `{"status":"200","bytes":1,"ua":"\x22wget\x22"}`, 1, 0},
		{json, sent, `{"status":"200","bytes":1,"ratio":NaN}`, 1, 0},
		{json, sent, `2026-03-01 {"status":"200","bytes":1}`, 1, 0},
		{json, sent, `{"status":"200","bytes":1}{"status":"200","bytes":1}`, 1, 0},
		{json, sent, `{"status":"200","bytes":1`, 1, 0},
		{json, sent, `["status","200"]`, 1, 0},
		{json, sent, `status="200"`, 1, 0},
		{json, sent, "goroutine 1 [running]:\nmain.main()\n\n   \n", 0, 0},                        // holds no text of the rule
		{json, `when: 'line contains "sent"'`, "sent\n{\"a\":\"sent\"}\n{\"a\":\"sent\"\n", 2, 1}, // asks for no field
		{json, `when: 'line contains "sent" and line contains "mail"'`, "sent\n", 0, 0},           // the rule would not count it
		{json, `when: 'line contains "sent" and fields.n == 1'`, "sent\n", 1, 0},
		{json, `when: 'true'`, "panic\n{}\n\n[1]\n", 2, 1},
		{json, `when: 'line contains "sent"', quantity: "int(extract(line, '(x)'))"`, "sent\n", 1, 0}, // nor an error
		{json, `when: 'line contains "sent"', quantity: fields.n`, "sent\n", 1, 0},
		{json, `when: len(fields) == 0`, "sent\n{}\n", 1, 1},
		{json, `when: '"n" in fields or line contains "sent"'`, "sent\n{\"n\":1}\n", 1, 1},
		{json, `when: fields.status != "500"`, "\n  \n", 0, 0}, // blank lines are no usage
		{json, `when: fields.status != "500"`, "panic\n{}\n", 1, 1},
		{`{name: app, path: /a.log, format: regexp, pattern: '^(?P<ip>\S+) (?P<status>\d+)$'}`, `when: 'line contains "200"'`, "a 200\na 200 b\n", 1, 1},
		{`{name: app, path: /a.log, format: logfmt}`, `when: 'line contains "sent"'`, "sent, \"no pair\n", 0, 1}, // each line is of the format
		{json, sent, "\ufeff" + `{"status":"200","bytes":1}` + "\n\ufeff" + `{"status":"200","bytes":1}`, 1, 1},  // one begins the file
		{`{name: app, path: /a.log, format: regexp, pattern: '^(?P<ip>\S+) (?P<status>\d+)$'}`, `when: 'fields.status == "200"'`, "a 200\na 200 b\nb 500 c\n", 1, 1},
		{`{name: app, path: /a.log, format: logfmt}`, `when: 'fields.status == "200"'`, "status=200\nstatus 200\n", 0, 1},
		{`{name: app, path: /a.log}`, `when: 'line contains "sent"'`, "sent\n", 0, 1},
		{`{name: app, path: /a.log, prefix: '\S+ app: '}`, `when: 'line contains "sent"'`, "host app: sent\nsent\n host app: sent\nhost app: other\nother\n", 2, 1},
		{`{name: app, path: /a.log, format: json, prefix: '^\S+ std(out|err) [FP] '}`, sent,
			`2026-03-01T00:00:00Z stdout F {"status":"200","bytes":2}` + "\n" + `{"status":"200","bytes":1}` + "\n" + `t stdout F x{"status":"200","bytes":1}`, 2, 2},
		{`{name: app, path: /a.log, format: logfmt, prefix: '\S+: '}`, `when: int(fields.n) > 1, quantity: fields.n`, "a: n=2\nn=3\nb: m=n n=4", 1, 6},
		{`{name: app, path: /a.log, format: regexp, pattern: '^(?P<n>\d+)$', prefix: '\S+: '}`, `when: fields.n != nil, quantity: fields.n`, "a: 2\n3\nb: 4", 1, 6},
	} {
		lines, example, units := notParsed(t, test.source, test.rule, meter.Block{Data: []byte(test.text)})
		if lines["app"] != test.lines || units != test.units {
			t.Errorf("%s; %s on %q: %d lines are not parsed and %d units, want %d and %d (%s)", test.source, test.rule, test.text, lines["app"], units, test.lines, test.units, example)
		}
		if test.lines > 0 && !strings.Contains(example, ": ") {
			t.Errorf("the example is %q", example)
		}
	}
}

// The same event is seen if an application writes it in another way, however short
// the rule's text is. A longer word that holds the text is another event. A right line
// of JSON is none of them.
func TestShortTextsOfAnotherFormat(t *testing.T) {
	texts := []string{"sent", "ok", "s", "200", "1", "true", "null", "-5", "1.5", "é", "a_b", "email.sent"}
	for _, text := range texts {
		for line, alien := range map[string]int64{
			`{"n":1,"event":X}`:                        1, // JSON that lost its quotes
			`{"n":1,"event": X, "m":2`:                 1,
			`{event: X, n: 1}`:                         1,
			`{'event': 'X', 'n': 1}`:                   1,
			`event=X n=1`:                              1,
			`event="X"`:                                1,
			`2026-03-01T12:00:00Z INFO X to=<a@b.c>`:   1,
			`<event>X</event>`:                         1,
			`10.0.0.1 - - "GET /a HTTP/1.1" X`:         1,
			`X`:                                        1,
			`"X"`:                                      1,
			`{"event":"y"}{"event":"X"}`:               1,
			`2026-03-01T12:00:00Z INFO pXq to=<a@b>`:   0,
			`{"n":1,"text":"all X today"}`:             0,
			`{"n":1,"text":"pXq"}`:                     0,
			`{"n":1,"log":"{\"event\":\"X\"}"}`:        0,
			`{"n":1,"event":"Z","X":[{"n":1,"k":{}}]}`: 0,
		} {
			line = strings.ReplaceAll(line, "X", text)
			if valid := json.Valid([]byte(line)); valid && line[0] == '{' || !valid && alien > 0 && isBare(text) && strings.HasPrefix(line, `{"n":1,"event"`) {
				alien = 0 // a number where a text was is a value of JSON
			}
			rule := `when: 'fields.event == "` + text + `"'`
			if lines, example, units := notParsed(t, `{name: app, path: /a.log, format: json}`, rule, meter.Block{Data: []byte(line + "\n")}); lines["app"] != alien || units != 0 {
				t.Errorf("%q on %s: %d lines are not parsed and %d units, want %d and none (%s)", text, line, lines["app"], units, alien, example)
			}
		}
		right := `{"n":1,"event" : "` + text + `"}`
		if _, _, units := notParsed(t, `{name: app, path: /a.log, format: json}`, `when: 'fields.event in ["`+text+`", "other"]'`, meter.Block{Data: []byte(right + "\n")}); units != 1 {
			t.Errorf("%s counts %d", right, units)
		}
	}
}

// isBare reports whether JSON takes a text for a value without quotes.
func isBare(text string) bool { return json.Valid([]byte(text)) }

// A rule that compares a number finds only the field's name. Other formats write the
// name before a value, too.
func TestNamesOfAnotherFormat(t *testing.T) {
	for line, want := range map[string]int64{
		`bytes=7`:                         1,
		`INFO export done, bytes: 7`:      1,
		`{bytes:7}`:                       1,
		`{'bytes' : 7}`:                   1,
		`{"event":x,"bytes":7}`:           1,
		`"{\"bytes\":7}"`:                 1,
		`{"megabytes":7`:                  0,
		`panic: read 7 bytes of 12`:       0,
		`at Stream.bytes(stream.js:12:7)`: 0,
		`{"text":"bytes: 7"}`:             0,
	} {
		lines, example, units := notParsed(t, `{name: app, path: /a.log, format: json}`, `when: fields.bytes > 5`, meter.Block{Data: []byte(line + "\n")})
		if lines["app"] != want || units != 0 {
			t.Errorf("%s: %d lines are not parsed and %d units, want %d and none (%s)", line, lines["app"], units, want, example)
		}
	}
}

// A byte order mark is skipped where a file begins, not where a block does.
func TestByteOrderMarkBeginsAFile(t *testing.T) {
	line := []byte("\ufeff{\"n\":1}\n")
	lines, _, units := notParsed(t, `{name: app, path: /a.log, format: json}`, `when: fields.n == 1`, meter.Block{Data: line}, meter.Block{Data: line, Start: int64(len(line))})
	if lines["app"] != 1 || units != 1 {
		t.Errorf("%d lines are not parsed and %d units", lines["app"], units)
	}
}

// Where a file is of several sources, each reports its own lines, once. A line
// that counts under one of them is not reported.
func TestLinesOfSeveralSourcesAreNotParsed(t *testing.T) {
	c := parse(t, `
product_id: p
sources:
  - {name: a, path: /a.log, format: json}
  - {name: b, path: /a.log, format: regexp, pattern: '^n=(?P<n>\d+)$'}
rules:
  - {name: r, sku_id: s, when: 'fields.n == "5" or line contains "sent"'}
  - {name: only, source: a, sku_id: s, when: 'fields.m == "6"'}
  - {name: other, source: b, sku_id: s, when: 'line contains "sent"'}
`)
	m := rules.NewMatcher(&c.Set)
	var got []string
	m.Unparsed = func(u rules.Unparsed) {
		got = append(got, fmt.Sprintf("%s %d-%d %s", u.Source, u.Start, u.End, u.Line))
	}
	text := "n=5\nnothing\n{\"n\":\"5\"}\n\"6\"\nn=5x\n{\"m\":\"sent\"}\nsent\n"
	hits := 0
	m.Each(meter.Block{Path: "/a.log", Sources: []string{"a", "b"}, Start: 100, Data: []byte(text), ReadAt: readAt}, func(rules.Hit) { hits++ })
	want := []string{`a 122-126 "6"`, `b 126-131 n=5x`, "a 144-149 sent", "b 144-149 sent"}
	if !slices.Equal(got, want) || hits != 3 {
		t.Errorf("%q, %d hits, want %q", got, hits, want)
	}
}
