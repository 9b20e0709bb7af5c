package main

import (
	"regexp"
	"strings"
)

// spans are what Markdown marks within a text: an escape, code in one or two
// backticks, bold, emphasis, a link.
var spans = regexp.MustCompile("\\\\([[:punct:]])|`` (.+?) ``|`([^`]+)`|\\*\\*(.+?)\\*\\*|\\*([^*]+)\\*|\\[([^]]+)\\]\\(([^)]+)\\)")

// inline returns a paragraph's text for roff.
func inline(markdown string) string {
	var b strings.Builder
	end := 0
	for _, at := range spans.FindAllStringSubmatchIndex(markdown, -1) {
		b.WriteString(escaped(markdown[end:at[0]]))
		end = at[1]
		group := func(n int) string {
			if at[2*n] < 0 {
				return ""
			}
			return markdown[at[2*n]:at[2*n+1]]
		}
		switch {
		case group(1) != "":
			b.WriteString(escaped(group(1)))
		case group(2)+group(3) != "":
			b.WriteString(`\fB` + escaped(group(2)+group(3)) + `\fP`)
		case group(4) != "":
			b.WriteString(`\fB` + inline(group(4)) + `\fP`)
		case group(5) != "":
			b.WriteString(`\fI` + escaped(group(5)) + `\fP`)
		default:
			b.WriteString(inline(group(6)) + address(group(7)))
		}
	}
	b.WriteString(escaped(markdown[end:]))
	return guarded(b.String())
}

// address is where a link leads, unless it is to another file of the sources.
func address(url string) string {
	if !strings.Contains(url, "://") {
		return ""
	}
	return " (" + escaped(url) + ")"
}

// escapes replaces characters that roff would interpret, or would print in a form
// that a shell does not accept, or that a terminal without UTF-8 cannot show.
var escapes = strings.NewReplacer("\u2026", "...", "2\u2075\u00b3", `2\(ha53`, "2\u2076\u00b2", `2\(ha62`, "2\u2076\u00b3", `2\(ha63`, `\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

func escaped(text string) string { return escapes.Replace(text) }

// guarded keeps a line from being taken for a request of roff.
func guarded(line string) string {
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}
