package main

import (
	"strings"
	"testing"
	"time"
)

const document = "# Title\n" +
	"\n" +
	"A line `a|b` and\n" +
	"[more](https://example.com/x-y), [here](other.md).\n" +
	"\n" +
	"## A section\n" +
	"### Within\n" +
	"- one `` `x` ``\n" +
	"  goes on\n" +
	"- *two*, **`three`**\n" +
	"```yaml\n" +
	".path: 'C:\\x'\n" +
	"\n" +
	"# no heading\n" +
	"```\n" +
	"| key | meaning |\n" +
	"|---|---|\n" +
	"| `--at` | now \\| then |\n" +
	"| `b` | 5\\* ~ |\n"

const expected = `.TH A-PAGE 5 2026-01-02 "meterlog 1.2" "meterlog"
.SH NAME
a\-page \- about it
.SH DESCRIPTION
.PP
A line \fBa|b\fP and more (https://example.com/x\-y), here.
.SH A SECTION
.SS Within
.IP \(bu 2
one \fB\(gax\(ga\fP goes on
.IP \(bu 2
\fItwo\fP, \fB\fBthree\fP\fP
.PP
.RS 4
.nf
\&.path: \(aqC:\ex\(aq

# no heading
.fi
.RE
.TP
\fB\-\-at\fP
now | then
.TP
\fBb\fP
5* \(ti
.SH SEE ALSO
meterlog(1)
`

func TestPage(t *testing.T) {
	p := page{name: "a-page", about: "about it", seeAlso: "meterlog(1)", version: "1.2", section: 5, date: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
	got, want := strings.Split(p.roff(document), "\n"), strings.Split(expected, "\n")
	for i := range max(len(got), len(want)) {
		g, w := at(got, i), at(want, i)
		if g != w {
			t.Fatalf("line %d: got %q, want %q", i+1, g, w)
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}
