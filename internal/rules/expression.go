package rules

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// expression is a compiled expression. It is immutable.
type expression struct {
	text       string
	program    *vm.Program
	root       ast.Node // what the program was compiled from
	slots      []int    // the fields that it names, by their index in the slot table
	wholeField bool     // it also uses `fields` other than by constant names, so it needs the whole map
	wholeAt    int      // character offset of the first such use
	slotAt     []int    // character offset of the first use of each of slots
	line       bool     // it uses `line`
	source     bool     // it uses `source`
	native     native   // of a condition; nil where there is none
	direct     int      // of a quantity that is a field: its slot; or -1
}

// expressionError is a mistake in an expression, at a character offset.
type expressionError struct {
	offset  int
	message string
	hint    string
}

// step is one part of a field's path: a key of a map, or, where key is "" and
// index ≥ 0, an index of an array.
type step struct {
	key   string
	index int // -1 with a key
}

// slotTable gives each field path that expressions name a variable of the
// environment, so that a line's other fields need never be looked at.
type slotTable struct {
	paths [][]step
	index map[string]int // by variable
}

// variable is the name under which a slot stands in the environment: short, so
// that it is found fast, and like no identifier.
func variable(slot int) string { return strconv.Itoa(slot) }

// slot is the index of a path, which it enters where it is new.
func (t *slotTable) slot(path []step) int {
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

// pathText is a path as an expression would write it.
func pathText(path []step) string {
	text := "fields"
	for _, s := range path {
		switch {
		case s.index >= 0:
			text += "[" + strconv.Itoa(s.index) + "]"
		case identifier.MatchString(s.key):
			text += "." + s.key
		default:
			text += "[" + strconv.Quote(s.key) + "]"
		}
	}
	return text
}

var identifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// unavailable are expr's functions whose result a replay could not repeat.
var unavailable = map[string]string{
	"now":     "the wall clock is not available: the same line must always count the same",
	"keys":    "keys is not available: a map has no order, so the same line could count differently",
	"values":  "values is not available: a map has no order, so the same line could count differently",
	"toPairs": "toPairs is not available: a map has no order, so the same line could count differently",
}

// unavailableHint says what to use instead.
var unavailableHint = map[string]string{
	"now":     "give the source a `timestamp`",
	"keys":    "name the fields: fields.a, or fields[\"a\"]",
	"values":  "name the fields: fields.a, or fields[\"a\"]",
	"toPairs": "name the fields: fields.a, or fields[\"a\"]",
}

// names that an expression sees, beside expr's functions.
var names = []string{"line", "fields", "file", "source", "extract"}

// compileWhen compiles a condition.
func (t *slotTable) compileWhen(text string) (*expression, *expressionError) {
	e, problem := t.compile(text, expr.AsBool(), false)
	if problem == nil {
		e.native = newNative(e.root, t)
	}
	return e, problem
}

// compileQuantity compiles a quantity.
func (t *slotTable) compileQuantity(text string) (*expression, *expressionError) {
	e, problem := t.compile(text, expr.AsAny(), true)
	if problem != nil {
		return nil, problem
	}
	e.direct = translator{t}.slot(e.root)
	if isCall(e.root, "__add") { // of strings: numbers are added by another
		return nil, &expressionError{e.root.Location().From, "+ would join two strings, and a quantity is a number", "convert them with int()"}
	}
	switch typ := e.root.Type(); typ.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64, reflect.String, reflect.Interface:
	default:
		return nil, &expressionError{0, fmt.Sprintf("a quantity must be a whole number, and this is %s", typeName(typ)), ""}
	}
	return e, nil
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
func (t *slotTable) compile(text string, as expr.Option, quantity bool) (*expression, *expressionError) {
	if strings.TrimSpace(text) == "" {
		return nil, &expressionError{0, "the expression is empty", ""}
	}
	if n := utf8.RuneCountInString(text); n > maxExpression {
		return nil, &expressionError{0, fmt.Sprintf("the expression is too long: %d characters, and at most %d are read", n, maxExpression), ""}
	}
	look := &inspection{}
	_, err := build(text, append(options(), as, expr.Patch(look)))
	if look.problem != nil {
		return nil, look.problem
	}
	if err != nil {
		return nil, explain(err)
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
		return nil, explain(err)
	}
	e := &expression{text: text, program: program, root: program.Node(), direct: -1}
	ast.Walk(&e.root, &usage{e, t})
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
		expr.Env(map[string]any{"line": "", "fields": map[string]any{}, "file": "", "source": ""}),
		expr.Function("extract", extractBy, new(func(any, string) string)),
	}
}

// explain makes a problem of what expr says.
func explain(err error) *expressionError {
	var at *file.Error
	if !errors.As(err, &at) {
		message, _, _ := strings.Cut(err.Error(), "\n")
		p := &expressionError{message: message}
		if strings.HasPrefix(message, "expected bool") {
			p.message = strings.Replace(message, "expected bool, but got", "a condition must be true or false, and this is", 1)
			p.hint = "compare it with something"
		}
		return p
	}
	p := &expressionError{offset: at.From, message: strings.TrimSpace(strings.ReplaceAll(at.Message, "\n", " "))}
	switch name, isName := strings.CutPrefix(p.message, "unknown name "); {
	case isName:
		p.message = fmt.Sprintf("unknown name %q", name)
		p.hint = didYouMean(name, append(slices.Clone(names), builtin.Names...))
		if p.hint == "" {
			p.hint = "a field is named fields." + name + ", a text is written in quotes"
		}
	case strings.Contains(p.message, "error parsing regexp"):
	case strings.Contains(p.message, "invalid char escape"), strings.Contains(p.message, "unable to unescape"):
		p.hint = "write a regular expression in backticks: they take backslashes as they are"
	case strings.Contains(p.message, `Operator("=")`):
		p.hint = "compare with =="
	case strings.Contains(p.message, `Identifier("AND")`), strings.Contains(p.message, `Identifier("OR")`),
		strings.Contains(p.message, `Identifier("NOT")`):
		p.hint = "write and, or, not in small letters"
	}
	return p
}

// inspection finds what is not available, in the tree as it was written.
type inspection struct{ problem *expressionError }

func (v *inspection) Visit(node *ast.Node) {
	if v.problem != nil {
		return
	}
	fail := func(message, hint string) {
		v.problem = &expressionError{(*node).Location().From, message, hint}
	}
	switch n := (*node).(type) {
	case *ast.BuiltinNode:
		if message := unavailable[n.Name]; message != "" {
			fail(message, unavailableHint[n.Name])
		}
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			fail("$env is not available", "use line, fields, file and source by their names")
		}
	case *ast.CallNode:
		switch callee := n.Callee.(type) {
		case *ast.IdentifierNode:
		case *ast.MemberNode:
			if _, ok := callee.Property.(*ast.StringNode); !ok {
				fail("a method can only be called by its name", "")
			}
		default:
			fail("only a function or a method can be called, by its name", "")
		}
	case *ast.MemberNode:
		if name, ok := n.Property.(*ast.StringNode); ok && name.Value == "Local" && (n.Method || hasMethods(n.Node.Type())) {
			fail("the machine's time zone is not available: the same line must always count the same",
				"use .UTC(), or .In(timezone(\"Europe/Berlin\"))")
		}
	}
}

// numberMistake finds a field that is reckoned with, or compared with a number,
// although it can only be a string.
type numberMistake struct {
	slots *slotTable
	found *expressionError
}

func (v *numberMistake) Visit(node *ast.Node) {
	var a, b ast.Node
	switch n := (*node).(type) {
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok || len(n.Arguments) != 2 {
			return
		}
		switch callee.Value {
		case "__less", "__lessOrEqual", "__more", "__moreOrEqual", "__add", "__addNumbers", "__sub", "__mul", "__div":
			a, b = n.Arguments[0], n.Arguments[1]
		}
	case *ast.BinaryNode:
		if n.Operator == "==" || n.Operator == "!=" {
			a, b = n.Left, n.Right
		}
	}
	if a == nil || v.found != nil {
		return
	}
	a, b = bare(a), bare(b)
	t := translator{v.slots}
	if t.slot(a) < 0 {
		a, b = b, a
	}
	if slot := t.slot(a); slot >= 0 && isNumber(b) {
		text := pathText(v.slots.paths[slot])
		v.found = &expressionError{(*node).Location().From, text + " is a string in this format, and not a number", "write int(" + text + ")"}
	}
}

func isNumber(n ast.Node) bool {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return true
	}
	return false
}

// usage notes which fields a compiled tree names.
type usage struct {
	e     *expression
	slots *slotTable
}

func (v *usage) Visit(node *ast.Node) {
	id, ok := (*node).(*ast.IdentifierNode)
	if !ok {
		return
	}
	at := id.Location().From
	v.e.line = v.e.line || id.Value == "line"
	v.e.source = v.e.source || id.Value == "source"
	if i, ok := v.slots.index[id.Value]; ok {
		if !slices.Contains(v.e.slots, i) {
			v.e.slots = append(v.e.slots, i)
			v.e.slotAt = append(v.e.slotAt, at)
		}
	} else if id.Value == "fields" && !v.e.wholeField {
		v.e.wholeField, v.e.wholeAt = true, at
	}
}
