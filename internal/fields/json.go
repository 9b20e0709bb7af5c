package fields

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"unicode/utf8"
)

// jsonScanner reads one JSON text strictly, as encoding/json would: what that
// refuses, this refuses. While it checks the text it notes where the values are
// that a Tree asks for.
//
// Its methods take the offset of a value and return the offset behind it, or -1
// if there is no such value.
type jsonScanner struct {
	text  []byte
	depth int
	found []Span // by slot
}

// maxDepth is how deep encoding/json lets values nest.
const maxDepth = 10000

// fields notes where the values are that root asks for. It reports whether the
// text is a JSON object and nothing else. If not, nothing that it noted counts.
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
	end, plain := -1, false
	kind := s.text[at]
	switch kind {
	case '"':
		end, plain = stringEnd(s.text, at)
	case '{':
		end = s.object(at, n)
	case '[':
		end = s.array(at, n)
	case 't':
		end = s.word(at, "true")
	case 'f':
		end = s.word(at, "false")
	case 'n':
		end = s.word(at, "null")
	default:
		kind, end = '0', numberEnd(s.text, at)
	}
	if end >= 0 && n != nil && n.slot >= 0 {
		s.found[n.slot] = Span{at, end, kind, plain}
	}
	return end
}

func (s *jsonScanner) word(at int, w string) int {
	if len(s.text)-at < len(w) || string(s.text[at:at+len(w)]) != w {
		return -1
	}
	return at + len(w)
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
	wordBytes = 8
)

// stringEnd reads a string with its quotes. It returns the offset behind it, or
// -1, and whether the string stands for itself.
func stringEnd(text []byte, at int) (end int, plain bool) {
	i := at + 1
	for ; len(text)-i >= wordBytes; i += wordBytes {
		// A bit in each byte at which the reading has to stop and look: control
		// characters, quotes, backslashes and what is not ASCII. Bytes above the
		// lowest of them may be marked for no reason.
		word := binary.LittleEndian.Uint64(text[i:])
		quote, escape := word^quotes, word^escapes
		if found := ((quote-ones)&^quote | (escape-ones)&^escape | (word-blanks)&^word | word) & highBits; found != 0 {
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
	for at < len(text) && text[at]-'0' < 10 {
		at++
	}
	if at == from {
		return -1
	}
	return at
}

// unquote is the text of a string that does not stand for itself, as
// encoding/json reads it: each byte that is not UTF-8 becomes U+FFFD.
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

// DecodeJSON reads a JSON text as expressions see it: whole numbers that fit
// are int, others float64; of keys that come twice the last stays.
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

// jsonDecoder builds values of a text that a jsonScanner has found right.
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
