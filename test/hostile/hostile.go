// Package hostile makes random applications. Each has sources, rules, and a log
// with the damage that broken machines and strangers do. Tests compare commands on
// them.
package hostile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// App is a random application.
type App struct {
	random *rand.Rand
	format string // json, logfmt, regexp or text
	second bool   // another source reads the same file by another format
	prefix string // the text before the part that the format reads, or ""
	Timed  bool   // lines have their own times
}

// New returns an application, always the same for a seed.
func New(seed uint64) *App {
	random := rand.New(rand.NewPCG(seed, 3))
	h := &App{random: random, format: []string{"json", "logfmt", "regexp", "text"}[seed%4], Timed: random.IntN(3) == 0, second: random.IntN(4) == 0}
	if random.IntN(3) == 0 {
		h.prefix = "pod F "
	}
	return h
}

func (h *App) pick(from ...string) string { return from[h.random.IntN(len(from))] }

// Sources returns the elements of the list in the configuration.
func (h *App) Sources(path string) string {
	text := "{name: app, path: " + path + ", format: " + h.format
	if h.format == "regexp" {
		text += `, pattern: '^(?:(?P<at>\S+Z) )?(?P<event>\w*) n=(?P<n>\S*)(?: to=(?P<to>.*))?$'`
	}
	if h.prefix != "" {
		text += ", prefix: 'pod [FP] '"
	}
	switch {
	case !h.Timed:
	case h.format == "text":
		text += `, timestamp: {pattern: '^(?:pod [FP] )?(\S+)', layout: rfc3339}`
	default:
		text += `, timestamp: {field: at, layout: [rfc3339, unix]}`
	}
	if h.second {
		text += "}, {name: other, path: " + path + ", format: json"
	}
	return text + "}"
}

// Rules returns a list of one to four rules.
func (h *App) Rules() string {
	var text strings.Builder
	for i := range 1 + h.random.IntN(4) {
		fmt.Fprintf(&text, "  - {name: r%d, sku_id: %s, when: '%s'%s%s}\n", i, h.sku(i), h.condition(2), h.quantity(), h.memory())
	}
	return text.String()
}

func (h *App) sku(rule int) string {
	if h.format == "text" || h.random.IntN(4) > 0 {
		return fmt.Sprintf("s%d", rule)
	}
	without := h.pick("", fmt.Sprintf(", else: s%de", rule))
	return fmt.Sprintf("{by: fields.event, map: {sent: s%da, lost: s%db}%s}", rule, rule, without)
}

func (h *App) condition(depth int) string {
	if depth > 0 && h.random.IntN(2) == 0 {
		a, b := h.condition(depth-1), h.condition(depth-1)
		return h.pick("("+a+") and ("+b+")", "("+a+") or ("+b+")", "not ("+a+")", a, b)
	}
	conditions := []string{
		`line contains "sent"`, `line startsWith "{"`, `line matches "s.nt"`, `line endsWith "}"`, `line == "x"`, `line matches "(?i)SENT.*n"`, `len(line) > 12`, "line matches `^pod`",
		"extract(line, `n=(\\d+)`) != \"\"", `line contains "\u0000"`, `"a" in split(line, " ")`, `true`,
	}
	if h.format != "text" {
		conditions = append(conditions, `fields.event == "sent"`, `fields.event in ["sent", "lost"]`, `fields.n != nil`, `fields.event startsWith "s"`, `fields.event == nil`, `fields["to"] == "a@b"`)
		if h.format == "json" {
			conditions = append(conditions, `fields.n > 20`, `items(fields.to) > 1`, `fields.user.plan == "pro"`, `any(fields.to ?? [], # == "a")`)
		} else {
			conditions = append(conditions, `int(fields.n) > 20`)
		}
	}
	return h.pick(conditions...)
}

func (h *App) quantity() string {
	quantities := []string{"", "", ", quantity: 3", ", quantity: len(line)", ", quantity: 'extract(line, `n.?[=:](\\d+)`)'"}
	if h.format != "text" {
		quantities = append(quantities, ", quantity: fields.n", ", quantity: fields.n, decimals: 2", ", quantity: 'fields.n ?? 1', max: 300", ", quantity: int(fields.n), per: 7")
	}
	return h.pick(quantities...)
}

func (h *App) memory() string {
	if h.random.IntN(4) > 0 {
		return ""
	}
	if h.format == "text" {
		return ", once: {key: 'extract(line, `n.?[=:](\\d+)`)', each: month}"
	}
	return h.pick(", once: {key: fields.event, each: month}", ", once: {key: 'fields.to ?? \"nobody\"', each: month}")
}

// line returns a line as the application means it.
func (h *App) line(now time.Time) string {
	event, n, to := h.pick("sent", "sent", "lost", "Sent", "s\xffnt", ""), h.pick("1", "20", "300", "0", "-4", "1.5", "12.345", "x", "9223372036854775807"), h.pick("a@b", "a", `"a b"`, `"a" b`)
	at := now.Add(-time.Duration(h.random.IntN(200)) * time.Second).UTC().Format(time.RFC3339)
	if h.random.IntN(8) == 0 {
		at = h.pick("yesterday", now.Add(time.Hour).UTC().Format(time.RFC3339), "")
	}
	switch h.format {
	case "json":
		n = h.pick(n, `"`+n+`"`)
		to := h.pick(`"a@b"`, `["a","b"]`, `[]`, `{"a":1}`, `null`, "\"\xc3\"", `"\u0061"`)
		if at != "" {
			at = `"at":"` + at + `",`
		}
		return fmt.Sprintf(`{%s"event":"%s","n":%s,"to":%s,"user":{"plan":"pro"}}`, at, event, n, to)
	case "logfmt":
		return fmt.Sprintf(`at=%s event=%s n=%s to=%s`, at, event, n, to)
	}
	if at != "" {
		at += " "
	}
	return fmt.Sprintf("%s%s n=%s to=%s", at, event, n, to)
}

// Log returns text of many lines. Its last may lack its newline.
func (h *App) Log(now time.Time) []byte {
	pieces := []string{
		"\x00", "\x00\x00", strings.Repeat("\x00", 700), "\ufeff", "\r", " ", "\xff\xfe", "{", "x\n", "sent", "\xe2\x80\xa8", "\t",
		"\n", "\n\n", "\r\n", "\n\r", "\x1b[31m", "x\x00\x00y", `{"event":"sent","n":4000}{"event":"sent","n":4000}`, "pod X ", "pod F ",
	}
	var text bytes.Buffer
	if h.random.IntN(4) == 0 {
		text.WriteString(h.pick("\ufeff", "\xff\xfe", "\x00\x00\x00"))
	}
	for range h.random.IntN(60) {
		switch n := h.random.IntN(120); {
		case n == 0:
			text.WriteString(strings.Repeat("long", meter.MaxLine/4-20+h.random.IntN(40)))
		case n == 1:
			text.WriteString("\n" + strings.Repeat("\x00", 300<<10))
		case n < 40:
			text.WriteString(pieces[h.random.IntN(len(pieces))])
		case n < 45: // torn, and gone on with
			line := h.line(now)
			text.WriteString(line[:h.random.IntN(len(line)+1)])
		default:
			text.WriteString(h.prefix + h.line(now) + h.pick("\n", "\n", "\n", "\r\n"))
		}
	}
	return text.Bytes()
}
