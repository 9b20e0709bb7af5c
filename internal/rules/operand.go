package rules

import (
	"strconv"
	"strings"

	"github.com/meterlog/meterlog/internal/search"
)

// operand is a value that a condition looks at.
type operand interface {
	// read returns the value on the matcher's line.
	read(m *Matcher) value
	// total reports whether it has a value on every line, so it cannot fail.
	total(f format) bool
	// isText reports whether it is a string or nil on every line.
	isText(f format) bool
	// present returns what a line must contain for it not to be nil.
	present(f format) *search.Clause
	// holds returns what a line must contain for it to contain a text, or to be
	// the text, or for a search in it to fail.
	holds(f format, text string, whole bool) *search.Clause
	marker
}

// value is what an operand has on a line.
type value struct {
	kind kind
	text []byte // of a string, or of a number as it is written
}

type kind byte

const (
	isNil kind = iota
	isString
	isNumber
	isTrue
	isFalse
	isOther   // a list or a map
	isUnknown // only expr's virtual machine can tell
)

var unknownValue = value{kind: isUnknown}

// whole returns the whole number that the value's text is, if it has at most 18
// digits.
func (v value) whole() (int, bool) {
	digits := v.text
	negative := len(digits) > 0 && digits[0] == '-'
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

// wholeLine is `line`.
type wholeLine struct{}

func (wholeLine) read(m *Matcher) value                              { return value{isString, m.line.text} }
func (wholeLine) total(format) bool                                  { return true }
func (wholeLine) isText(format) bool                                 { return true }
func (wholeLine) present(format) *search.Clause                      { return nil }
func (wholeLine) holds(_ format, text string, _ bool) *search.Clause { return search.Require(text) }
func (wholeLine) mark(*highlighter)                                  {}

// name is `file` or `source`.
type name struct{}

func (name) read(*Matcher) value                       { return unknownValue }
func (name) total(format) bool                         { return true }
func (name) isText(format) bool                        { return true }
func (name) present(format) *search.Clause             { return nil }
func (name) holds(format, string, bool) *search.Clause { return nil }
func (name) mark(*highlighter)                         {}

// constant is a value that an expression names itself.
type constant struct{ value any }

func (o constant) read(*Matcher) value {
	switch v := o.value.(type) {
	case nil:
		return value{}
	case string:
		return value{isString, []byte(v)}
	case int:
		return value{isNumber, strconv.AppendInt(nil, int64(v), 10)}
	case bool:
		if v {
			return value{kind: isTrue}
		}
		return value{kind: isFalse}
	}
	return unknownValue
}

func (o constant) total(format) bool { return true }

func (o constant) isText(format) bool {
	_, isString := o.value.(string)
	return isString
}

func (o constant) present(format) *search.Clause { return nil }

func (o constant) holds(_ format, text string, whole bool) *search.Clause {
	if s, isString := o.value.(string); isString && !strings.Contains(s, text) {
		return never
	}
	return nil
}

func (o constant) mark(*highlighter) {}

// number is int or float of an operand.
type number struct {
	of    operand
	whole bool // int
}

func (o number) read(m *Matcher) value {
	v := o.of.read(m)
	switch v.kind {
	case isNil:
		return v
	case isString, isNumber:
		if _, ok := v.whole(); ok && o.whole {
			return value{isNumber, v.text}
		}
	}
	return unknownValue
}

func (o number) total(format) bool                         { return false }
func (o number) isText(format) bool                        { return false }
func (o number) present(f format) *search.Clause           { return o.of.present(f) }
func (o number) holds(format, string, bool) *search.Clause { return nil }
func (o number) mark(h *highlighter)                       { o.of.mark(h) }

// cased is lower(line) or upper(line), by its name.
type cased string

func (o cased) read(*Matcher) value           { return unknownValue }
func (o cased) total(format) bool             { return true }
func (o cased) isText(format) bool            { return true }
func (o cased) present(format) *search.Clause { return nil }
func (o cased) mark(*highlighter)             {}

func (o cased) holds(_ format, text string, _ bool) *search.Clause {
	return caseless(text, thirdForms[string(o)], search.Require)
}

// orElse is `a ?? b`.
type orElse struct{ first, second operand }

func (o orElse) read(m *Matcher) value {
	if v := o.first.read(m); v.kind != isNil {
		return v
	}
	return o.second.read(m)
}

func (o orElse) total(f format) bool           { return o.first.total(f) && o.second.total(f) }
func (o orElse) isText(f format) bool          { return o.first.isText(f) && o.second.isText(f) }
func (o orElse) present(format) *search.Clause { return nil }

func (o orElse) holds(f format, text string, whole bool) *search.Clause {
	return search.Either(o.first.holds(f, text, whole), o.second.holds(f, text, whole))
}

func (o orElse) mark(h *highlighter) { h.all(o.first, o.second) }

// other is any other expression, with its parts.
type other []marker

func (o other) read(*Matcher) value                       { return unknownValue }
func (o other) total(format) bool                         { return false }
func (o other) isText(format) bool                        { return false }
func (o other) present(format) *search.Clause             { return nil }
func (o other) holds(format, string, bool) *search.Clause { return nil }
func (o other) mark(h *highlighter)                       { h.all(o...) }
