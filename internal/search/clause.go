package search

import (
	"slices"
	"strings"
)

// Clause says what a line must contain so that a condition is true or fails: at
// least one of its literals. Without literals, words and names, the condition is false on every line.
// A nil clause says nothing.
type Clause struct {
	Literals []string
	Words    []string // texts of JSON: they count as literals where they are whole words
	Names    []string // names of JSON: they count as literals where they are whole words with a value behind them
	Guards   []string // JSON names in their quotes: the condition also fails if one of them has a value of another kind than text
	Escaped  bool     // a line that contains \u may hide the literals
	Weight   float64  // how seldom lines have them, in bits; the higher the better
}

// Require returns a clause of one literal. Lines hold no newline.
func Require(literal string) *Clause {
	switch {
	case literal == "":
		return nil
	case strings.Contains(literal, "\n"):
		return &Clause{Weight: 1e9}
	}
	return &Clause{Literals: []string{literal}, Weight: Rarity(literal)}
}

// Both returns a clause for a condition that needs a and b: the better one.
func Both(a, b *Clause) *Clause {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case b.Weight > a.Weight:
		return b
	}
	return a
}

// maxLiterals bounds the literals of one clause.
const maxLiterals = 256

// Either returns a clause for a condition that needs a or b.
func Either(a, b *Clause) *Clause {
	if a == nil || b == nil || a.size()+b.size() > maxLiterals {
		return nil
	}
	return &Clause{
		Literals: merge(a.Literals, b.Literals),
		Words:    merge(a.Words, b.Words),
		Names:    merge(a.Names, b.Names),
		Guards:   merge(a.Guards, b.Guards),
		Escaped:  a.Escaped || b.Escaped,
		Weight:   min(a.Weight, b.Weight),
	}
}

// size returns how many literals the clause has.
func (c *Clause) size() int { return len(c.Literals) + len(c.Words) + len(c.Names) }

// Texts returns all literals of the clause, texts and names as JSON writes them.
func (c *Clause) Texts() []string {
	texts := slices.Clone(c.Literals)
	for _, s := range slices.Concat(c.Words, c.Names) {
		texts = append(texts, `"`+s+`"`)
	}
	return texts
}

func merge(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// byteBits holds, for each byte, how rare it is in logs, in bits.
var byteBits = func() (t [256]float64) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = 4
		case strings.IndexByte("etaoinsr", byte(c)) >= 0:
			t[c] = 4.5
		case c >= 'a' && c <= 'z':
			t[c] = 5.5
		case c == ' ':
			t[c] = 3
		case strings.IndexByte(`.-:/"=,_[]`, byte(c)) >= 0:
			t[c] = 5
		case c >= 'A' && c <= 'Z':
			t[c] = 6.5
		default:
			t[c] = 8
		}
	}
	return t
}()

// Rarity returns how rare a literal is likely to be, in bits.
func Rarity(literal string) float64 {
	bits := 0.0
	for i := range len(literal) {
		bits += byteBits[literal[i]]
	}
	return min(bits, 60)
}
