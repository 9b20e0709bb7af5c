package fields

import (
	"errors"
	"unicode/utf8"
)

// jsonScanner reads one JSON text strictly, as encoding/json would: what that
// refuses, this refuses. While it checks the text it notes where the values
// lie that a Tree asks for.
type jsonScanner struct {
	text  []byte
	at    int
	depth int
	found []Span // by slot
}

// maxDepth is how deep encoding/json lets values nest.
const maxDepth = 10000

// fields notes where the values are that root asks for. It reports
// whether the text is a JSON object and nothing else; where not, nothing that
// it noted counts.
func (s *jsonScanner) fields(root *Tree) bool {
	s.space()
	if s.at == len(s.text) || s.text[s.at] != '{' || !s.object(root) {
		return false
	}
	s.space()
	return s.at == len(s.text)
}

func (s *jsonScanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// value reads the value that begins here. It reports whether it is one.
func (s *jsonScanner) value(n *Tree) bool {
	if s.at == len(s.text) {
		return false
	}
	from := s.at
	kind := s.text[from]
	plain, ok := false, false
	switch kind {
	case '"':
		plain, ok = s.string()
	case '{':
		ok = s.object(n)
	case '[':
		ok = s.array(n)
	case 't':
		ok = s.word("true")
	case 'f':
		ok = s.word("false")
	case 'n':
		ok = s.word("null")
	default:
		kind, ok = '0', s.number()
	}
	if ok && n != nil && n.slot >= 0 {
		s.found[n.slot] = Span{from, s.at, kind, plain}
	}
	return ok
}

func (s *jsonScanner) word(w string) bool {
	if len(s.text)-s.at < len(w) || string(s.text[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	return true
}

func (s *jsonScanner) object(n *Tree) bool {
	if s.depth++; s.depth > maxDepth {
		return false
	}
	s.at++
	s.space()
	if s.at < len(s.text) && s.text[s.at] == '}' {
		s.at++
		s.depth--
		return true
	}
	for s.at < len(s.text) && s.text[s.at] == '"' {
		from := s.at
		plain, ok := s.string()
		if !ok {
			return false
		}
		var child *Tree
		if n != nil && len(n.keys) > 0 {
			key := s.text[from+1 : s.at-1]
			if !plain {
				key = unquote(key)
			}
			if child = n.child(key); child != nil {
				child.forget(s.found)
			}
		}
		s.space()
		if s.at == len(s.text) || s.text[s.at] != ':' {
			return false
		}
		s.at++
		s.space()
		if !s.value(child) {
			return false
		}
		s.space()
		if s.at == len(s.text) {
			return false
		}
		switch s.text[s.at] {
		case ',':
			s.at++
			s.space()
		case '}':
			s.at++
			s.depth--
			return true
		default:
			return false
		}
	}
	return false
}

func (s *jsonScanner) array(n *Tree) bool {
	if s.depth++; s.depth > maxDepth {
		return false
	}
	s.at++
	s.space()
	if s.at < len(s.text) && s.text[s.at] == ']' {
		s.at++
		s.depth--
		return true
	}
	for i := 0; ; i++ {
		var element *Tree
		if n != nil {
			element = n.element(i)
		}
		if !s.value(element) {
			return false
		}
		s.space()
		if s.at == len(s.text) {
			return false
		}
		switch s.text[s.at] {
		case ',':
			s.at++
			s.space()
		case ']':
			s.at++
			s.depth--
			return true
		default:
			return false
		}
	}
}

// special are the bytes at which the reading of a string has to stop and look.
var special = func() (t [256]bool) {
	for c := range t {
		t[c] = c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf
	}
	return t
}()

// string reads a string with its quotes. It reports whether it is one and
// whether it stands for itself.
func (s *jsonScanner) string() (plain, ok bool) {
	text, i := s.text, s.at+1
	plain = true
	for {
		for i < len(text) && !special[text[i]] {
			i++
		}
		if i == len(text) {
			return false, false
		}
		switch c := text[i]; {
		case c == '"':
			s.at = i + 1
			return plain, true
		case c < ' ':
			return false, false
		case c == '\\':
			plain = false
			if i+1 == len(text) {
				return false, false
			}
			switch text[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if hex4(text[i+2:]) < 0 {
					return false, false
				}
				i += 6
			default:
				return false, false
			}
		default:
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				plain = false
			}
			i += size
		}
	}
}

func (s *jsonScanner) digits() bool {
	from := s.at
	for s.at < len(s.text) && s.text[s.at]-'0' < 10 {
		s.at++
	}
	return s.at > from
}

func (s *jsonScanner) number() bool {
	if s.text[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.text) && s.text[s.at] == '0' {
		s.at++
	} else if !s.digits() {
		return false
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if !s.digits() {
			return false
		}
	}
	if s.at < len(s.text) && (s.text[s.at] == 'e' || s.text[s.at] == 'E') {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		return s.digits()
	}
	return true
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
	s.space()
	from := s.at
	if !s.value(nil) {
		return nil, errors.New("not JSON")
	}
	to := s.at
	if s.space(); s.at < len(text) {
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
	s := jsonScanner{text: d.text, at: d.at}
	s.number()
	number := d.text[d.at:s.at]
	d.at = s.at
	return jsonNumber(string(number))
}

func (d *jsonDecoder) string() string {
	s := jsonScanner{text: d.text, at: d.at}
	plain, _ := s.string()
	raw := d.text[d.at+1 : s.at-1]
	d.at = s.at
	if plain {
		return string(raw)
	}
	return string(unquote(raw))
}
