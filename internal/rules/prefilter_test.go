package rules_test

import (
	"slices"
	"testing"
)

func TestPrefilter(t *testing.T) {
	for _, tt := range []struct {
		format, when string
		want         []string // nil: every line
		why          string
	}{
		{"text", `line contains "email sent"`, []string{"email sent"}, ""},
		{"text", `line startsWith "ab" and line contains "email sent"`, []string{"email sent"}, ""},
		{"text", `line contains "email sent" or line endsWith "queued"`, []string{"email sent", "queued"}, ""},
		{"text", `line in ["one", "two"]`, []string{"one", "two"}, ""},
		{"text", "line matches `status=(sent|queued) to`", []string{"status="}, ""},
		{"text", "line matches `(?i)Sent|GONE`", []string{"ent in any case", "gone in any case"}, ""},
		{"text", "line matches `(?i)sk`", nil, "it has no text that a line must contain"},
		{"text", `lower(line) contains "out of memory"`, []string{"ut of m in any case"}, ""},
		{"text", `line in ["AB", "Ab", "aB", "x"]`, []string{"AB", "Ab", "aB", "x"}, ""},
		{"text", "extract(line, `size=(\\d+)`) != \"\"", []string{"size="}, ""},
		{"text", `not (line contains "x")`, nil, "a negation requires no text"},
		{"text", `len(line) > 3 and line contains "sent"`, nil, "the first part of `and` may fail, so it is evaluated on every line; put the part first that looks for a text"},
		{"text", `line contains "sent" and len(line) > 3`, []string{"sent"}, ""},
		{"text", `line contains "sent" or len(line) > 3`, nil, "one side of `or`: it requires no text that could be searched for"},
		{"text", `true`, nil, "it is always true"},
		{"json", `fields.event != "sent"`, nil, "a negation requires no text"},
		{"json", `fields.event == "sent" ? fields.paid : false`, nil, "what comes after `?` is not searched for; write it with `and` and `or`"},
		{"json", `let e = fields.event; e == "sent"`, nil, "what comes after `let` is not searched for"},
		{"text", `any(["sent", "queued"], line contains #)`, nil, "what is in a loop is not searched for; write it with `or`, or `in`"},
		{"text", `false`, []string{}, ""},
		{"text", `line contains "a\nb"`, []string{}, ""},
		{"json", `fields.event == "export.finished"`, []string{`"export.finished"`}, ""},
		{"json", `(fields.event ?? "") == "export.finished"`, []string{`"export.finished"`}, ""},
		{"json", `(fields.event ?? "export.finished") == "export.finished"`, nil, "it has no text that a line must contain"},
		{"json", `(fields.event ?? "ab") contains "b"`, nil, "it has no text that a line must contain"},
		{"json", `fields.event == "a/bcd"`, []string{"bcd"}, ""},
		{"json", `fields.path == "/v1/exports"`, []string{"exports"}, ""},
		{"json", `fields.event == "x" and fields.user.plan == "enterprise"`, []string{`"enterprise"`}, ""},
		{"json", `fields.bytes > 5`, []string{`"bytes"`}, ""},
		{"json", `fields.message contains "sent"`, []string{"sent"}, ""},
		{"json", `fields.status == 200`, []string{`"status"`}, ""},
		{"json", `fields.missing == nil`, nil, "it has no text that a line must contain"},
		{"json", `fields.event in ["email.sent", "sms.sent"]`, []string{`"email.sent"`, `"sms.sent"`}, ""},
		{"json", `fields.n > 3 and line contains "finished"`, []string{`"n"`}, ""},
		{"logfmt", `fields.event == "export.finished"`, []string{"export.finished"}, ""},
		{"logfmt", `fields.message contains "email sent"`, []string{"email sent"}, ""},
		{"logfmt", `fields.a.b == "x"`, []string{}, ""},
	} {
		c := parse(t, "product_id: p\nsources: [{name: s, path: /s, format: "+tt.format+"}]\nrules:\n  - {name: r, sku_id: s, when: '"+tt.when+"'}\n")
		literals, why := c.Prefilter(c.Rules[0], c.Sources[0])
		var got []string
		if literals != nil {
			got = []string{}
		}
		for _, l := range literals {
			if l.AnyCase {
				l.Text += " in any case"
			}
			got = append(got, l.Text)
		}
		if !slices.Equal(got, tt.want) || (got == nil) != (tt.want == nil) || why != tt.why {
			t.Errorf("%s %s: %q %q, want %q %q", tt.format, tt.when, got, why, tt.want, tt.why)
		}
	}
}
