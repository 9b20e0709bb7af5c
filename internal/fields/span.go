package fields

import "unsafe"

// Span is a raw value's place in a line. Kind is 0 for no value.
type Span struct {
	From, To int
	Kind     byte // first byte of a JSON value, '0' of any number; 'v' outside of JSON
	Plain    bool // a string without escapes
}

// Missing reports whether a field is nil.
func (s Span) Missing() bool { return s.Kind == 0 || s.Kind == 'n' }

// Text returns the string at a plain span.
func (s Span) Text(line []byte) []byte {
	if s.Kind == '"' {
		return line[s.From+1 : s.To-1]
	}
	return line[s.From:s.To]
}

// Value returns the value at a span of a line. A string may share the line's
// memory, which the next block overwrites.
func (v Span) Value(line []byte) any {
	raw := line[v.From:v.To]
	switch v.Kind {
	case 'v':
		if v.Plain {
			return View(raw)
		}
		return string(unescape(nil, raw))
	case '"':
		if v.Plain {
			return View(raw[1 : len(raw)-1])
		}
		return string(unquote(raw[1 : len(raw)-1]))
	case 't':
		return true
	case 'f':
		return false
	case 'n':
		return nil
	case '0':
		return jsonNumber(View(raw))
	}
	d := jsonDecoder{text: raw}
	return d.value()
}

// View returns a string that shares the memory of b. It is valid as long as b's
// bytes stay as they are.
func View(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
