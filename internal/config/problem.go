package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one mistake in a configuration.
type Problem struct {
	File         string
	Line, Column int    // from 1, in characters; 0 for a problem of the file as a whole
	Message      string // one line
	Hint         string // what to do about it, one line; may be empty
	Excerpt      string // the line of the file and, below it, a caret at the place; may be empty
}

// String returns the problem as a compiler would print it: place, message, hint,
// and below it the excerpt.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": " + p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	return b.String()
}

// Problems is every mistake of a configuration, in the order of the file. It
// is never empty where it is returned as an error.
type Problems []Problem

func (ps Problems) Error() string {
	s := make([]string, len(ps))
	for i, p := range ps {
		s[i] = p.String()
	}
	return strings.Join(s, "\n")
}

// sorted orders the problems by their place.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return ps
}

// excerptWidth is the most characters of a source line that an excerpt shows.
const excerptWidth = 100

// excerpt shows line number n of lines with a caret below the given column,
// both from 1.
func excerpt(lines []string, n, column int) string {
	if n < 1 || n > len(lines) {
		return ""
	}
	runes := []rune(strings.ToValidUTF8(strings.TrimSuffix(lines[n-1], "\r"), string(utf8.RuneError)))
	at := min(max(column-1, 0), len(runes))
	before, after := "", ""
	if from := at - excerptWidth*3/4; from > 0 && len(runes) > excerptWidth {
		runes, at, before = runes[from:], at-from+1, "…"
	}
	if len(runes) > excerptWidth {
		runes, after = runes[:excerptWidth], "…"
	}
	text := before + strings.ReplaceAll(string(runes), "\t", " ") + after
	margin := fmt.Sprintf("%5d", n)
	return fmt.Sprintf("%s | %s\n%s | %s^", margin, text, strings.Repeat(" ", len(margin)), strings.Repeat(" ", at))
}
