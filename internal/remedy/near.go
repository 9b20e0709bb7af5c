package remedy

import (
	"fmt"
	"strings"
)

// DidYouMean returns a hint that names the candidate closest to word, or "".
func DidYouMean(word string, candidates []string) string {
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

// OneOf returns a hint that names the closest candidate, or else all of them.
func OneOf(word string, candidates []string) string {
	if hint := DidYouMean(word, candidates); hint != "" {
		return hint
	}
	return "use one of " + strings.Join(candidates, ", ")
}

// editDistance returns the number of characters to insert, delete, replace or swap
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
