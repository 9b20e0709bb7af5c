package rules

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one mistake in a configuration.
type Problem struct {
	File         string
	Line, Column int    // from 1, in characters; 0 where the problem has no place in the file
	Message      string // one line
	Hint         string // what to do about it, one line; may be empty
	Excerpt      string // the line of the file and, below it, a caret at the place; may be empty
}

// String is the problem as a compiler would print it: place, message, hint,
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

// didYouMean is a hint that names the candidate closest to word, or "".
func didYouMean(word string, candidates []string) string {
	best, distance := "", 2+min(len(word)/5, 2) // the least that is too far
	word = strings.ToLower(word)
	for _, c := range candidates {
		d := editDistance(word, strings.ToLower(c))
		if len(word) >= 3 && strings.HasPrefix(strings.ToLower(c), word) {
			d = 1
		}
		if d < distance && d < len(c) {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// oneOf is a hint that names the closest candidate, or else all of them.
func oneOf(word string, candidates []string) string {
	if hint := didYouMean(word, candidates); hint != "" {
		return hint
	}
	return "use one of " + strings.Join(candidates, ", ")
}

// editDistance is the number of characters to insert, delete, replace or swap
// with their neighbour to make b of a.
func editDistance(a, b string) int {
	s, t := []rune(a), []rune(b)
	var before []int
	last := make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := range s {
		row := make([]int, len(t)+1)
		row[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(t)]
}
