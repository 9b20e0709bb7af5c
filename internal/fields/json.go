package fields

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"unicode/utf8"
)

// jsonScanner reads one JSON text strictly: it refuses what encoding/json refuses.
// While it checks the text, it notes the places of the values that a Tree wants.
//
// Its methods take the offset of a value and return the offset behind it. They
// return -1 if the text has no right value there.
type jsonScanner struct {
	text  []byte
	depth int
	found []Span // by slot
}

// maxDepth is how deep encoding/json lets values nest.
const maxDepth = 10000

// fields notes the places of the values that root wants. It reports whether the
// text is a JSON object and nothing else. If not, ignore what it noted.
func (s *jsonScanner) fields(root *Tree) bool {
	at := skipSpace(s.text, 0)
	if at == len(s.text) || s.text[at] != '{' {
		return false
	}
	at = s.object(at, root)
	return at >= 0 && skipSpace(s.text, at) == len(s.text)
}

// skipSpace returns the offset of what follows white space.
func skipSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n') {
		at++
	}
	return at
}

// value reads a value of any kind.
func (s *jsonScanner) value(at int, n *Tree) int {
	if at >= len(s.text) {
		return -1
	}
	var v Span
	end := -1
	switch kind := s.text[at]; kind {
	case '{':
		end = s.object(at, n)
		v = Span{at, end, kind, false}
	case '[':
		end = s.array(at, n)
		v = Span{at, end, kind, false}
	default:
		v, end = jsonScalar(s.text, at)
	}
	if end >= 0 && n != nil && n.slot >= 0 {
		s.found[n.slot] = v
	}
	return end
}

func wordAt(text []byte, at int, w string) int {
	if len(text)-at < len(w) || string(text[at:at+len(w)]) != w {
		return -1
	}
	return at + len(w)
}

// jsonScalar reads a text, a number, true, false or null. It returns the offset
// behind the value, or -1.
func jsonScalar(text []byte, at int) (v Span, end int) {
	if at == len(text) {
		return Span{}, -1
	}
	plain, kind := false, text[at]
	switch kind {
	case '"':
		end, plain = stringEnd(text, at)
	case 't':
		end = wordAt(text, at, "true")
	case 'f':
		end = wordAt(text, at, "false")
	case 'n':
		end = wordAt(text, at, "null")
	default:
		kind, end = '0', numberEnd(text, at)
	}
	return Span{at, end, kind, plain}, end
}

// jsonScalars returns the values that jsonScalar reads in a right JSON text, in
// order.
func jsonScalars(text []byte) (values []Span) {
	for at := 0; at < len(text); {
		switch text[at] {
		case ' ', '\t', '\r', '\n', ',', ':', '{', '}', '[', ']':
			at++
			continue
		}
		v, end := jsonScalar(text, at)
		if next := skipSpace(text, end); next == len(text) || text[next] != ':' {
			values = append(values, v)
		}
		at = end
	}
	return values
}

func (s *jsonScanner) object(at int, n *Tree) int {
	if s.depth++; s.depth > maxDepth {
		return -1
	}
	text := s.text
	at = skipSpace(text, at+1)
	if at < len(text) && text[at] == '}' {
		s.depth--
		return at + 1
	}
	for at < len(text) && text[at] == '"' {
		end, plain := stringEnd(text, at)
		if end < 0 {
			return -1
		}
		var child *Tree
		if n != nil && len(n.keys) > 0 {
			key := text[at+1 : end-1]
			if !plain {
				key = unquote(key)
			}
			if child = n.child(key); child != nil {
				child.forget(s.found)
			}
		}
		if at = end; at < len(text) && text[at] != ':' {
			at = skipSpace(text, at)
		}
		if at >= len(text) || text[at] != ':' {
			return -1
		}
		if at++; at < len(text) && text[at] <= ' ' {
			at = skipSpace(text, at)
		}
		if at = s.value(at, child); at < 0 {
			return -1
		}
		if at < len(text) && text[at] <= ' ' {
			at = skipSpace(text, at)
		}
		if at == len(text) {
			return -1
		}
		switch text[at] {
		case ',':
			if at++; at < len(text) && text[at] <= ' ' {
				at = skipSpace(text, at)
			}
		case '}':
			s.depth--
			return at + 1
		default:
			return -1
		}
	}
	return -1
}

func (s *jsonScanner) array(at int, n *Tree) int {
	if s.depth++; s.depth > maxDepth {
		return -1
	}
	at = skipSpace(s.text, at+1)
	if at < len(s.text) && s.text[at] == ']' {
		s.depth--
		return at + 1
	}
	for i := 0; ; i++ {
		var element *Tree
		if n != nil {
			element = n.element(i)
		}
		if at = s.value(at, element); at < 0 {
			return -1
		}
		at = skipSpace(s.text, at)
		if at == len(s.text) {
			return -1
		}
		switch s.text[at] {
		case ',':
			at = skipSpace(s.text, at+1)
		case ']':
			s.depth--
			return at + 1
		default:
			return -1
		}
	}
}

// Eight bytes at once, and what they are compared with.
const (
	ones      = 0x0101010101010101
	highBits  = 0x80 * ones
	quotes    = '"' * ones
	escapes   = '\\' * ones
	blanks    = ' ' * ones
	zeros     = '0' * ones
	wordBytes = 8
)

// stringEnd reads a string with its quotes. It returns the offset behind it, or
// -1, and reports whether the string has no escapes.
func stringEnd(text []byte, at int) (end int, plain bool) {
	i := at + 1
	for ; len(text)-i >= wordBytes; i += wordBytes {
		// The lowest bit that is set marks the first control character, quote,
		// backslash or byte that is not ASCII. Higher bits mean nothing.
		word := binary.LittleEndian.Uint64(text[i:])
		quote, escape := word^quotes, word^escapes
		if found := ((quote - ones) | (escape - ones) | (word - blanks)) & highBits; found != 0 {
			i += bits.TrailingZeros64(found) / 8
			if text[i] == '"' {
				return i + 1, true
			}
			break
		}
	}
	return slowStringEnd(text, i)
}

// slowStringEnd reads the rest of a string from an offset in it.
func slowStringEnd(text []byte, i int) (end int, plain bool) {
	for plain = true; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			return i + 1, plain
		case c < ' ':
			return -1, false
		case c == '\\':
			plain = false
			if i+1 == len(text) {
				return -1, false
			}
			switch text[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if hex4(text[i+2:]) < 0 {
					return -1, false
				}
				i += 6
			default:
				return -1, false
			}
		case c < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				plain = false
			}
			i += size
		}
	}
	return -1, false
}

// numberEnd reads a number.
func numberEnd(text []byte, at int) int {
	if text[at] == '-' {
		at++
	}
	if at < len(text) && text[at] == '0' {
		at++
	} else if at = digitsEnd(text, at); at < 0 {
		return -1
	}
	if at < len(text) && text[at] == '.' {
		if at = digitsEnd(text, at+1); at < 0 {
			return -1
		}
	}
	if at < len(text) && text[at]|0x20 == 'e' {
		at++
		if at < len(text) && (text[at] == '+' || text[at] == '-') {
			at++
		}
		return digitsEnd(text, at)
	}
	return at
}

func digitsEnd(text []byte, from int) int {
	at := from
	for ; len(text)-at >= wordBytes; at += wordBytes {
		word := binary.LittleEndian.Uint64(text[at:]) ^ zeros // digits are 0 to 9 now
		if found := (word + (0x80-10)*ones | word) & highBits; found != 0 {
			if at += bits.TrailingZeros64(found) / 8; at == from {
				return -1
			}
			return at
		}
	}
	for at < len(text) && text[at]-'0' < 10 {
		at++
	}
	if at == from {
		return -1
	}
	return at
}

// unquote returns the text of a string with escapes, as encoding/json reads it.
// Each byte that is not UTF-8 becomes U+FFFD.
func unquote(raw []byte) []byte {
	out := unescape(make([]byte, 0, len(raw)), raw)
	if utf8.Valid(out) {
		return out
	}
	valid := make([]byte, 0, len(out)+8)
	for i := 0; i < len(out); {
		r, size := utf8.DecodeRune(out[i:])
		valid = utf8.AppendRune(valid, r)
		i += size
	}
	return valid
}

// DecodeJSON reads a JSON text as expressions see it. Whole numbers that fit are
// int, others float64. If a key comes twice, the last value stays.
func DecodeJSON(text []byte) (any, error) {
	s := jsonScanner{text: text}
	from := skipSpace(text, 0)
	to := s.value(from, nil)
	if to < 0 {
		return nil, errors.New("not JSON")
	}
	if skipSpace(text, to) < len(text) {
		return nil, errors.New("more than one JSON value")
	}
	d := jsonDecoder{text: text[from:to]}
	return d.value(), nil
}

// jsonDecoder builds values of a text. A jsonScanner has found the text right.
type jsonDecoder struct {
	text []byte
	at   int
}

// next skips white space and punctuation.
func (d *jsonDecoder) next() byte {
	for {
		switch c := d.text[d.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
			d.at++
		default:
			return c
		}
	}
}

func (d *jsonDecoder) value() any {
	switch d.next() {
	case '{':
		d.at++
		object := map[string]any{}
		for d.next() != '}' {
			key := d.string()
			object[key] = d.value()
		}
		d.at++
		return object
	case '[':
		d.at++
		array := []any{}
		for d.next() != ']' {
			array = append(array, d.value())
		}
		d.at++
		return array
	case '"':
		return d.string()
	case 't':
		d.at += len("true")
		return true
	case 'f':
		d.at += len("false")
		return false
	case 'n':
		d.at += len("null")
		return nil
	}
	end := numberEnd(d.text, d.at)
	number := d.text[d.at:end]
	d.at = end
	return jsonNumber(string(number))
}

func (d *jsonDecoder) string() string {
	end, plain := stringEnd(d.text, d.at)
	raw := d.text[d.at+1 : end-1]
	d.at = end
	if plain {
		return string(raw)
	}
	return string(unquote(raw))
}
