package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// Highlights shows which part of a line matched: here between « and ».
func TestHighlights(t *testing.T) {
	for _, tt := range []struct{ format, when, quantity, line, want string }{
		{"text", `line contains "email sent"`, "1", "an email sent, email sent", "an «email sent», email sent"},
		{"text", `line contains "a" and line contains "b" or line contains "c"`, "1", "xc ba", "x«c» «ba»"},
		{"text", `line startsWith "GET " and line endsWith " 200"`, "1", "GET / 200 200", "«GET »/ 200« 200»"},
		{"text", "line matches `s[ae]nt` and not (line contains \"not\")", "extract(line, `n=(\\d+)`)", "sent 1 n=12", "«sent» 1 n=«12»"},
		{"text", "int(extract(line, `size=(\\d+)`)) > 5", "1", "1 size=7", "1 size=«7»"},
		{"text", `line == "all"`, "1", "all", "«all»"},
		{"text", `not (line contains "x")`, "1", "abc", "abc"},
		{"text", `lower(line) contains "sent"`, "1", "SENT", "SENT"},
		{"json", `fields.event == "sent"`, "fields.n", `{"note":"sent","event":"sent","n":12}`, `{"note":"sent","event":"«sent»","n":«12»}`},
		{"json", `fields.event in ["sent", "queued"] and fields.user.plan startsWith "pr"`, "1", `{"user":{"plan":"pro"},"event":"queued"}`, `{"user":{"plan":"«pr»o"},"event":"«queued»"}`},
		{"json", `fields.status >= 500 or fields.status == 1 or fields.level == "warn"`, "1", `{"level":"info","status":502}`, `{"level":"info","status":«502»}`},
		{"json", `fields.n != 3 and fields.ok`, "sum(fields.list ?? [])", `{"n":1,"ok":true,"list":[1,2]}`, `{"n":1,"ok":«true»,"list":«[1,2]»}`},
		{"json", `fields["e"] == "sent"`, "1", `{"e":"s\u0065nt"}`, `{"e":"s\u0065nt"}`},
		{"logfmt", `fields.event == "sent" and int(fields.n) > 1`, "fields.n", `n=12 event="sent" sent`, `n=«12» event="«sent»" sent`},
		{"logfmt", `any(split(fields.list, ","), # == "b")`, "1", `list=a,b`, `list=«a,b»`},
	} {
		when := strings.ReplaceAll(tt.when, "'", "''")
		c := parse(t, fmt.Sprintf("product_id: p\nsources: [{name: s, path: /s, format: %s}]\nrules:\n  - {name: r, when: '%s', quantity: '%s', sku_id: s}\n", tt.format, when, tt.quantity))
		m := rules.NewMatcher(&c.Set)
		got := ""
		m.Each(meter.Block{Sources: []string{"s"}, Data: []byte(tt.line + "\n"), ReadAt: readAt}, func(h rules.Hit) {
			end := 0
			for _, mark := range m.Highlights(h.Rule) {
				got += string(h.Line[end:mark[0]]) + "«" + string(h.Line[mark[0]:mark[1]]) + "»"
				end = mark[1]
			}
			got += string(h.Line[end:])
		})
		if got != tt.want {
			t.Errorf("%s, %s: got %s, want %s", tt.when, tt.quantity, got, tt.want)
		}
	}
}
