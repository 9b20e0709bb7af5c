package fields

import "unsafe"

// Span is a raw value's place in a line; Kind 0 where there is none.
type Span struct {
	From, To int
	Kind     byte // first byte of a JSON value, '0' of any number; 'v' for a value that is no JSON
	Plain    bool // a string that stands for itself
}

// Missing reports whether a field is nil.
func (s Span) Missing() bool { return s.Kind == 0 || s.Kind == 'n' }

// Text is the string that a plain span stands for.
func (s Span) Text(line []byte) []byte {
	if s.Kind == '"' {
		return line[s.From+1 : s.To-1]
	}
	return line[s.From:s.To]
}

// Number is the whole number that a span holds, where it is written as one and
// fits.
func (s Span) Number(line []byte) (int, bool) {
	digits := line[s.From:s.To]
	negative := digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	n := 0
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// Value is the value at a Span of a line. A string may share the line's
// memory, which is used again with the next block.
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

// View is a string that shares the memory of b: it is valid as long as b's
// bytes stay as they are.
func View(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
