package rules_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// These tests hold meterlog against docs/rules.md. They make random expressions,
// and each comes with its meaning: a plain function of a line, written here by
// the words of that page alone. It shares no code with the rules.

var meaningRules = flag.Int("meaning", 400, "how many random rules are compared with their meaning")

// term is an expression with its meaning.
type term struct {
	text string
	of   func(s *sample) any // panics with failure if the line is an error
}

// failure is why an expression is an error on a line.
type failure string

// sample is a line as an expression sees it.
type sample struct {
	line         string
	fields       map[string]any
	file, source string
	element      any // of the loop that the expression is in
}

// A value is nil, a bool, an int64, a float64, a string, a []any, a
// map[string]any, or a json.Number: a number as the line has it.

// settle returns a number of a line as expressions calculate with it.
func settle(v any) any {
	n, isNumber := v.(json.Number)
	if !isNumber {
		return v
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i
	}
	f, _ := strconv.ParseFloat(string(n), 64) // infinite if it is too large
	return f
}

func (t term) value(s *sample) any { return settle(t.of(s)) }

// truth returns what the term is as a condition.
func (t term) truth(s *sample) bool {
	switch v := t.value(s).(type) {
	case nil:
		return false
	case bool:
		return v
	}
	panic(failure("not true or false"))
}

// string returns the term's text. ok is false for nil.
func (t term) string(s *sample) (text string, ok bool) {
	switch v := t.value(s).(type) {
	case nil:
		return "", false
	case string:
		return v, true
	}
	panic(failure("not a text"))
}

// list returns the term's list for a function that goes through it.
func (t term) list(s *sample) []any {
	list, ok := t.value(s).([]any)
	if !ok {
		panic(failure("not a list"))
	}
	return list
}

// number reports whether a value is a number.
func number(v any) bool {
	switch v.(type) {
	case int64, float64:
		return true
	}
	return false
}

func same(a, b any) bool {
	a, b = settle(a), settle(b)
	if number(a) && number(b) {
		c, ok := order(a, b)
		return ok && c == 0
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, v := range a {
			if w, there := b[key]; !there || !same(v, w) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	return a == b
}

// order compares two values. ok is false if one of them is nil or not a number.
func order(a, b any) (c int, ok bool) {
	if a == nil || b == nil {
		return 0, false
	}
	s, isText := a.(string)
	t, isText2 := b.(string)
	if isText && isText2 {
		return strings.Compare(s, t), true
	}
	if !number(a) || !number(b) {
		panic(failure("no order"))
	}
	i, whole := a.(int64)
	j, whole2 := b.(int64)
	if whole && whole2 {
		return cmp.Compare(i, j), true
	}
	f, g := float(a), float(b)
	return cmp.Compare(f, g), f == f && g == g
}

func float(v any) float64 {
	if i, isWhole := v.(int64); isWhole {
		return float64(i)
	}
	return v.(float64)
}

const exactWhole = 1 << 53 // a larger whole number may be rounded as a floating one

// fraction returns a number as a floating one.
func fraction(v any) float64 {
	switch v := v.(type) {
	case int64:
		if v > exactWhole || v < -exactWhole {
			panic(failure("rounded"))
		}
		return float64(v)
	case float64:
		return v
	}
	panic(failure("no number"))
}

// calculate returns what an operator comes to on two numbers.
func calculate(operator string, a, b any) any {
	i, whole := a.(int64)
	j, whole2 := b.(int64)
	if whole && whole2 && operator != "/" && operator != "**" {
		x, y := big.NewInt(i), big.NewInt(j)
		switch operator {
		case "+":
			x.Add(x, y)
		case "-":
			x.Sub(x, y)
		case "*":
			x.Mul(x, y)
		}
		if !x.IsInt64() {
			panic(failure("overflow"))
		}
		return x.Int64()
	}
	f, g := fraction(a), fraction(b)
	switch operator {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	case "**":
		return math.Pow(f, g)
	}
	return f / g
}

// writer makes terms.
type writer struct {
	chance
	format   string
	quantity bool // + joins no texts
	inLoop   bool // # is the element of a list
}

func (w *writer) one(list ...func() term) term { return list[w.IntN(len(list))]() }

func constantOf(text string, v any) term {
	return term{text, func(*sample) any { return v }}
}

func (w *writer) literal() term {
	text := w.word()
	return constantOf(quoteWord(text), text)
}

func (w *writer) numeral() term {
	n := [...]int64{0, 1, 2, 3, 500, -1, 1 << 53, 1<<53 + 1, 1<<53 - 1, math.MaxInt64, math.MinInt64 + 1, 1 << 62}[w.IntN(12)]
	if w.IntN(4) == 0 {
		f := [...]float64{1.5, 0.25, 200, 1e3, 9007199254740992}[w.IntN(5)]
		return constantOf("("+strconv.FormatFloat(f, 'f', 2, 64)+")", f)
	}
	return constantOf(fmt.Sprintf("(%d)", n), n)
}

// step is a name or an index that leads into a value.
type step struct {
	text string
	key  string
	at   int // with key: ""
}

// field is one of the line's fields, or what is within.
func (w *writer) field() term {
	names := []step{{text: "event", key: "event"}, {text: "n", key: "n"}, {text: "n", key: "n"}, {text: "user", key: "user"}, {text: "list", key: "list"}, {text: "list", key: "list"}, {text: "ok", key: "ok"}, {text: "missing", key: "missing"}}
	if w.format == "regexp" {
		names = []step{{text: "event", key: "event"}, {text: "n", key: "n"}, {text: "user", key: "user"}}
	}
	first := names[w.IntN(len(names))]
	text, path := "fields."+first.text, []step{first}
	switch w.IntN(12) {
	case 0:
		text = fmt.Sprintf("fields[%q]", first.key)
	case 1:
		text = fmt.Sprintf("fields[lower(%q)]", strings.ToUpper(first.key))
	case 2:
		text = "fields?." + first.text
	}
	for w.format == "json" && w.IntN(2) == 0 {
		switch w.IntN(4) {
		case 0:
			i := w.IntN(3)
			text, path = fmt.Sprintf("%s[%d]", text, i), append(path, step{at: i})
		case 1:
			text, path = text+"?.plan", append(path, step{key: "plan"})
		case 2:
			text, path = text+".n", append(path, step{key: "n"})
		case 3:
			text, path = text+`["plan"]`, append(path, step{key: "plan"})
		}
	}
	of := func(s *sample) any { return walk(s.fields, path) }
	if strings.Contains(text, "lower(") { // what an expression looks up is no longer as the line has it
		return term{text, func(s *sample) any { return settle(of(s)) }}
	}
	return term{text, of}
}

func walk(v any, path []step) any {
	for _, p := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[p.key]
			if p.key == "" {
				v = nil
			}
		case []any:
			v = nil
			if p.key == "" && p.at < len(in) {
				v = in[p.at]
			}
		default:
			return nil
		}
	}
	return v
}

// element is the element of the loop, or what is within.
func (w *writer) element() term {
	if w.IntN(2) == 0 {
		return term{"#", func(s *sample) any { return s.element }}
	}
	return term{w.of("#.n", ".n", "#?.n"), func(s *sample) any { return walk(s.element, []step{{key: "n"}}) }}
}

// anything is a value of any kind.
func (w *writer) anything() term {
	if w.inLoop && w.IntN(2) == 0 {
		return w.element()
	}
	return w.one(w.field, w.field, w.line, w.literal, w.numeral, w.nothing, w.extracted)
}

func (w *writer) nothing() term { return constantOf("nil", nil) }

func (w *writer) line() term {
	return w.one(
		func() term { return term{"line", func(s *sample) any { return s.line }} },
		func() term { return term{"line", func(s *sample) any { return s.line }} },
		func() term { return term{"file", func(s *sample) any { return s.file }} },
		func() term { return term{"source", func(s *sample) any { return s.source }} },
	)
}

// textual is a text, or a field that should be one.
func (w *writer) textual() term {
	if w.inLoop && w.IntN(2) == 0 {
		return w.element()
	}
	switch w.IntN(10) {
	case 0:
		return w.extracted()
	case 1:
		return w.cased()
	case 2:
		return w.orElse(w.field(), w.literal())
	case 3, 4, 5:
		return w.field()
	case 6:
		return w.choice(w.textual, w.literal)
	case 7:
		return w.sum("+", w.field(), constantOf(`"/"`, "/"))
	}
	return w.line()
}

func (w *writer) extracted() term {
	text, pattern := w.one(w.line, w.line, w.field), w.group()
	re := regexp.MustCompile(strings.Trim(pattern, "`"))
	return term{"extract(" + text.text + ", " + pattern + ")", func(s *sample) any {
		t, ok := text.string(s)
		if groups := re.FindStringSubmatch(t); ok && groups != nil {
			return groups[1]
		}
		return ""
	}}
}

func (w *writer) cased() term {
	function, of := "lower", strings.ToLower
	if w.IntN(2) == 0 {
		function, of = "upper", strings.ToUpper
	}
	text := w.one(w.line, w.field, w.extracted)
	return term{function + "(" + text.text + ")", func(s *sample) any {
		t, ok := text.string(s)
		if !ok {
			panic(failure("nil has no letters"))
		}
		return of(t)
	}}
}

func (w *writer) orElse(first, second term) term {
	return term{"(" + first.text + " ?? " + second.text + ")", func(s *sample) any {
		if v := first.of(s); v != nil {
			return v
		}
		return second.of(s)
	}}
}

func (w *writer) choice(parts ...func() term) term {
	when, then, other := w.condition(0), w.one(parts...), w.one(parts...)
	return term{"(" + when.text + " ? " + then.text + " : " + other.text + ")", func(s *sample) any {
		if when.truth(s) {
			return then.value(s)
		}
		return other.value(s)
	}}
}

// number is a number, or a field that should be one.
func (w *writer) number(depth int) term {
	if depth > 0 {
		switch w.IntN(6) {
		case 0, 1:
			return w.sum(w.of("+", "-", "*", "/", "**"), w.number(depth-1), w.number(depth-1))
		case 2:
			of := w.number(depth - 1)
			return term{"(-" + of.text + ")", func(s *sample) any { return calculate("*", int64(-1), of.value(s)) }}
		case 3:
			return w.rounded(w.number(depth - 1))
		case 4:
			return w.choice(func() term { return w.number(depth - 1) }, w.numeral)
		}
	}
	return w.one(w.measured, w.numeral, w.converted, w.converted, func() term { return w.orElse(w.converted(), w.numeral()) })
}

// measured is a number that is no text in any format.
func (w *writer) measured() term {
	switch {
	case w.inLoop && w.IntN(2) == 0:
		return w.element()
	case w.format == "json" && w.IntN(3) > 0:
		return w.field()
	case w.IntN(2) == 0:
		return w.items()
	}
	return w.length()
}

func (w *writer) items() term {
	of := w.one(w.field, w.line, w.field)
	return term{"items(" + of.text + ")", func(s *sample) any {
		switch v := of.value(s).(type) {
		case nil:
			return int64(0)
		case []any:
			return int64(len(v))
		}
		return int64(1)
	}}
}

func (w *writer) length() term {
	of := w.one(w.field, w.line, w.extracted)
	return term{"len(" + of.text + ")", func(s *sample) any {
		switch v := of.value(s).(type) {
		case string:
			return int64(len([]rune(v)))
		case []any:
			return int64(len(v))
		case map[string]any:
			return int64(len(v))
		}
		panic(failure("no length"))
	}}
}

func (w *writer) sum(operator string, a, b term) term {
	joins := operator == "+" && (!w.quantity || b.text == `"/"`)
	return term{"(" + a.text + " " + operator + " " + b.text + ")", func(s *sample) any {
		x, y := a.value(s), b.value(s)
		t, isText := x.(string)
		u, isText2 := y.(string)
		if joins && isText && isText2 {
			return t + u
		}
		return calculate(operator, x, y)
	}}
}

func (w *writer) rounded(of term) term {
	function := w.of("abs", "floor", "ceil", "round", "float")
	return term{function + "(" + of.text + ")", func(s *sample) any {
		v := of.value(s)
		if function == "float" {
			return floating(v)
		}
		if i, isWhole := v.(int64); isWhole && function == "abs" {
			if i < 0 {
				return calculate("-", int64(0), i)
			}
			return i
		}
		return map[string]func(float64) float64{"abs": math.Abs, "floor": math.Floor, "ceil": math.Ceil, "round": math.Round}[function](fraction(v))
	}}
}

// floating is float(x).
func floating(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		if v == "-" {
			return 0.0
		}
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			panic(failure("no number"))
		}
		return f
	}
	return fraction(v)
}

// converted is int or float of something.
func (w *writer) converted() term {
	of := w.one(w.field, w.field, w.extracted)
	if w.IntN(4) == 0 {
		return term{"float(" + of.text + ")", func(s *sample) any { return floating(of.value(s)) }}
	}
	return term{"int(" + of.text + ")", func(s *sample) any { return whole(of.value(s)) }}
}

// whole is int(x).
func whole(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case int64:
		return v
	case float64:
		if v >= -1<<63 && v < 1<<63 {
			return int64(v)
		}
	case string:
		if v == "-" {
			return int64(0)
		}
		if i, err := strconv.ParseInt(v, 10, 64); err == nil {
			return i
		}
	}
	panic(failure("no whole number"))
}

// named returns a maker of a field by its name.
func (w *writer) named(name string) func() term {
	return func() term {
		return term{"fields." + name, func(s *sample) any { return walk(s.fields, []step{{key: name}}) }}
	}
}

// list is a list, or a field that should be one.
func (w *writer) list() term {
	switch w.IntN(6) {
	case 0:
		a, b := w.anything(), w.anything()
		return term{"[" + a.text + ", " + b.text + "]", func(s *sample) any { return []any{a.value(s), b.value(s)} }}
	case 1:
		return w.orElse(w.field(), constantOf("[]", []any{}))
	case 2:
		return w.orElse(w.field(), constantOf(`[500, "sent", nil]`, []any{int64(500), "sent", nil}))
	}
	return w.field()
}

// each is a list with a term that is evaluated on each of its elements.
func (w *writer) each(make func() term) (list, of term) {
	list = w.list()
	w.inLoop = true
	of = make()
	w.inLoop = false
	return list, of
}

func (s *sample) at(element any) *sample {
	inner := *s
	inner.element = element
	return &inner
}

// loop is a condition on a list.
func (w *writer) loop() term {
	list, of := w.each(func() term { return w.condition(0) })
	function := w.of("any", "all", "none", "one")
	return term{function + "(" + list.text + ", " + of.text + ")", func(s *sample) any {
		found := 0
		all := list.list(s)
		for _, v := range all {
			if of.truth(s.at(v)) {
				found++
				if function == "any" {
					return true
				} else if function == "none" {
					return false
				}
			} else if function == "all" {
				return false
			}
		}
		return map[string]bool{"any": false, "all": true, "none": true, "one": found == 1}[function]
	}}
}

// total is a number of a list.
func (w *writer) total() term {
	switch w.IntN(3) {
	case 0:
		list, of := w.each(func() term { return w.condition(0) })
		return term{"count(" + list.text + ", " + of.text + ")", func(s *sample) any {
			n := int64(0)
			for _, v := range list.list(s) {
				if of.truth(s.at(v)) {
					n++
				}
			}
			return n
		}}
	case 1:
		list := w.list()
		return term{"sum(" + list.text + ")", func(s *sample) any {
			n := any(int64(0))
			for _, v := range list.list(s) {
				n = calculate("+", n, settle(v))
			}
			return n
		}}
	}
	list, of := w.each(func() term { return w.number(1) })
	return term{"sum(" + list.text + ", " + of.text + ")", func(s *sample) any {
		n := any(int64(0))
		for _, v := range list.list(s) {
			n = calculate("+", n, of.value(s.at(v)))
		}
		return n
	}}
}

// condition is true or false.
func (w *writer) condition(depth int) term {
	if depth > 0 {
		a := w.condition(depth - 1)
		if w.IntN(4) == 0 {
			return term{w.of("not ", "!") + "(" + a.text + ")", func(s *sample) any { return !a.truth(s) }}
		}
		b := w.condition(depth - 1)
		switch w.IntN(7) {
		case 0, 1, 2:
			return term{"(" + a.text + w.of(" and ", " && ") + b.text + ")", func(s *sample) any { return a.truth(s) && b.truth(s) }}
		case 3, 4:
			return term{"(" + a.text + w.of(" or ", " || ") + b.text + ")", func(s *sample) any { return a.truth(s) || b.truth(s) }}
		case 5:
			return w.choice(func() term { return a }, func() term { return b })
		}
		return a
	}
	for {
		t := w.one(w.searched, w.searched, w.searched, w.matched, w.compared, w.compared, w.ordered, w.ordered, w.listed, w.listed, w.rare)
		if looks.MatchString(t.text) { // one that is always true or false can spare another its evaluation
			return t
		}
	}
}

var looks = regexp.MustCompile(`fields|line|file|source|#|\.n`)

// rare is a condition of a rarer kind.
func (w *writer) rare() term {
	if w.inLoop {
		return w.element()
	}
	switch w.IntN(6) {
	case 0:
		return w.field()
	case 1:
		return constantOf("(line == line)", true)
	case 2:
		key := w.of("event", "n", "", "missing")
		return term{fmt.Sprintf("%q in fields", key), func(s *sample) any { _, there := s.fields[key]; return there }}
	}
	return w.loop()
}

func (w *writer) searched() term {
	operator := w.of("contains", "startsWith", "endsWith")
	text, part := w.textual(), w.literal()
	if w.IntN(6) == 0 {
		part = w.textual()
	}
	find := map[string]func(a, b string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix}[operator]
	return term{"(" + text.text + " " + operator + " " + part.text + ")", func(s *sample) any {
		a, b := text.value(s), part.value(s)
		if a == nil || b == nil {
			return false
		}
		t, isText := a.(string)
		u, isText2 := b.(string)
		if !isText || !isText2 {
			panic(failure("not a text"))
		}
		return find(t, u)
	}}
}

func (w *writer) matched() term {
	text, pattern := w.textual(), w.pattern()
	if w.IntN(2) == 0 {
		pattern = "`" + w.of(`(?i)SENT$`, `(?s)^.*$`, `(?m)^sent`, `(?U)s.*t`, `(?i:E)VENT`, `^$`, `^[^ ]+ `, `[[:upper:]]`, `\pL\d`, `(?i)[k-s]+in`, `"n":\s*-?\d+[,}]`, `\x00`, `^\S+ (\d+)(?: |$)`,
			`(?i)(sent|export)\b`, `[^\x00-\x7f]`, `s.nt`, `(|a)sent`, `(?:email )?sent`, `\Asent\z`, `a*b*$`) + "`"
	}
	re := regexp.MustCompile(strings.Trim(pattern, "`"))
	return term{"(" + text.text + " matches " + pattern + ")", func(s *sample) any {
		t, ok := text.string(s)
		return ok && re.MatchString(t)
	}}
}

func (w *writer) compared() term {
	a, b := w.anything(), w.anything()
	if w.IntN(3) == 0 {
		a, b = w.number(1), w.number(1)
	}
	not := w.IntN(3) == 0
	operator := "=="
	if not {
		operator = "!="
	}
	return term{"(" + a.text + " " + operator + " " + b.text + ")", func(s *sample) any { return same(a.value(s), b.value(s)) != not }}
}

func (w *writer) ordered() term {
	operator := w.of("<", "<=", ">", ">=")
	a, b := w.number(w.IntN(2)), w.number(w.IntN(2))
	switch w.IntN(6) {
	case 0:
		a, b = w.textual(), w.textual()
	case 1, 2: // a bound that lines often have
		n := [...]int64{0, 1, 500, -1, 9007199254740993}[w.IntN(5)]
		a, b = w.one(w.named("n"), w.named("n"), w.converted), constantOf(strconv.FormatInt(n, 10), n)
		if w.format != "json" {
			of := a
			a = term{"int(" + of.text + ")", func(s *sample) any { return whole(of.value(s)) }}
		}
	}
	return term{"(" + a.text + " " + operator + " " + b.text + ")", func(s *sample) any {
		c, ok := order(a.value(s), b.value(s))
		switch operator {
		case "<":
			return ok && c < 0
		case "<=":
			return ok && c <= 0
		case ">":
			return ok && c > 0
		}
		return ok && c >= 0
	}}
}

func (w *writer) listed() term {
	of, list := w.anything(), w.list()
	if w.IntN(2) == 0 {
		a, b, c := w.literal(), w.one(w.literal, w.literal, w.numeral), w.one(w.literal, w.literal, w.numeral)
		list = term{"[" + a.text + ", " + b.text + ", " + c.text + "]", func(s *sample) any { return []any{a.of(s), b.of(s), c.of(s)} }}
	}
	return term{"(" + of.text + " in " + list.text + ")", func(s *sample) any {
		v := of.value(s)
		switch list := list.value(s).(type) {
		case nil:
			return false
		case []any:
			return slices.ContainsFunc(list, func(e any) bool { return same(e, v) })
		case map[string]any:
			key, isText := v.(string)
			_, there := list[key]
			return isText && there
		}
		panic(failure("not a list"))
	}}
}

// amount is a quantity's expression.
func (w *writer) amount() term {
	w.quantity = true
	defer func() { w.quantity = false }()
	constant := func() term { n := int64(1 + w.IntN(3)); return constantOf(strconv.FormatInt(n, 10), n) }
	return w.one(w.field, w.extracted, w.total, w.total, w.numeral, constant, constant, constant, w.items, w.items, w.length,
		func() term { return w.number(2) }, func() term { return w.number(1) },
		func() term { return w.orElse(w.field(), constant()) })
}

var decimal = regexp.MustCompile(`^(-?)([0-9]+(?:\.[0-9]+)?)$`)

// amountOf returns a quantity in units of the last decimal place.
func amountOf(v any, decimals int) int64 {
	text := ""
	n, asWritten := v.(json.Number)
	if f := settle(v); asWritten && decimals > 0 && order0(f) {
		r, _ := new(big.Rat).SetString(string(n))
		return units(r, decimals)
	}
	switch v := settle(v).(type) {
	case int64:
		text = strconv.FormatInt(v, 10)
	case float64:
		if math.Abs(v) >= exactWhole || v != v {
			panic(failure("rounded"))
		}
		text = strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		text = v
		if v == "-" {
			text = "0"
		}
	}
	if !decimal.MatchString(text) {
		panic(failure("no number"))
	}
	r, _ := new(big.Rat).SetString(text)
	return units(r, decimals)
}

// order0 reports whether a number is not negative, nor beyond all bounds.
func order0(v any) bool { f := float(v); return f >= 0 && !math.IsInf(f, 0) }

func units(r *big.Rat, decimals int) int64 {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
	r = r.Mul(r, new(big.Rat).SetInt(scale))
	if r.Sign() < 0 || !r.IsInt() || !r.Num().IsInt64() {
		panic(failure("no quantity"))
	}
	return r.Num().Int64()
}

// meaning is a rule with what it comes to.
type meaning struct {
	when, quantity term
	decimals       int
	max            int64 // in units of the last decimal place; 0: none
}

func (m meaning) yaml(name string) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	text := fmt.Sprintf("  - {name: %s, sku_id: s, when: %s, quantity: %s", name, quote(m.when.text), quote(m.quantity.text))
	if m.decimals > 0 {
		text += fmt.Sprintf(", decimals: %d", m.decimals)
	}
	if m.max > 0 {
		text += fmt.Sprintf(", max: %d", m.max/int64(math.Pow10(m.decimals)))
	}
	return text + "}\n"
}

// on returns what the rule counts on a line.
func (m meaning) on(s *sample) (amount int64, err error) {
	defer func() {
		if why, failed := recover().(failure); failed {
			amount, err = 0, errors.New(string(why))
		}
	}()
	if !m.when.truth(s) {
		return 0, nil
	}
	if amount = amountOf(m.quantity.of(s), m.decimals); m.max > 0 && amount > m.max {
		panic(failure("over max"))
	}
	return amount, nil
}

// sampleOf reads a line by its format. ok is false if it is not of it.
func sampleOf(format string, pattern *regexp.Regexp, line []byte) (s *sample, ok bool) {
	s = &sample{line: string(line), fields: map[string]any{}, file: "/s", source: "s"}
	switch format {
	case "json":
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		s.fields = nil
		if err := d.Decode(&s.fields); err != nil || s.fields == nil {
			return nil, false
		}
		if _, err := d.Token(); err != io.EOF {
			return nil, false
		}
	case "regexp":
		groups := pattern.FindSubmatchIndex(line)
		if groups == nil {
			return nil, false
		}
		for i, name := range pattern.SubexpNames() {
			if name != "" && groups[2*i] >= 0 {
				s.fields[name] = string(line[groups[2*i]:groups[2*i+1]])
			}
		}
	case "logfmt":
		for _, pair := range pairs.FindAllStringSubmatch(s.line, -1) {
			value := pair[2]
			if strings.HasPrefix(value, `"`) {
				text := strings.TrimSuffix(value, `"`)
				if json.Unmarshal([]byte(text+`"`), &value) != nil {
					value = text[1:]
				}
			}
			if pair[1] != "" {
				s.fields[pair[1]] = value
			}
		}
	}
	return s, true
}

var pairs = regexp.MustCompile(`([^\x00- =]*)(?:=("(?:[^"\\]|\\.)*"?|[^\x00- ]*)|)`)

// outcome is what a rule does on a line.
func outcome(amount int64, err error) string {
	switch {
	case err != nil:
		return "error"
	case amount == 0:
		return ""
	}
	return strconv.FormatInt(amount, 10)
}

// meanings compares some random rules on random lines with their meaning. It
// returns how many rules meterlog took, and how many lines counted and failed.
func meanings(t *testing.T, seed uint64) (taken, counted, failed int) {
	t.Helper()
	c := chance{rand.New(rand.NewPCG(seed, 7))}
	w := &writer{chance: c, format: c.of("text", "json", "json", "json", "logfmt", "regexp")}
	source, pattern := "product_id: p\nsources: [{name: s, path: /s, format: "+w.format, regexp.MustCompile("")
	if w.format == "regexp" {
		text := c.of(`^(?P<event>\S+) (?P<n>\d+)(?: (?P<user>.*))?`, `(?P<event>sent|x)(?P<n>\d*)(?P<user>.)?`, `(?P<user>status)=(?P<event>.*?)(?P<n>\d*)$`)
		source, pattern = source+", pattern: '"+text+"'", regexp.MustCompile(text)
	}
	source += "}]\nrules:\n"
	var all []meaning
	text := source
	for range 8 {
		m := meaning{when: w.condition(w.IntN(4)), quantity: w.amount()}
		switch w.IntN(8) {
		case 0:
			m.decimals = 2
		case 1:
			m.max = 500
		case 2:
			m.decimals, m.max = 1, 5000
		}
		if _, err := config.Parse("rules.yaml", []byte(source+m.yaml("r"))); err != nil {
			continue // such as a text that is compared with a number
		}
		text += m.yaml(fmt.Sprintf("r%d", len(all)))
		all = append(all, m)
	}
	if len(all) == 0 {
		return 0, 0, 0
	}
	parsed := parse(t, text)
	log := bytes.ReplaceAll(c.log(w.format), []byte("12.50"), []byte(c.of("12.50", "0.30000000000000000001", "9007199254740993.0", "1e400")))
	for _, searched := range []bool{true, false} {
		matcher := rules.NewMatcher(&parsed.Set)
		if !searched {
			matcher.SearchNever()
		}
		got := map[string]string{}
		matcher.Each(meter.Block{Generation: 1, Path: "/s", Sources: []string{"s"}, Data: log, Start: 10, ReadAt: readAt}, func(h rules.Hit) {
			got[fmt.Sprintf("%d %s", h.Start-10, h.Rule.Name)] = outcome(h.Quantity, h.Err)
		})
		start := 0
		for line := range bytes.Lines(log) {
			s, ours := sampleOf(w.format, pattern, bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")))
			for i, m := range all {
				want := ""
				if ours {
					want = outcome(m.on(s))
				}
				if got := got[fmt.Sprintf("%d r%d", start, i)]; got != want {
					t.Fatalf("seed %d, searched %v: got %q, want %q\n%s%s%q", seed, searched, got, want, source, m.yaml("r"), line)
				}
				switch want {
				case "":
				case "error":
					failed++
				default:
					counted++
				}
			}
			start += len(line)
		}
	}
	return len(all), counted, failed
}

func TestMeaning(t *testing.T) {
	taken, counted, failed := 0, 0, 0
	for seed := uint64(0); taken < *meaningRules && !t.Failed(); seed++ {
		n, lines, errors := meanings(t, seed)
		taken, counted, failed = taken+n, counted+lines, failed+errors
	}
	if t.Logf("%d rules, %d lines counted, %d errors", taken, counted, failed); counted < taken || failed < taken {
		t.Error("the cases prove little")
	}
}

func FuzzMeaning(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { meanings(t, seed) })
}
