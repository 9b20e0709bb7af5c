package condition

import (
	"strings"
	"unicode/utf8"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/search"
)

// field is a field that an expression names by a constant path.
type field struct {
	slot int
	path []fields.Step
}

func (o field) Read(l *Line) Value {
	f := l.Span(o.slot)
	switch {
	case f.Missing():
		return Value{}
	case f.Plain:
		return Value{isString, f.Text(l.Text)}
	case f.Kind == '0':
		return Value{isNumber, l.Text[f.From:f.To]}
	case f.Kind == 't':
		return Value{kind: isTrue}
	case f.Kind == 'f':
		return Value{kind: isFalse}
	case f.Kind == '"' || f.Kind == 'v':
		return unknownValue
	}
	return Value{kind: isOther}
}

func (o field) total(Format) bool    { return true }
func (o field) isText(f Format) bool { return f.name != "json" }

// commonName is what the name of a field is worth against another text: it is in
// most lines.
const commonName = 0.3

func (o field) present(f Format) *search.Clause {
	var c *search.Clause
	switch f.name {
	case "text":
		return never
	case "regexp":
		return f.pattern
	case "json":
		for _, s := range o.path {
			if s.Index < 0 {
				c = search.Both(c, jsonName(s.Key))
			}
		}
	case "logfmt":
		if len(o.path) > 1 {
			return never
		}
		c = search.Require(o.path[0].Key)
	}
	if c == nil {
		return nil
	}
	return &search.Clause{Literals: c.Literals, Names: c.Names, Escaped: c.Escaped, Weight: c.Weight * commonName}
}

func (o field) holds(f Format, text string, whole bool) *search.Clause {
	return search.Both(o.present(f), o.part(f, text, whole))
}

// part returns what a line must contain for the field to contain a text. In JSON
// the field may be no string, and a search in it fails.
func (o field) part(f Format, text string, whole bool) *search.Clause {
	switch {
	case f.name == "logfmt":
		return quotable(text)
	case f.name == "regexp":
		return search.Require(text)
	case f.name == "json" && whole:
		return jsonText(text)
	case f.name == "json":
		name := o.path[len(o.path)-1].Key
		if pieces := verbatim(name); len(pieces) != 1 || pieces[0] != name {
			return nil
		}
		c := quotable(text)
		if c != nil {
			c.Guards = []string{`"` + name + `"`}
		}
		return c
	}
	return nil
}

// mark shows the field's value.
func (o field) mark(h *highlighter) {
	if from, to, ok := h.place(o); ok {
		h.add(from, to)
	}
}

// jsonText returns what a JSON text must contain to hold a string. It is the string
// as a whole word. If some of its characters may be written in another way, it is the
// best part between them. Any other character may still be written as \u and four
// digits.
func jsonText(s string) *search.Clause {
	if s == "" {
		return search.Require(`""`)
	}
	if !AsIs(s) {
		return quotable(s)
	}
	return &search.Clause{Words: []string{s}, Escaped: true, Weight: search.Rarity(`"` + s + `"`)}
}

// jsonName returns what a JSON text must contain to hold a name.
func jsonName(s string) *search.Clause {
	if s == "" || !AsIs(s) {
		return jsonText(s)
	}
	return &search.Clause{Names: []string{s}, Escaped: true, Weight: search.Rarity(`"` + s + `"`)}
}

// quotable returns what a line must contain for a text to be part of a value
// that may be written with escapes.
func quotable(s string) *search.Clause {
	c := search.Require(bestPiece(verbatim(s)))
	if c != nil {
		c.Escaped = true
	}
	return c
}

// verbatim cuts a text at the characters that a quoted string may write in more
// than one way, beside \u, or that replace bytes which are not UTF-8.
func verbatim(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool {
		return r < ' ' || r == '"' || r == '\\' || r == '/' || r == utf8.RuneError
	})
}

func bestPiece(pieces []string) string {
	best := ""
	for _, p := range pieces {
		if best == "" || search.Rarity(p) > search.Rarity(best) {
			best = p
		}
	}
	return best
}
