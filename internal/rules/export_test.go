package rules

// Count adds a hit to a tally.
var Count = count

// SetPlain makes the matcher evaluate every rule on every line, with the fields
// that decode returns.
func (m *Matcher) SetPlain(decode func(s *Source, line []byte) map[string]any) { m.plain = decode }

// TrimLineEnd takes off a line's end.
var TrimLineEnd = trimLineEnd
