package rules

// Count adds a hit to a tally.
var Count = count

// CountUnparsed adds a line that is not of its source's format to a tally.
var CountUnparsed = countUnparsed

// SetPlain makes the matcher evaluate every rule on every line, with the fields
// that decode returns.
func (m *Matcher) SetPlain(decode func(s *Source, line []byte) map[string]any) { m.plain = decode }

// TrimLineEnd takes off a line's end.
var TrimLineEnd = trimLineEnd

// SearchNever makes the matcher evaluate each line without the search, where it
// may.
func (m *Matcher) SearchNever() {
	for _, p := range m.plans {
		p.direct = 1 << 30
	}
}

// Direct returns how many blocks of a source are read next without the search.
func (m *Matcher) Direct(source string) int { return m.plans[source].direct }
