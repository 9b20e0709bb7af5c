package rules_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// plainFields decodes a line's fields as a whole; JSON with encoding/json. It
// returns nil for a line that is not of the format.
func plainFields(s *rules.Source, line []byte) map[string]any {
	if s.Format != "json" {
		return s.Map(line)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil || fields == nil {
		return nil
	}
	if _, err := d.Token(); err != io.EOF {
		return nil
	}
	return exactNumbers(fields).(map[string]any)
}

func exactNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.Atoi(string(v)); err == nil && !strings.ContainsAny(string(v), ".eE") {
			return i
		}
		f, _ := strconv.ParseFloat(string(v), 64) // infinite if it is beyond all
		return f
	case map[string]any:
		for key, value := range v {
			v[key] = exactNumbers(value)
		}
	case []any:
		for i, value := range v {
			v[i] = exactNumbers(value)
		}
	}
	return v
}

// chance makes rules and lines of few words, so that they often meet.
type chance struct{ *rand.Rand }

func (c chance) of(list ...string) string { return list[c.IntN(len(list))] }

func (c chance) word() string {
	return c.of("sent", "email sent", "event", "export.finished", "a", "GET /api", "user", "status", "500", "é", "x/y", `q"q`, `b\s`, "", "tab\tx",
		"true", "ab", "status=sent", "\u2028", "<b>", "null", "n", "s\ufffdt", "x\ufffd", "EMAIL Sent", "\u017fent", "Status", "\u212aIN", "k\u0130n", "kin")
}

func (c chance) field() string {
	return c.of("fields.event", "fields.n", "fields.user.plan", "fields.user", "fields.list[1]", "fields.list[0].n", `fields["x/y"]`, "fields.ok", "fields.missing")
}

func (c chance) constant() string {
	return c.of(quoteWord(c.word()), quoteWord(c.word()), quoteWord(c.word()), "500", "-1", "1.5", "true", "nil", "0")
}

func quoteWord(s string) string {
	b, _ := json.Marshal(s)
	return strings.ReplaceAll(string(b), `\u2028`, "\u2028")
}

func (c chance) pattern() string {
	return "`" + c.of("sent", "(sent|event)", "em.*sent", "(?i)sent", "(?i)email (sent|x)", "(?i)kin", "a(?i:\\.FIN)|(?i)STATUS", "s+ent", `\bevent`, "(a|b)+", "é", `st(at)?us=(\w+)`, "^GET", "x{2}", "[st]ent", "sent$", "(sent|)", `\d+`, `ev(e)(nt){1,2}`, "s\ufffdt") + "`"
}

func (c chance) group() string {
	return "`" + c.of(`(\d+)`, `status=(\w*)`, `(sent|event)`, `n=(\d+)?`, `"n":\s*(\d+)`) + "`"
}

func (c chance) textual() string {
	return c.of("line", "line", "line", c.field(), c.field(), "extract(line, "+c.group()+")", "extract("+c.field()+", "+c.group()+")", "file", "source", "lower(line)", "upper(line)", "("+c.field()+` ?? "sent")`, "("+c.field()+` ?? "")`)
}

func (c chance) condition(depth int) string {
	if depth > 0 {
		switch c.IntN(8) {
		case 0, 1:
			return "(" + c.condition(depth-1) + c.of(" and ", " && ") + c.condition(depth-1) + ")"
		case 2, 3:
			return "(" + c.condition(depth-1) + c.of(" or ", " || ") + c.condition(depth-1) + ")"
		case 4:
			return "not (" + c.condition(depth-1) + ")"
		case 5:
			return "(" + c.condition(depth-1) + " ? " + c.condition(depth-1) + " : " + c.condition(depth-1) + ")"
		}
	}
	switch c.IntN(13) {
	case 12:
		number := c.of("int", "int", "float") + "(" + c.of("fields.n", "fields.n", c.field()) + ")"
		return number + c.of(" > ", " >= ", " < ", " <= ", " == ", " != ") + c.of("0", "1", "500", "1.5", "nil", "fields.n", "int(fields.event)")
	case 0, 1, 2:
		return c.textual() + c.of(" contains ", " startsWith ", " endsWith ") + quoteWord(c.word())
	case 3, 4:
		return c.textual() + " == " + quoteWord(c.word())
	case 5:
		return c.field() + c.of(" == ", " != ") + c.constant()
	case 6:
		return c.textual() + " matches " + c.pattern()
	case 7:
		return c.textual() + " in [" + quoteWord(c.word()) + ", " + quoteWord(c.word()) + "]"
	case 8:
		return c.of("fields.n", c.field()) + c.of(" > ", " >= ", " < ", " <= ") + c.of("0", "1", "500", `"m"`)
	case 9:
		return c.field() + " in [500, \"sent\", 1.5]"
	case 10:
		return c.of(c.field(), `"event" in fields`, c.field()+" != nil", "len(fields) > 1", c.field()+"?.plan == \"sent\"", `hasPrefix(line, "{")`,
			"extract(line, "+c.group()+") != \"\"", "("+c.field()+" ?? \"sent\") == \"sent\"", `fields[lower("EVENT")] == "sent"`,
			`any(fields.list ?? [], # == "sent")`, `count(split(line, " "), # contains "s") > 1`, "fields.user == fields.list", "fields.event in fields.list", `all(fields.list ?? [], #.n > fields.n)`)
	}
	return c.of("true", "false", `upper(line) contains "SENT"`, "int(extract(line, `(\\d+)`)) > 3")
}

func (c chance) quantity() string {
	return c.of("1", "1", "0", "3", "fields.n", "fields.n * 2", "extract(line, `(\\d+)`)", "len(line)", "int(fields.n)", "int(fields.missing) ?? 3", "fields.missing ?? 2", "float(fields.n) / 4", "fields.user.plan", "sum(fields.list ?? [])")
}

func (c chance) value(depth int) string {
	switch n := c.IntN(12); {
	case n < 4:
		text := quoteWord(c.word())
		if c.IntN(4) == 0 {
			text = strings.Replace(text, "e", `\u0065`, 1)
		}
		if c.IntN(4) == 0 {
			text = strings.ReplaceAll(text, "/", `\/`)
		}
		if c.IntN(8) == 0 {
			text = strings.Replace(text, "s", "\xff", 1)
		}
		if c.IntN(2) == 0 {
			text = strings.Replace(text, "\ufffd", "\xff", 1)
		}
		return text
	case n < 8:
		return c.of("0", "1", "500", `"500"`, `"-"`, `"-1"`, `"+1"`, `"1.0"`, `""`, "-1", "1.5", "2e2", "9223372036854775807", "9223372036854775808", "9007199254740991", "9007199254740992", "9007199254740993", "-9223372036854775808", "-0", "-0.0", "0.1", "12.50",
			"4611686018427387904", "true", "false", "null")
	case n < 9 && depth > 0:
		return "[" + c.value(depth-1) + "," + c.value(depth-1) + "]"
	case n < 11 && depth > 0:
		return c.object(depth - 1)
	}
	return quoteWord(c.word())
}

func (c chance) object(depth int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range c.IntN(5) {
		if i > 0 {
			b.WriteString(c.of(",", ", "))
		}
		key := quoteWord(c.of("event", "n", "user", "list", "x/y", "ok", "plan", "other"))
		switch c.IntN(10) {
		case 0:
			key = strings.Replace(key, "e", `\u0065`, 1)
		case 1:
			key = strings.ReplaceAll(key, "/", `\/`)
		}
		b.WriteString(key + c.of(":", ": ") + c.value(depth))
	}
	return b.String() + "}"
}

func (c chance) line(format string) string {
	switch {
	case c.IntN(8) == 0:
		return c.word() + " " + c.word()
	case format == "json":
		text := c.object(3)
		if c.IntN(12) == 0 {
			text = text[:len(text)-1] + c.of("", "}}", ",}", "} ")
		}
		return text
	case format == "logfmt":
		var b strings.Builder
		for range c.IntN(5) {
			b.WriteString(c.of("event", "n", "user", "x/y", "ok") + c.of("=", "=", "") + c.of("-7", "-", `"500"`, "1.5", "007", "+1", quoteWord(c.word()), strings.ReplaceAll(c.word(), " ", "_"), "500") + " ")
		}
		return b.String()
	case format == "regexp":
		return strings.ReplaceAll(c.word(), " ", "_") + " " + c.of("1", "500", "x") + " " + c.word()
	}
	return strings.Replace(c.word(), "\ufffd", c.of("\xff", "\ufffd"), 1) + c.of(" ", "", "=") + c.word() + c.of("", "500", "\r", "\x00")
}

func (c chance) log(format string) []byte {
	var b strings.Builder
	for range c.IntN(30) {
		b.WriteString(strings.ReplaceAll(c.line(format), "\n", " ") + c.of("\n", "\n", "\n", "\r\n"))
	}
	if c.IntN(3) == 0 {
		b.WriteString(c.line(format))
	}
	return []byte(b.String())
}

func (c chance) config() string {
	format := c.of("text", "json", "json", "logfmt", "regexp")
	var b strings.Builder
	b.WriteString("product_id: p\nsources:\n  - {name: s, path: /s, format: " + format)
	if format == "regexp" {
		b.WriteString(", pattern: '" + c.of(`^(?P<event>\S+) (?P<n>\d+)(?: (?P<user>.*))?`, `(?P<event>sent|x)(?P<n>\d*)`, `(?P<ok>status)=(?P<event>.*)`) + "'")
	}
	if format == "json" && c.IntN(3) == 0 {
		b.WriteString(", timestamp: {field: n, layout: unix}")
	}
	b.WriteString("}\n")
	if c.IntN(6) == 0 {
		b.WriteString("  - {name: t, path: /s, format: " + c.of("text", "json", "logfmt") + "}\n")
	} else {
		b.WriteString("  - {name: u, path: /u, format: json}\n") // so that any field may be named
	}
	b.WriteString("rules:\n")
	for i := range 1 + c.IntN(1+c.IntN(12)) {
		quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
		sku := "s"
		if c.IntN(4) == 0 {
			sku = fmt.Sprintf("{by: %s, map: {sent: a, 500: b, 1.5: c, \"true\": d, \"\": e}%s}", quote(c.of(c.field(), c.field(), c.quantity(), c.textual())), c.of("", ", else: f"))
		}
		fmt.Fprintf(&b, "  - {name: r%d, sku_id: %s, when: %s, quantity: %s%s}\n", i, sku, quote(c.condition(c.IntN(4))), quote(c.quantity()), c.of("", "", "", "", "", "", ", max: 500", ", decimals: 1", ", decimals: 2, max: 501.5"))
	}
	return b.String()
}

// checkPlain compares the fast way with the plain one on a random
// configuration and log.
func checkPlain(t *testing.T, seed uint64) (lines, anomalies int) {
	t.Helper()
	c := chance{rand.New(rand.NewPCG(seed, 1))}
	text := c.config()
	parsed, err := config.Parse("rules.yaml", []byte(text))
	if err != nil {
		return 0, 0 // such as a comparison of a string with a number
	}
	fast, plain := rules.NewMatcher(&parsed.Set), rules.NewMatcher(&parsed.Set)
	plain.SetPlain(plainFields)
	sources := []string{"s"}
	if parsed.Sources[1].Name == "t" {
		sources = []string{"s", "t"}
	}
	var got, want meter.Tally
	for range 3 { // blocks
		log := c.log(parsed.Sources[0].Format)
		block := meter.Block{Generation: 1, Path: "/s", Sources: sources, Data: log, ReadAt: readAt}
		fast.Match(block, &got)
		plain.Match(block, &want)
		for _, name := range sources { // plain does not know which lines the search finds
			delete(got.Anomalies, meter.AnomalyKey{Kind: meter.NotParsed, Subject: name})
		}
		if tallyText(&got) != tallyText(&want) {
			t.Fatalf("seed %d\n%s\n%s\nfast:\n%s\nplain:\n%s", seed, text, log, tallyText(&got), tallyText(&want))
		}
	}
	for _, n := range want.Counts {
		lines += int(n.Lines)
	}
	for _, n := range want.Anomalies {
		anomalies += int(n.Count)
	}
	return lines, anomalies
}

func TestFastEqualsPlain(t *testing.T) {
	lines, anomalies := 0, 0
	for seed := range uint64(1500) {
		n, m := checkPlain(t, seed)
		lines, anomalies = lines+n, anomalies+m
	}
	if lines < 10000 || anomalies < 1000 {
		t.Errorf("only %d lines counted and %d anomalies: the cases prove little", lines, anomalies)
	}
}

func FuzzFastEqualsPlain(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkPlain(t, seed) })
}

// A configuration may be shared by matchers of several goroutines.
func TestSharedConfig(t *testing.T) {
	c := parse(t, `
product_id: p
sources: [{name: s, path: /s, format: json}]
rules:
  - {name: a, when: 'fields.event == "sent" and extract(line, "n\":(" + fields.pattern + ")") != ""', sku_id: s, quantity: fields.n}
`)
	block := meter.Block{Generation: 1, Sources: []string{"s"}, ReadAt: readAt}
	for i := range 400 {
		block.Data = fmt.Appendf(block.Data, `{"event":"sent","n":%d,"pattern":"%d+"}`+"\n", i, i%300)
	}
	var want meter.Tally
	rules.NewMatcher(&c.Set).Match(block, &want)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			var got meter.Tally
			rules.NewMatcher(&c.Set).Match(block, &got)
			if tallyText(&got) != tallyText(&want) || len(got.Counts) != 1 {
				t.Errorf("got %s, want %s", tallyText(&got), tallyText(&want))
			}
		})
	}
	group.Wait()
}
