package remedy

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// Key returns a hint for an unknown key.
func Key(name string, known []string) string {
	if hint := DidYouMean(name, known); hint != "" {
		return hint
	}
	meant := foreignKeys[strings.ToLower(name)]
	for _, key := range known {
		if key == meant {
			return fmt.Sprintf("did you mean %q?", key)
		}
	}
	return OneOf(name, known)
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

// Quotes returns what is wrong with a line of YAML whose value needs quotes, where, and
// what to write. message is what the reader of YAML says. ok is whether that is what
// keeps the line from being YAML.
func Quotes(line, message string) (column int, what, hint string, ok bool) {
	if strings.Contains(message, "unknown escape") {
		if at := badEscape.FindStringSubmatchIndex(line); at != nil {
			return len([]rune(line[:at[0]])) + 1, "a backslash in double quotes begins an escape, and this is not one",
				fmt.Sprintf("write '%s'", strings.ReplaceAll(line[at[2]:at[3]], "'", "''")), true
		}
	}
	if at := flowStar.FindStringSubmatchIndex(line); at != nil && strings.Contains(message, "alphabetic or numeric") {
		return len([]rune(line[:at[2]])) + 1, "a value that begins with * must be in quotes", "write '" + line[at[2]:at[3]] + "'", true
	}
	if g := closeColon.FindStringSubmatch(line); g != nil && strings.Contains(message, "mapping values") {
		return len([]rune(g[1]+g[2])) + 1, "a key needs a blank behind its colon", fmt.Sprintf("write %s: %s", g[2], g[3]), true
	}
	column, value, hint, ok := quoteHint(line)
	if !ok {
		return 0, "", "", false
	}
	first := value[:1]
	switch {
	case strings.HasPrefix(value, "{{"):
		what, hint = "{{ }} is not known here: the whole is an expression", "leave the braces out, and name a field as fields.event"
	case strings.Contains(reserved, first) && !strings.Contains("[]{}|>", first):
		what = fmt.Sprintf("a value that begins with %s must be in quotes", first)
	case (first == `"` || first == "'") && strings.Contains(strings.TrimSuffix(value[1:], first), first):
		what = "the value begins with a quote that ends before it does"
	case strings.Contains(value, ": "):
		what = "a value that holds a colon and a blank must be in quotes"
	default:
		return 0, "", "", false
	}
	return column, what, hint, true
}

var sizeUnit = regexp.MustCompile(`^\s*([0-9][0-9_,']*(?:\.[0-9]+)?(?:[eE]\+?[0-9]+)?)\s*([A-Za-z]*)\s*$`)

// factors of what people write behind a number.
var factors = map[string]int64{
	"": 1, "b": 1, "byte": 1, "bytes": 1, "k": 1000, "kb": 1000, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12,
	"ki": 1 << 10, "kib": 1 << 10, "mi": 1 << 20, "mib": 1 << 20, "gi": 1 << 30, "gib": 1 << 30, "ti": 1 << 40, "tib": 1 << 40,
}

// seconds of the units of time.
var seconds = map[string]int64{"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400}

// Number returns what to write for a number that YAML does not take for a
// whole one. It returns "" if it cannot read the number either.
func Number(key, text string) string {
	if g := power.FindStringSubmatch(text); g != nil { // 1024^3, 1024*1024, GiB
		return Number(key, product(g))
	}
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
	if !n.Num().IsInt64() {
		return fmt.Sprintf("write at most %d", math.MaxInt64)
	}
	if isTime {
		return fmt.Sprintf("write %s: %s where the quantity is in seconds", key, n.Num())
	}
	return fmt.Sprintf("write %s: %s", key, n.Num())
}

// power is a number that is written as a power, a product or a unit alone.
var power = regexp.MustCompile(`^\s*(?:(\d+)\s*(?:\^|\*\*)\s*(\d)|(\d+(?:\s*\*\s*\d+)+)|([KMGTkmgt]i?[Bb]))\s*$`)

// product returns the number that power has found, or "".
func product(g []string) string {
	if g[4] != "" {
		return "1" + g[4]
	}
	var factors []string
	if g[3] != "" {
		factors = strings.Split(g[3], "*")
	} else {
		times, _ := strconv.Atoi(g[2])
		factors = slices.Repeat([]string{g[1]}, times)
	}
	n := big.NewInt(1)
	for _, f := range factors {
		factor, ok := new(big.Int).SetString(strings.TrimSpace(f), 10)
		if !ok || n.Mul(n, factor).BitLen() > 62 {
			return ""
		}
	}
	return n.String()
}
