package selftest

import (
	"slices"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/config"
)

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rulesUnderTest are the rules of the tests below.
const rulesUnderTest = `
product_id: p
sources:
  - {name: a, path: '/log/*.log', format: logfmt, timestamp: {field: ts, layout: rfc3339}}
  - {name: b, path: /log/b.txt, format: json}
rules:
  - {name: gib, source: a, sku_id: sku-gib, when: 'fields.event == "export"', quantity: fields.bytes, per: 1000}
  - {name: n, source: a, sku_id: sku-n, when: 'fields.n != nil', quantity: fields.n}
  - {name: mine, source: a, sku_id: sku-m, when: 'file endsWith "/mine.log"'}
  - {name: sum, source: b, sku_id: sku-s, when: fields.n != nil, quantity: fields.n}
tests:
`

// A test passes on what it expects, and says what differs from it.
func TestRun(t *testing.T) {
	for name, test := range map[string]struct {
		test string
		want []string // failures
	}{
		"units": {`
  - source: a
    lines: event=export bytes=2500 ts=2026-01-01T00:00:00Z
    expect: {gib: 2}`, nil},
		"units that differ": {`
  - source: a
    lines: event=export bytes=2500 ts=2026-01-01T00:00:00Z
    expect: {gib: 3}`, []string{"gib counted 2, expected 3 (an amount of 2500, per 1000)"}},
		"a rule that is not named": {`
  - source: a
    lines: event=export bytes=2500 n=4 ts=2026-01-01T00:00:00Z
    expect: {gib: 2}`, []string{"n counted 4, expected 0"}},
		"an amount below a unit": {`
  - source: a
    lines: event=export bytes=482 ts=2026-01-01T00:00:00Z
    expect: {gib: {units: 0, amount: 482, sku_id: sku-gib, windows: 2026-01-01T00:00:00Z}}`, nil},
		"an amount that differs": {`
  - source: a
    lines: evnt=export bytes=482 ts=2026-01-01T00:00:00Z
    expect: {gib: {amount: 482}}`, []string{"gib came to an amount of 0, expected 482"}},
		"a window and a SKU that differ": {`
  - source: a
    lines: |
      n=1 ts=2026-01-01T00:00:00Z
      n=1 ts=2026-01-01T00:05:59Z
    expect: {n: {units: 2, sku_id: sku-m, windows: [2026-01-01T00:00:00Z]}}`, []string{
			"n counted in the windows 2026-01-01T00:00:00Z, 2026-01-01T00:05:00Z, expected 2026-01-01T00:00:00Z",
			"n bills sku-n, expected sku-m"}},
		"nothing at all": {`
  - source: a
    lines: nothing=1 ts=2026-01-01T00:00:00Z
    expect: {}`, []string{"no rule counts any of the lines: if that is right, say so with {gib: 0}"}},
		"nothing, and says so": {`
  - source: a
    lines: nothing=1 ts=2026-01-01T00:00:00Z
    expect: {gib: 0}`, nil},
		"an error that is not expected": {`
  - source: b
    lines: |
      {"n":-1}
      {"n":6}
    expect: {sum: 6}`, []string{`sum failed on 1 line, expected 0: the quantity is negative: -1: {"n":-1}`}},
		"an error that is expected": {`
  - source: b
    lines: '{"n":-1}'
    expect_errors: {sum: 1}`, nil},
		"an error that does not come": {`
  - source: b
    lines: '{"n":1}'
    expect: {sum: 1}
    expect_errors: {sum: 2}`, []string{"sum: no error, expected 2"}},
		"a time that cannot be read": {`
  - source: a
    lines: n=2 ts=yesterday
    expect: {n: 2}`, []string{"bad_timestamp on 1 line of a, expected 0: the timestamp cannot be read as rfc3339: yesterday: n=2 ts=yesterday"}},
		"a time that must not be read": {`
  - source: a
    lines: n=2 ts=yesterday
    expect: {n: 2}
    expect_errors: {bad_timestamp: 1}`, nil},
		"a line that is not of its format": {`
  - source: b
    lines: |
      {"n":2}
      {"n":2
    expect: {sum: 2}`, []string{`not_parsed on 1 line of b, expected 0: `}},
		"a line that must not be of its format": {`
  - source: b
    lines: '{"n":2'
    expect_errors: {not_parsed: 1}`, nil},
		"a time ahead of now": {`
  - source: a
    now: 2026-01-01T00:00:00Z
    lines: n=2 ts=2026-01-01T01:00:00Z
    expect: {n: {units: 2, windows: [2026-01-01T00:00:00Z]}}
    expect_errors: {bad_timestamp: 1}`, nil},
		"now, of a source without times": {`
  - source: b
    now: 2026-05-01T10:00:30Z
    lines: '{"n":1}'
    expect: {sum: {units: 1, windows: [2026-05-01T10:00:00Z]}}`, nil},
		"a file": {`
  - source: a
    file: /log/mine.log
    lines: x=1 ts=2026-01-01T00:00:00Z
    expect: {mine: 1}`, nil},
	} {
		c := parse(t, rulesUnderTest+test.test+"\n")
		got := Run(c)[0].Failures
		if !slices.EqualFunc(got, test.want, strings.HasPrefix) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// A layout without a year is read around the newest time, over New Year too.
func TestRunWithoutYear(t *testing.T) {
	const text = `
product_id: p
sources: [{path: /a, timestamp: {pattern: '^(\w+ +\d+ \S+)', layout: Jan _2 15:04:05}}]
rules: [{name: r, when: 'true', sku_id: s}]
tests:
  - {lines: "Dec 31 23:59:59 x", expect: {r: 1}}
  - {lines: "Jan  1 00:00:00 x", expect: {r: 1}}
  - {lines: "Feb 29 12:00:00 x", expect: {r: 1}}
  - {lines: "Jan  1 10:00:00 x", now: 2026-01-01T10:00:30Z, expect: {r: {units: 1, windows: [2026-01-01T10:00:00Z]}}}
`
	for _, result := range Run(parse(t, text)) {
		if !result.OK() {
			t.Errorf("line %d: %q", result.Pos.Line, result.Failures)
		}
	}
}

// What a test cannot say is a mistake at its place.
func TestMistakesOfTests(t *testing.T) {
	for _, test := range [][2]string{
		{"{source: a, lines: x}", `a test has no "expect"`},
		{"{source: a, lines: ' ', expect: {n: 0}}", `"lines" holds no line; write the log's lines behind`},
		{"{source: a, lines: x, expect: {n: -1}}", `rule "n": the number of units must be a whole number ≥ 0, not "-1"`},
		{"{source: a, lines: x, expect: {n: {unit: 1}}}", `unknown key "unit"; did you mean "units"?`},
		{"{source: a, lines: x, expect: {n: {}}}", `rule "n": nothing is expected; write at least {units: 1}`},
		{"{source: a, lines: x, expect: {n: {amount: 1.5}}}", `rule "n": amount must be a whole number ≥ 0, not "1.5"`},
		{"{source: a, lines: x, expect: {n: {windows: [2026-01-01T00:00:30Z]}}}", `no window begins at 2026-01-01T00:00:30Z; write 2026-01-01T00:00:00Z`},
		{"{source: a, lines: x, expect: {n: {windows: [noon]}}}", `a window is not a time: "noon"; write it like 2026-01-31T12:00:00Z`},
		{"{source: a, lines: x, expect: n}", `"expect" must be a mapping, not a string; write {rule: units}, such as {gib: 1}`},
		{"{source: a, lines: x, expect: {m: 1}}", `unknown rule "m"; use one of gib, n, mine, sum`},
		{"{source: a, lines: x, now: today, expect: {n: 1}}", `"now" is not a time: "today"`},
		{"{source: a, lines: x, file: /elsewhere/a.log, expect: {n: 1}}", `source "a" does not have the file "/elsewhere/a.log"; name a file that its path matches: /log/*.log`},
		{"{source: a, lines: x, expect_errors: {bad_time: 1}}", `unknown rule "bad_time"; did you mean "bad_timestamp"?`},
		{"{source: a, lines: x, expect_errors: [n]}", `"expect_errors" must be a mapping, not a list; write {rule: lines}, such as {gib: 1}`},
		{"{lines: x, expect: {n: 1}}", "there are several sources, so a test needs a \"source\"; write `source:` with one of a, b"},
	} {
		_, err := config.Parse("rules.yaml", []byte(rulesUnderTest+"  - "+test[0]+"\n"))
		if err == nil || !strings.Contains(err.Error(), test[1]) {
			t.Errorf("%s:\ngot  %v\nwant %s", test[0], err, test[1])
		}
	}
}
