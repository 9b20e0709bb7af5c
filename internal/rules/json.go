package rules

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// jsonScanner reads one JSON text strictly, as encoding/json would: what that
// refuses, this refuses. While it checks the text it notes where the values
// lie that a pathNode asks for.
type jsonScanner struct {
	text  []byte
	at    int
	depth int
	found []span // by slot
}

// span is a raw value's place in a line; kind 0 where there is none.
type span struct {
	from, to int
	kind     byte // first byte of a JSON value, '0' of any number; 'v' for a value that is no JSON
	plain    bool // a string that stands for itself
}

// pathNode is a point on the way to fields that are asked for.
type pathNode struct {
	slot     int // of the value at this point, or -1
	keys     []string
	children []*pathNode // by keys
	indexes  []int
	elements []*pathNode // by indexes
}

func newPathNode() *pathNode { return &pathNode{slot: -1} }

// add asks for the value at a path.
func (n *pathNode) add(path []step, slot int) {
	if len(path) == 0 {
		n.slot = slot
		return
	}
	var next *pathNode
	if s := path[0]; s.index >= 0 {
		if next = n.element(s.index); next == nil {
			next = newPathNode()
			n.indexes, n.elements = append(n.indexes, s.index), append(n.elements, next)
		}
	} else if next = n.child([]byte(s.key)); next == nil {
		next = newPathNode()
		n.keys, n.children = append(n.keys, s.key), append(n.children, next)
	}
	next.add(path[1:], slot)
}

func (n *pathNode) child(key []byte) *pathNode {
	for i, k := range n.keys {
		if k == string(key) {
			return n.children[i]
		}
	}
	return nil
}

func (n *pathNode) element(index int) *pathNode {
	for i, x := range n.indexes {
		if x == index {
			return n.elements[i]
		}
	}
	return nil
}

// forget drops what was found below n: its key came again.
func (n *pathNode) forget(found []span) {
	if n.slot >= 0 {
		found[n.slot] = span{}
	}
	for _, c := range n.children {
		c.forget(found)
	}
	for _, c := range n.elements {
		c.forget(found)
	}
}

// maxDepth is how deep encoding/json lets values nest.
const maxDepth = 10000

// fields notes in found where the values lie that root asks for. It reports
// whether the text is a JSON object and nothing else; where not, nothing that
// it noted counts.
func (s *jsonScanner) fields(text []byte, root *pathNode, found []span) bool {
	s.text, s.at, s.depth, s.found = text, 0, 0, found
	s.space()
	if s.at == len(text) || text[s.at] != '{' || !s.object(root) {
		return false
	}
	s.space()
	return s.at == len(text)
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
func (s *jsonScanner) value(n *pathNode) bool {
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
		s.found[n.slot] = span{from, s.at, kind, plain}
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

func (s *jsonScanner) object(n *pathNode) bool {
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
		var child *pathNode
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

func (s *jsonScanner) array(n *pathNode) bool {
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
		var element *pathNode
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

// view is a string that shares the memory of b: it is valid as long as b's
// bytes stay as they are.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// decodeSpan is the value at a span of a line. A string may share the line's
// memory, which is used again with the next block.
func decodeSpan(line []byte, v span) any {
	raw := line[v.from:v.to]
	switch v.kind {
	case 'v':
		if v.plain {
			return view(raw)
		}
		return string(unescape(nil, raw))
	case '"':
		if v.plain {
			return view(raw[1 : len(raw)-1])
		}
		return string(unquote(raw[1 : len(raw)-1]))
	case 't':
		return true
	case 'f':
		return false
	case 'n':
		return nil
	case '0':
		return jsonNumber(view(raw))
	}
	d := jsonDecoder{text: raw}
	return d.value()
}

// jsonNumber is an int where the number is written as one and fits, else a
// float64, infinite where it is beyond all.
func jsonNumber(text string) any {
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return int(i)
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

// decodeJSON reads a JSON text as expressions see it: whole numbers that fit
// are int, others float64; of keys that come twice the last stays.
func decodeJSON(text []byte) (any, error) {
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
