package rules

import "slices"

// Prefilter returns what the search looks for in a source. The rule's condition is
// evaluated on lines with at least one of literals. If literals is nil, it is evaluated
// on every line, and why says the reason. If literals is empty but not nil, no line of
// the source can match.
func (s *Set) Prefilter(r *Rule, source *Source) (literals []Literal, why string) {
	f := formatOf(source)
	found := r.When.condition.clause(f)
	if found == nil {
		return nil, r.When.condition.reason(f)
	}
	return told(found.Literals), ""
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

// letter is 1 for a to z, else 0.
func letter(c byte) int {
	if c-'a' < 26 {
		return 1
	}
	return 0
}

// FieldNames returns the names of fields that the rule's condition asks for, as
// the lines of source write them, if their format has names.
func (s *Set) FieldNames(r *Rule, source *Source) []string {
	var names []string
	for _, slot := range r.When.Slots {
		for _, step := range s.slots.Paths[slot] {
			name := step.Key
			if source.Format == "json" {
				name = `"` + name + `"`
			}
			written := verbatim(step.Key)
			if step.Index < 0 && len(written) == 1 && written[0] == step.Key && !slices.Contains(names, name) && (source.Format == "json" || source.Format == "logfmt") {
				names = append(names, name)
			}
		}
	}
	return names
}
