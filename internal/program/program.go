// Package program compiles expressions for expr's virtual machine: patched, so that
// they are exact, see no more than a line, and cost no more than a budget. A program is
// immutable. A machine belongs to one goroutine.
package program

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/remedy"
)

// Program is a compiled expression.
type Program struct {
	Text       string
	Root       ast.Node // the patched tree
	Slots      []int    // the fields that it names, by their index in the table
	SlotAt     []int    // character offset of the first use of each of Slots
	WholeField bool     // it also uses `fields` other than by constant names, so it needs the whole map
	WholeAt    int      // character offset of the first such use
	Line       bool     // it uses `line`
	Source     bool     // it uses `source`
	File       bool     // it uses `file`
	Entry      bool     // it uses `entry`
	Numbers    []NumberUse
	Patterns   []*fields.Pattern // constant ones of extract
	Table      *Slots            // of Slots
	Warnings   []remedy.Mistake  // what is allowed and is likely a mistake

	code *vm.Program
}

// Condition compiles an expression that is true or false.
func (t *Slots) Condition(text string) (*Program, *remedy.Mistake) {
	return t.Compile(text, expr.AsBool(), false)
}

// Quantity compiles an expression of a number.
func (t *Slots) Quantity(text string) (*Program, *remedy.Mistake) {
	e, problem := t.Compile(text, expr.AsAny(), true)
	if problem != nil {
		return nil, problem
	}
	if at := joined(e.Root, map[string]ast.Node{}); at != nil {
		return nil, &remedy.Mistake{Offset: at.Location().From, Message: "+ would join two strings, and a quantity is a number", Hint: "convert them with int()"}
	}
	switch typ := e.Root.Type(); typ.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64, reflect.String, reflect.Interface:
	default:
		hint := ""
		switch typ.Kind() {
		case reflect.Slice, reflect.Array:
			hint = "write items(…) for how many there are"
		case reflect.Func:
			return nil, &remedy.Mistake{Message: text + " is a function", Hint: "write a number, or what a line has: fields.bytes"}
		case reflect.Bool:
			hint = "a condition goes under when; a choice is written in quotes: 'condition ? 1 : 2'"
		}
		return nil, &remedy.Mistake{Message: fmt.Sprintf("a quantity must be a whole number, and this is %s", typeName(typ)), Hint: hint}
	}
	return e, nil
}

// Value compiles an expression of a text, a number or a boolean.
func (t *Slots) Value(text string) (*Program, *remedy.Mistake) {
	e, problem := t.Compile(text, expr.AsAny(), false)
	if problem != nil {
		return nil, problem
	}
	switch typ := e.Root.Type(); typ.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return nil, &remedy.Mistake{Message: fmt.Sprintf("a value to look up must be a text, a number or a boolean, and this is %s", typeName(typ))}
	}
	return e, nil
}

// joined returns the part of a patched tree that joins two strings to the tree's
// value, or nil. The values of variables are in lets.
func joined(node ast.Node, lets map[string]ast.Node) ast.Node {
	var parts []ast.Node // that the value may be
	switch n := node.(type) {
	case *ast.CallNode:
		switch Callee(n) {
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

// Compile checks an expression as it is written, so that messages speak of what is
// written. Then it compiles the expression with the patches that make it exact. In a
// quantity + joins no texts.
func (t *Slots) Compile(text string, as expr.Option, quantity bool) (*Program, *remedy.Mistake) {
	if strings.TrimSpace(text) == "" {
		return nil, &remedy.Mistake{Message: "the expression is empty"}
	}
	if n := utf8.RuneCountInString(text); n > MaxExpression {
		return nil, &remedy.Mistake{Message: fmt.Sprintf("the expression is too long: %d characters, and at most %d are read", n, MaxExpression)}
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
	code, err := build(text, ops)
	if patch.problem != nil {
		return nil, patch.problem
	}
	if err != nil {
		return nil, remedy.Explain(text, err)
	}
	e := &Program{Text: text, code: code, Root: code.Node(), Numbers: patch.numbers, Table: t, Warnings: look.Warnings, Patterns: patch.patterns}
	uses := &usage{e: e, slots: t}
	ast.Walk(&e.Root, uses)
	t.EntryAll = t.EntryAll || uses.entryUses > 0
	return e, nil
}

// MaxExpression bounds an expression, whose parser would otherwise run out of
// stack on brackets within brackets.
const MaxExpression = 100_000

// build compiles. Should the compiler panic, that is an error, too.
func build(text string, ops []expr.Option) (program *vm.Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the expression cannot be compiled: %v", r)
		}
	}()
	return expr.Compile(text, ops...)
}

// options returns what every expression is compiled with.
func options() []expr.Option {
	ops := []expr.Option{
		expr.Env(map[string]any{"line": "", "fields": map[string]any{}, "entry": map[string]any{}, "file": "", "source": ""}),
	}
	for _, name := range remedy.Own {
		ops = append(ops, expr.Function(name, own[name].call, own[name].types))
	}
	return ops
}

// usage notes which fields a compiled tree names.
type usage struct {
	e     *Program
	slots *Slots

	entryUses int // of `entry`, except its fields by constant names
}

func (v *usage) Visit(node *ast.Node) {
	if c, ok := (*node).(*ast.CallNode); ok && Callee(c) == "__member" {
		of, isName := c.Arguments[0].(*ast.IdentifierNode)
		field, constant := c.Arguments[1].(*ast.StringNode)
		if isName && constant && of.Value == "entry" {
			v.slots.EntryFields = append(v.slots.EntryFields, field.Value)
			v.entryUses--
		}
	}
	id, ok := (*node).(*ast.IdentifierNode)
	if !ok {
		return
	}
	at := id.Location().From
	v.e.Line = v.e.Line || id.Value == "line"
	v.e.Source = v.e.Source || id.Value == "source"
	v.e.File = v.e.File || id.Value == "file"
	if id.Value == "entry" {
		v.e.Entry = true
		v.entryUses++
	}
	if i, ok := v.slots.index[id.Value]; ok {
		if !slices.Contains(v.e.Slots, i) {
			v.e.Slots = append(v.e.Slots, i)
			v.e.SlotAt = append(v.e.SlotAt, at)
		}
	} else if id.Value == "fields" && !v.e.WholeField {
		v.e.WholeField, v.e.WholeAt = true, at
	}
}
