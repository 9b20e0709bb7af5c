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

// address returns where a link leads, unless it is to another file of the sources.
func address(url string) string {
	if !strings.Contains(url, "://") {
		return ""
	}
	return " (" + escaped(url) + ")"
}

// escapes replaces characters that roff would interpret, or would print in a form
// that a shell does not accept.
var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// plain replaces characters that a terminal without UTF-8 cannot show.
var plain = strings.NewReplacer("…", "...", "⁰", "0", "¹", "1", "²", "2", "³", "3", "⁴", "4", "⁵", "5", "⁶", "6", "⁷", "7", "⁸", "8", "⁹", "9", "⁻", "-")

// powers are exponents, such as the 63 of 2⁶³.
var powers = regexp.MustCompile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")

func escaped(text string) string {
	text = powers.ReplaceAllStringFunc(text, func(power string) string { return "^" + power })
	return escapes.Replace(plain.Replace(text))
}

// guarded keeps a line from being taken for a request of roff.
func guarded(line string) string {
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}
