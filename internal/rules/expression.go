package rules

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/remedy"
)

// Expression is a compiled expression. It is immutable.
type Expression struct {
	text       string
	program    *vm.Program
	root       ast.Node  // the source of the program
	slots      []int     // the fields that it names, by their index in the slot table
	wholeField bool      // it also uses `fields` other than by constant names, so it needs the whole map
	wholeAt    int       // character offset of the first such use
	slotAt     []int     // character offset of the first use of each of slots
	line       bool      // it uses `line`
	source     bool      // it uses `source`
	condition  condition // of a `when`
	value      operand   // of a quantity
	numbers    []numberUse
	patterns   []*fields.Pattern // constant ones
	file       bool              // it uses `file`

	entry    bool             // it uses `entry`
	table    *slotTable       // of slots
	warnings []remedy.Mistake // what is allowed and is likely a mistake
}

// slotTable gives each field path that expressions name a variable of the
// environment, so that a line's other fields need never be looked at.
type slotTable struct {
	paths [][]fields.Step
	index map[string]int // by variable

	entryFields []string // of journal entries, that expressions name by constants
	entryAll    bool     // expressions may use any field of entries
}

// variable returns a slot's name in the environment. It is short, so that it is found
// fast, and differs from every identifier.
func variable(slot int) string { return strconv.Itoa(slot) }

// slot is the index of a path, which it enters where it is new.
func (t *slotTable) slot(path []fields.Step) int {
	for i, p := range t.paths {
		if slices.Equal(p, path) {
			return i
		}
	}
	if t.index == nil {
		t.index = map[string]int{}
	}
	slot := len(t.paths)
	t.index[variable(slot)] = slot
	t.paths = append(t.paths, slices.Clone(path))
	return slot
}

// Condition compiles a condition for a rule of the set.
func (s *Set) Condition(text string) (*Expression, *remedy.Mistake) { return s.slots.compileWhen(text) }

// Quantity compiles a quantity for a rule of the set.
func (s *Set) Quantity(text string) (*Expression, *remedy.Mistake) {
	return s.slots.compileQuantity(text)
}

// Value compiles an expression of a text, number or boolean for a rule of the set.
func (s *Set) Value(text string) (*Expression, *remedy.Mistake) {
	e, problem := s.slots.compile(text, expr.AsAny(), false)
	if problem != nil {
		return nil, problem
	}
	tree := translator{slots: &s.slots}
	e.value = tree.operand(e.root)
	e.patterns = append(e.patterns, tree.patterns...)
	switch typ := e.root.Type(); typ.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return nil, &remedy.Mistake{Message: fmt.Sprintf("a value to look up must be a text, a number or a boolean, and this is %s", typeName(typ))}
	}
	return e, nil
}

// compileWhen compiles a condition.
func (t *slotTable) compileWhen(text string) (*Expression, *remedy.Mistake) {
	e, problem := t.compile(text, expr.AsBool(), false)
	if problem == nil {
		tree := translator{slots: t}
		e.condition = tree.condition(e.root)
		e.patterns = append(e.patterns, tree.patterns...)
	}
	return e, problem
}

// compileQuantity compiles a quantity.
func (t *slotTable) compileQuantity(text string) (*Expression, *remedy.Mistake) {
	e, problem := t.compile(text, expr.AsAny(), true)
	if problem != nil {
		return nil, problem
	}
	tree := translator{slots: t}
	e.value = tree.operand(e.root)
	e.patterns = append(e.patterns, tree.patterns...)
	if at := joined(e.root, map[string]ast.Node{}); at != nil {
		return nil, &remedy.Mistake{Offset: at.Location().From, Message: "+ would join two strings, and a quantity is a number", Hint: "convert them with int()"}
	}
	switch typ := e.root.Type(); typ.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64, reflect.String, reflect.Interface:
	default:
		hint := ""
		if typ.Kind() == reflect.Bool {
			hint = "a condition stands under when; a choice is written in quotes: 'condition ? 1 : 2'"
		}
		return nil, &remedy.Mistake{Message: fmt.Sprintf("a quantity must be a whole number, and this is %s", typeName(typ)), Hint: hint}
	}
	return e, nil
}

// joined returns the part of a patched tree that joins two strings to the tree's
// value, or nil. The values of variables are in lets.
func joined(node ast.Node, lets map[string]ast.Node) ast.Node {
	var parts []ast.Node // that the value may be
	switch n := node.(type) {
	case *ast.CallNode:
		switch calleeOf(n) {
		case "__add": // of strings: numbers are added by another
			return n
		case "__any", "__int", "__float":
			parts = n.Arguments[:1]
		}
	case *ast.ConditionalNode:
		parts = []ast.Node{n.Exp1, n.Exp2}
	case *ast.BinaryNode:
		if n.Operator == "??" {
			parts = []ast.Node{n.Left, n.Right}
		}
	case *ast.VariableDeclaratorNode:
		lets[n.Name] = n.Value
		parts = []ast.Node{n.Expr}
	case *ast.IdentifierNode:
		if value := lets[n.Value]; value != nil {
			parts = []ast.Node{value}
		}
	}
	for _, part := range parts {
		if at := joined(part, lets); at != nil {
			return at
		}
	}
	return nil
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map:
		return "a map"
	}
	return t.String()
}

// compile checks an expression as it is written, so that messages speak of
// what is written, and then compiles it with the patches that make it exact.
func (t *slotTable) compile(text string, as expr.Option, quantity bool) (*Expression, *remedy.Mistake) {
	if strings.TrimSpace(text) == "" {
		return nil, &remedy.Mistake{Message: "the expression is empty"}
	}
	if n := utf8.RuneCountInString(text); n > maxExpression {
		return nil, &remedy.Mistake{Message: fmt.Sprintf("the expression is too long: %d characters, and at most %d are read", n, maxExpression)}
	}
	look := remedy.Inspect(text)
	_, err := build(text, append(options(), as, expr.Patch(look)))
	if look.Problem != nil {
		return nil, look.Problem
	}
	if err != nil {
		return nil, remedy.Explain(text, err)
	}
	patch := &patcher{slots: t, quantity: quantity}
	ops := append(options(), as, expr.AllowUndefinedVariables(), expr.Patch(untyped{}), expr.Patch(patch))
	for name, f := range checked {
		ops = append(ops, expr.Function(name, f))
	}
	for name, f := range bounded {
		ops = append(ops, expr.Function(name, withBudget(f)))
	}
	program, err := build(text, ops)
	if patch.problem != nil {
		return nil, patch.problem
	}
	if err != nil {
		return nil, remedy.Explain(text, err)
	}
	e := &Expression{text: text, program: program, root: program.Node(), numbers: patch.numbers, table: t, warnings: look.Warnings, patterns: patch.patterns}
	uses := &usage{e: e, slots: t}
	ast.Walk(&e.root, uses)
	t.entryAll = t.entryAll || uses.entryUses > 0
	return e, nil
}

// maxExpression bounds an expression, whose parser would otherwise run out of
// stack on brackets within brackets.
const maxExpression = 100_000

// build compiles. Should the compiler panic, that is an error, too.
func build(text string, ops []expr.Option) (program *vm.Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the expression cannot be compiled: %v", r)
		}
	}()
	return expr.Compile(text, ops...)
}

// options are what every expression is compiled with.
func options() []expr.Option {
	return []expr.Option{
		expr.Env(map[string]any{"line": "", "fields": map[string]any{}, "entry": map[string]any{}, "file": "", "source": ""}),
		expr.Function("extract", extractBy, new(func(any, string) string)),
		expr.Function("items", itemsOf, new(func(any) any)),
		expr.Function("bytes", bytesOf, new(func(any) any)),
		expr.Function("seconds", secondsOf, new(func(any) any)),
	}
}

// CheckFields returns what is wrong with an expression that names fields which
// no source of its rule has, or takes them for numbers where they can only be
// strings. It returns nothing if one of the sources is JSON, which may have any
// field. The rule's expression may be nil.
func (s *Set) CheckFields(r *Rule, e *Expression) (mistakes []remedy.Mistake) {
	if e == nil || len(r.Sources) == 0 {
		return nil
	}
	if e.entry && !slices.ContainsFunc(r.Sources, func(name string) bool { return s.Source(name).Journal != nil }) {
		return []remedy.Mistake{{Offset: max(0, strings.Index(e.text, "entry")), Message: "only a source with \"journal\" has an entry", Hint: "use line and fields"}}
	}
	allText, anyLogfmt := true, false
	var known []string
	for _, name := range r.Sources {
		source := s.Source(name)
		switch {
		case source.Format == "json" || source.Format == "regexp" && source.Pattern == nil:
			return nil
		case source.Format == "logfmt":
			anyLogfmt = true
		case source.Format == "regexp":
			known = append(known, source.Pattern.Names()...)
		}
		allText = allText && source.Format == "text"
	}
	if allText && (e.wholeField || len(e.slots) > 0) {
		offset := e.wholeAt
		if len(e.slotAt) > 0 {
			offset = e.slotAt[0]
		}
		if !slices.ContainsFunc(r.Sources, func(name string) bool { return s.Source(name).Every == 0 }) {
			return []remedy.Mistake{{Offset: offset, Message: "an event of the clock has no fields", Hint: "write when: true"}}
		}
		return []remedy.Mistake{{Offset: offset, Message: "format text has no fields", Hint: "use line and extract, or give the source a `format` that has fields"}}
	}
	for i, slot := range e.slots {
		key := s.slots.paths[slot][0].Key
		if !anyLogfmt && !slices.Contains(known, key) {
			mistakes = append(mistakes, remedy.Mistake{Offset: e.slotAt[i], Message: fmt.Sprintf("the source's pattern has no group %q", key), Hint: remedy.OneOf(key, known)})
		}
	}
	for _, use := range e.numbers[:min(1, len(e.numbers))] {
		text := fields.PathText(s.slots.paths[use.slot])
		mistakes = append(mistakes, remedy.Mistake{Offset: use.at, Message: text + " is a string in this format, and not a number", Hint: "write int(" + text + ")"})
	}
	return mistakes
}

// usage notes which fields a compiled tree names.
type usage struct {
	e     *Expression
	slots *slotTable

	entryUses int // of `entry`, except its fields by constant names
}

func (v *usage) Visit(node *ast.Node) {
	if c, ok := (*node).(*ast.CallNode); ok && calleeOf(c) == "__member" {
		of, isName := c.Arguments[0].(*ast.IdentifierNode)
		field, constant := c.Arguments[1].(*ast.StringNode)
		if isName && constant && of.Value == "entry" {
			v.slots.entryFields = append(v.slots.entryFields, field.Value)
			v.entryUses--
		}
	}
	id, ok := (*node).(*ast.IdentifierNode)
	if !ok {
		return
	}
	at := id.Location().From
	v.e.line = v.e.line || id.Value == "line"
	v.e.source = v.e.source || id.Value == "source"
	v.e.file = v.e.file || id.Value == "file"
	if id.Value == "entry" {
		v.e.entry = true
		v.entryUses++
	}
	if i, ok := v.slots.index[id.Value]; ok {
		if !slices.Contains(v.e.slots, i) {
			v.e.slots = append(v.e.slots, i)
			v.e.slotAt = append(v.e.slotAt, at)
		}
	} else if id.Value == "fields" && !v.e.wholeField {
		v.e.wholeField, v.e.wholeAt = true, at
	}
}
