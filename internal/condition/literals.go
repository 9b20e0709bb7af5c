package condition

import "slices"

// Literals returns what a line must contain for a condition to be true or to fail: one
// of the literals. If they are nil, nothing is known, and why says the reason. If they
// are empty but not nil, no line can match.
func Literals(c Condition, f Format) (literals []Literal, why string) {
	found := c.Clause(f)
	if found == nil {
		return nil, c.Reason(f)
	}
	return told(found.Texts()), ""
}

// AsIs reports whether a line writes a name as it is, without escapes.
func AsIs(name string) bool {
	written := verbatim(name)
	return len(written) == 1 && written[0] == name
}

// Literal is a text that is searched for.
type Literal struct {
	Text    string
	AnyCase bool // in any mixture of small and capital letters; Text has small ones
}

// told returns literals, with one for all spellings of a text.
func told(literals []string) []Literal {
	spellings := map[string]int{}
	for _, l := range literals {
		spellings[string(lower([]byte(l)))]++
	}
	all := []Literal{}
	for _, l := range literals {
		text, letters := string(lower([]byte(l))), 0
		for i := range len(text) {
			letters += letter(text[i])
		}
		switch {
		case letters == 0 || spellings[text] != 1<<letters:
			all = append(all, Literal{l, false})
		case !slices.Contains(all, Literal{text, true}):
			all = append(all, Literal{text, true})
		}
	}
	return all
}

// lower makes the letters A to Z of a text small.
func lower(text []byte) []byte {
	for i, c := range text {
		if c-'A' < 26 {
			text[i] = c + 'a' - 'A'
		}
	}
	return text
}

// letter returns 1 for a to z, else 0.
func letter(c byte) int {
	if c-'a' < 26 {
		return 1
	}
	return 0
}
