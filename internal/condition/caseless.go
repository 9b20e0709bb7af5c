package condition

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/meterlog/meterlog/internal/search"
)

// thirdForms names the letters that characters beyond ASCII become as well, by
// the function that changes them: the Kelvin sign becomes k, the long s becomes
// s, and the i without or with a dot becomes i.
var thirdForms = map[string]string{"lower": "ki", "upper": "si", "(?i)": "ks"}

// maxCased bounds the letters in a text whose spellings are all searched for.
const maxCased = 5

// caseless returns a clause for a text in any mixture of small and capital
// letters: all spellings of its best part without letters that have a third form.
func caseless(text, third string, part func(string) *search.Clause) *search.Clause {
	small := lower([]byte(text))
	best, bestBits := "", 0.0
	for from := range small {
		letters := 0
		for to := from; to < len(small) && small[to] < utf8.RuneSelf && strings.IndexByte(third, small[to]) < 0; to++ {
			if letters += letter(small[to]); letters > maxCased {
				break
			}
			if bits := search.Rarity(string(small[from:to+1])) - float64(letters); bits > bestBits {
				best, bestBits = string(small[from:to+1]), bits
			}
		}
	}
	if best == "" {
		return nil
	}
	spellings := []string{""}
	for i := range len(best) {
		for j, s := range spellings {
			spellings[j] = s + best[i:i+1]
			if letter(best[i]) == 1 {
				spellings = append(spellings, s+strings.ToUpper(best[i:i+1]))
			}
		}
	}
	c := &search.Clause{Weight: 1e9}
	for _, s := range spellings {
		c = search.Either(c, part(s))
	}
	return c
}

// patternClause returns what a text must contain for a regular expression to
// match it. The function part makes a clause of a literal.
func patternClause(pattern string, part func(string) *search.Clause) *search.Clause {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	return syntaxClause(re.Simplify(), part)
}

func syntaxClause(re *syntax.Regexp, part func(string) *search.Clause) *search.Clause {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return caseless(string(re.Rune), thirdForms["(?i)"], part)
		}
		pieces := strings.FieldsFunc(string(re.Rune), func(r rune) bool { return r == utf8.RuneError })
		return part(bestPiece(pieces))
	case syntax.OpCapture, syntax.OpPlus:
		return syntaxClause(re.Sub[0], part)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return syntaxClause(re.Sub[0], part)
		}
	case syntax.OpConcat:
		var c *search.Clause
		for _, sub := range re.Sub {
			c = search.Both(c, syntaxClause(sub, part))
		}
		return c
	case syntax.OpAlternate:
		c := syntaxClause(re.Sub[0], part)
		for _, sub := range re.Sub[1:] {
			c = search.Either(c, syntaxClause(sub, part))
		}
		return c
	}
	return nil
}
