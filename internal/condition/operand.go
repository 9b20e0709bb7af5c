package condition

import (
	"strconv"
	"strings"

	"github.com/meterlog/meterlog/internal/search"
)

// Operand is a value that a condition looks at.
type Operand interface {
	// Read returns the value on the line.
	Read(l *Line) Value
	// total reports whether it has a value on every line, so it cannot fail.
	total(f Format) bool
	// isText reports whether it is a string or nil on every line.
	isText(f Format) bool
	// present returns what a line must contain for it not to be nil.
	present(f Format) *search.Clause
	// holds returns what a line must contain for it to contain a text, or to be
	// the text, or for a search in it to fail.
	holds(f Format, text string, whole bool) *search.Clause
	Marker
}

// Value is what an operand has on a line.
type Value struct {
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

// IsText reports whether the value is a string.
func (v Value) IsText() bool { return v.kind == isString }

// IsNumber reports whether the value is a number.
func (v Value) IsNumber() bool { return v.kind == isNumber }

// Text returns a string, or a number as it is written.
func (v Value) Text() []byte { return v.text }

var unknownValue = Value{kind: isUnknown}

// Whole returns the whole number that the value's text is, if it has at most 18
// digits.
func (v Value) Whole() (int, bool) {
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

func (wholeLine) Read(l *Line) Value                                 { return Value{isString, l.Text} }
func (wholeLine) total(Format) bool                                  { return true }
func (wholeLine) isText(Format) bool                                 { return true }
func (wholeLine) present(Format) *search.Clause                      { return nil }
func (wholeLine) holds(_ Format, text string, _ bool) *search.Clause { return search.Require(text) }
func (wholeLine) mark(*highlighter)                                  {}

// name is `file` or `source`.
type name struct{}

func (name) Read(*Line) Value                          { return unknownValue }
func (name) total(Format) bool                         { return true }
func (name) isText(Format) bool                        { return true }
func (name) present(Format) *search.Clause             { return nil }
func (name) holds(Format, string, bool) *search.Clause { return nil }
func (name) mark(*highlighter)                         {}

// constant is a value that an expression names itself.
type constant struct{ value any }

func (o constant) Read(*Line) Value {
	switch v := o.value.(type) {
	case nil:
		return Value{}
	case string:
		return Value{isString, []byte(v)}
	case int:
		return Value{isNumber, strconv.AppendInt(nil, int64(v), 10)}
	case bool:
		if v {
			return Value{kind: isTrue}
		}
		return Value{kind: isFalse}
	}
	return unknownValue
}

func (o constant) total(Format) bool { return true }

func (o constant) isText(Format) bool {
	_, isString := o.value.(string)
	return isString
}

func (o constant) present(Format) *search.Clause { return nil }

func (o constant) holds(_ Format, text string, whole bool) *search.Clause {
	if s, isString := o.value.(string); isString && !strings.Contains(s, text) {
		return never
	}
	return nil
}

func (o constant) mark(*highlighter) {}

// number is int or float of an operand.
type number struct {
	of    Operand
	whole bool // int
}

func (o number) Read(l *Line) Value {
	v := o.of.Read(l)
	switch v.kind {
	case isNil:
		return v
	case isString, isNumber:
		if _, ok := v.Whole(); ok && o.whole {
			return Value{isNumber, v.text}
		}
	}
	return unknownValue
}

func (o number) total(Format) bool                         { return false }
func (o number) isText(Format) bool                        { return false }
func (o number) present(f Format) *search.Clause           { return o.of.present(f) }
func (o number) holds(Format, string, bool) *search.Clause { return nil }
func (o number) mark(h *highlighter)                       { o.of.mark(h) }

// cased is lower(line) or upper(line), by its name.
type cased string

func (o cased) Read(*Line) Value              { return unknownValue }
func (o cased) total(Format) bool             { return true }
func (o cased) isText(Format) bool            { return true }
func (o cased) present(Format) *search.Clause { return nil }
func (o cased) mark(*highlighter)             {}

func (o cased) holds(_ Format, text string, _ bool) *search.Clause {
	return caseless(text, thirdForms[string(o)], search.Require)
}

// orElse is `a ?? b`.
type orElse struct{ first, second Operand }

func (o orElse) Read(l *Line) Value {
	if v := o.first.Read(l); v.kind != isNil {
		return v
	}
	return o.second.Read(l)
}

func (o orElse) total(f Format) bool           { return o.first.total(f) && o.second.total(f) }
func (o orElse) isText(f Format) bool          { return o.first.isText(f) && o.second.isText(f) }
func (o orElse) present(Format) *search.Clause { return nil }

func (o orElse) holds(f Format, text string, whole bool) *search.Clause {
	return search.Either(o.first.holds(f, text, whole), o.second.holds(f, text, whole))
}

func (o orElse) mark(h *highlighter) { h.all(o.first, o.second) }

// other is any other expression, with its parts.
type other []Marker

func (o other) Read(*Line) Value                          { return unknownValue }
func (o other) total(Format) bool                         { return false }
func (o other) isText(Format) bool                        { return false }
func (o other) present(Format) *search.Clause             { return nil }
func (o other) holds(Format, string, bool) *search.Clause { return nil }
func (o other) mark(h *highlighter)                       { h.all(o...) }
