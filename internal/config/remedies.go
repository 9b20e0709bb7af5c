package config

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/meterlog/meterlog/internal/remedy"
)

// foreignKeys are names of other programs for keys, by what they are here.
var foreignKeys = map[string]string{
	"condition": "when", "if": "when", "match": "when", "filter": "when", "where": "when", "expr": "when", "expression": "when", "query": "when",
	"sku": "sku_id", "skuid": "sku_id", "amount": "quantity", "count": "quantity", "value": "quantity", "qty": "quantity", "units": "quantity",
	"unit": "per", "divide": "per", "divisor": "per", "divide_by": "per", "each": "per", "paths": "path", "files": "path", "file": "path", "glob": "path", "filename": "path", "include": "path",
	"regex": "pattern", "regexp": "pattern", "re": "pattern", "tz": "location", "timezone": "location", "time_zone": "location", "zone": "location", "ignore": "exclude",
	"type": "format", "parser": "format", "codec": "format", "encoding": "format", "time": "timestamp", "date": "timestamp", "ts": "timestamp",
	"url": "endpoint", "host": "endpoint", "api": "endpoint", "product": "product_id", "window": "interval", "period": "interval", "id": "name",
	"inputs": "sources", "logs": "sources", "metrics": "rules", "input": "lines", "log": "lines", "line": "lines", "expected": "expect", "want": "expect",
	"state_dir": "state", "key": "key_file", "token": "token_file", "protocol": "transport", "from": "start_at",
}

// meantKey returns a hint for an unknown key.
func meantKey(name string, known []string) string {
	if hint := remedy.DidYouMean(name, known); hint != "" {
		return hint
	}
	meant := foreignKeys[strings.ToLower(name)]
	for _, key := range known {
		if key == meant {
			return fmt.Sprintf("did you mean %q?", key)
		}
	}
	return remedy.OneOf(name, known)
}

// plainValue is a line of YAML with a key and a value without quotes around the
// whole of it.
var plainValue = regexp.MustCompile(`^(\s*(?:- +)?(?:\{ *)?)([\w-]+)(:\s+)(\S.*?)\s*$`)

// quoteHint returns the column of a line's value, and what to write for it in
// quotes. ok is whether the line is of a key with such a value.
func quoteHint(line string) (column int, value, hint string, ok bool) {
	g := plainValue.FindStringSubmatch(line)
	if g == nil || strings.HasSuffix(g[1], "{ ") || strings.Contains(g[1], "{") {
		return 0, "", "", false
	}
	value = g[4]
	if inner, quoted := strings.CutPrefix(value, `"`); quoted && strings.HasSuffix(inner, `"`) {
		if body := strings.TrimSuffix(inner, `"`); !strings.Contains(body, `"`) {
			value = body
		}
	}
	return len([]rune(g[1]+g[2]+g[3])) + 1, g[4], fmt.Sprintf("write %s: '%s'", g[2], strings.ReplaceAll(value, "'", "''")), true
}

// reserved are the characters that cannot begin a plain value of YAML.
const reserved = "*&!%@`|>?,[]{}#"

var (
	badEscape  = regexp.MustCompile(`"([^"]*\\[^"\\/abefnrtvx0uUNLP_ ][^"]*)"`)
	flowStar   = regexp.MustCompile(`[\[,:]\s*(\*[^\s,\]}]+)`)
	closeColon = regexp.MustCompile(`^(\s*(?:- )?)(\w+):([^\s:/].*)$`)
)

// quoteMistake notes that a line's value needs quotes, if that is what keeps it
// from being YAML.
func (d *document) quoteMistake(n int, message string) bool {
	line := d.lines[n-1]
	if strings.Contains(message, "unknown escape") {
		if at := badEscape.FindStringSubmatchIndex(line); at != nil {
			d.failAt(n, len([]rune(line[:at[0]]))+1, fmt.Sprintf("write '%s'", strings.ReplaceAll(line[at[2]:at[3]], "'", "''")),
				"a backslash in double quotes begins an escape, and this is none")
			return true
		}
	}
	if at := flowStar.FindStringSubmatchIndex(line); at != nil && strings.Contains(message, "alphabetic or numeric") {
		d.failAt(n, len([]rune(line[:at[2]]))+1, "write '"+line[at[2]:at[3]]+"'", "a value that begins with * must stand in quotes")
		return true
	}
	if g := closeColon.FindStringSubmatch(line); g != nil && strings.Contains(message, "mapping values") {
		d.failAt(n, len([]rune(g[1]+g[2]))+1, fmt.Sprintf("write %s: %s", g[2], g[3]), "a key needs a blank behind its colon")
		return true
	}
	column, value, hint, ok := quoteHint(line)
	if !ok {
		return false
	}
	first, what := value[:1], ""
	switch {
	case strings.HasPrefix(value, "{{"):
		what, hint = "{{ }} is not known here: the whole is an expression", "leave the braces out, and name a field as fields.event"
	case strings.Contains(reserved, first) && !strings.Contains("[]{}|>", first):
		what = fmt.Sprintf("a value that begins with %s must stand in quotes", first)
	case (first == `"` || first == "'") && strings.Contains(strings.TrimSuffix(value[1:], first), first):
		what = "the value begins with a quote that ends before it does"
	case strings.Contains(value, ": "):
		what = "a value that holds a colon and a blank must stand in quotes"
	default:
		return false
	}
	d.failAt(n, column, hint, "%s", what)
	return true
}

// tagged notes a plain value that YAML takes for a tag: !(line contains "x").
func (d *document) tagged(node *yaml.Node, key string) bool {
	if !strings.HasPrefix(node.Tag, "!") || strings.HasPrefix(node.Tag, "!!") {
		return false
	}
	text := strings.TrimSpace(node.Tag + " " + node.Value)
	d.fail(node, fmt.Sprintf("write %s: '%s'", key, strings.ReplaceAll(text, "'", "''")), "a value that begins with ! must stand in quotes")
	return true
}

// commented notes that YAML took the rest of an unfinished plain value for a
// comment, if it did, and reports whether.
func (d *document) commented(node *yaml.Node, key string) bool {
	if node.Style != 0 || node.Line > len(d.lines) {
		return false
	}
	line := []rune(d.lines[node.Line-1])
	if node.Column > len(line) {
		return false
	}
	rest := string(line[node.Column-1:])
	at := strings.Index(rest, " #")
	if at < 0 {
		return false
	}
	d.failAt(node.Line, node.Column+len([]rune(rest[:at]))+1, fmt.Sprintf("write %s: '%s'", key, strings.ReplaceAll(strings.TrimSpace(rest), "'", "''")),
		"%s: for YAML a comment begins here, before the expression ends", key)
	return true
}

var sizeUnit = regexp.MustCompile(`^\s*([0-9][0-9_,']*(?:\.[0-9]+)?(?:[eE]\+?[0-9]+)?)\s*([A-Za-z]*)\s*$`)

// factors of what people write behind a number.
var factors = map[string]int64{
	"": 1, "b": 1, "byte": 1, "bytes": 1, "k": 1000, "kb": 1000, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12,
	"ki": 1 << 10, "kib": 1 << 10, "mi": 1 << 20, "mib": 1 << 20, "gi": 1 << 30, "gib": 1 << 30, "ti": 1 << 40, "tib": 1 << 40,
}

// seconds of the units of time.
var seconds = map[string]int64{"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400}

// numberHint returns what to write for a number that YAML does not take for a
// whole one. It returns "" if it cannot read the number either.
func numberHint(key, text string) string {
	g := sizeUnit.FindStringSubmatch(text)
	if g == nil {
		return ""
	}
	n, ok := new(big.Rat).SetString(strings.NewReplacer("_", "", ",", "", "'", "").Replace(g[1]))
	if !ok {
		return ""
	}
	unit, isTime := strings.ToLower(g[2]), false
	factor, known := factors[unit]
	if !known {
		factor, isTime = seconds[unit]
	}
	if n.Mul(n, new(big.Rat).SetInt64(factor)); factor == 0 || !n.IsInt() {
		return ""
	}
	if isTime {
		return fmt.Sprintf("write %s: %s where the quantity is in seconds", key, n.Num())
	}
	return fmt.Sprintf("write %s: %s", key, n.Num())
}
