package program

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm/runtime"
)

// budget bounds what one evaluation of an expression may cost, so that no rule
// and no line can hold up the others: steps of loops, and bytes and items that
// are looked at within loops or made by functions that multiply. It counts,
// and never looks at a clock, so that the same line always comes to the same.
type budget struct{ left int }

const (
	maxWork   = 1 << 24 // what an evaluation may spend: bytes, items, and
	stepCost  = 16      // of each step of a loop
	partCost  = 8       // of each part that a text is split into
	maxString = 1 << 20 // bytes that a text may grow to
	maxNested = 1000    // how deep lists and maps may nest that are looked at as a whole
)

var (
	errWork   = errors.New("the expression costs too much on this line")
	errString = fmt.Errorf("the expression makes a text of more than %d bytes", maxString)
	errNested = fmt.Errorf("the expression nests values deeper than %d", maxNested)
)

func (b *budget) spend(n int) error {
	if n < 0 || n > b.left {
		b.left = 0
		return errWork
	}
	b.left -= n
	return nil
}

// make spends what a text of n bytes costs that is about to be made.
func (b *budget) make(n int) error {
	if n < 0 || n > maxString {
		return errString
	}
	return b.spend(n)
}

// look spends what a value holds in all: as often as it is reached, and the
// more the deeper.
func (b *budget) look(v any, depth int) error {
	if depth > maxNested {
		return errNested
	}
	switch v := v.(type) {
	case string:
		return b.spend(len(v) + depth + 1)
	case nil, bool, int, float64:
		return b.spend(depth + 1)
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range r.Len() {
			if err := b.look(r.Index(i).Interface(), depth+1); err != nil {
				return err
			}
		}
	case reflect.Map:
		for entry := r.MapRange(); entry.Next(); {
			for _, part := range []reflect.Value{entry.Key(), entry.Value()} {
				if err := b.look(part.Interface(), depth+1); err != nil {
					return err
				}
			}
		}
	}
	return b.spend(depth + 1)
}

// sizeOf returns how many bytes or items a value has itself.
func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		return len(v)
	case nil, bool, int, float64, map[string]any:
		return 0
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Slice {
		return r.Len()
	}
	return 0
}

// budgetVariable is the budget's name in the environment, which no expression
// can write.
const budgetVariable = "-"

// bounded are functions that the patcher puts in, with the budget before their
// arguments.
var bounded = map[string]func(b *budget, args []any) (any, error){
	// A step of a loop, which comes to its argument.
	"__step": func(b *budget, args []any) (any, error) { return args[0], b.spend(stepCost) },
	// The same where a value is carried on to the next step.
	"__carry": func(b *budget, args []any) (any, error) {
		if err := b.spend(stepCost); err != nil {
			return nil, err
		}
		return args[0], b.look(args[0], 0)
	},
	// What is looked at in a loop.
	"__sized": func(b *budget, args []any) (any, error) { return args[0], b.spend(sizeOf(args[0])) },
	// What is looked at in all its depth.
	"__looked": func(b *budget, args []any) (any, error) { return args[0], b.look(args[0], 0) },

	"__repeat":     repeat,
	"__replace":    replace,
	"__join":       join,
	"__split":      split("split"),
	"__splitAfter": split("splitAfter"),
	"__toBase64":   toBase64,
	"__toJSON":     written("toJSON"),
	"__string":     written("string"),
	"__uniq":       uniq,
}

// withBudget returns a bounded function as a program calls it.
func withBudget(f func(b *budget, args []any) (any, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) { return f(args[0].(*budget), args[1:]) }
}

// original calls expr's own function.
func original(name string, args []any) (any, error) {
	f := builtin.Builtins[builtin.Index[name]]
	if f.Fast != nil {
		return f.Fast(args[0]), nil
	}
	return f.Func(args...)
}

func repeat(b *budget, args []any) (any, error) {
	text, times := args[0].(string), runtime.ToInt(args[1])
	if len(text) > 0 && times > maxString {
		return nil, errString
	}
	if times < 0 {
		return nil, fmt.Errorf("repeat needs a number that is not negative, not %d", times)
	}
	if err := b.make(len(text) * times); err != nil {
		return nil, err
	}
	return strings.Repeat(text, times), nil
}

func replace(b *budget, args []any) (any, error) {
	text, from, to := args[0].(string), args[1].(string), args[2].(string)
	times := strings.Count(text, from)
	if len(args) > 3 {
		if n := runtime.ToInt(args[3]); n >= 0 {
			times = min(times, n)
		}
	}
	if err := b.make(len(text) + times*(len(to)-len(from))); err != nil {
		return nil, err
	}
	return original("replace", args)
}

func join(b *budget, args []any) (any, error) {
	size, glue := 0, 0
	if len(args) > 1 {
		glue = len(args[1].(string))
	}
	list := reflect.ValueOf(args[0])
	if list.Kind() == reflect.Slice {
		for i := range list.Len() {
			size += sizeOf(list.Index(i).Interface()) + glue
		}
	}
	if err := b.make(size); err != nil {
		return nil, err
	}
	return original("join", args)
}

func split(name string) func(*budget, []any) (any, error) {
	return func(b *budget, args []any) (any, error) {
		if err := b.spend(partCost * strings.Count(args[0].(string), args[1].(string))); err != nil {
			return nil, err
		}
		return original(name, args)
	}
}

func toBase64(b *budget, args []any) (any, error) {
	if err := b.make(base64.StdEncoding.EncodedLen(len(args[0].(string)))); err != nil {
		return nil, err
	}
	return original("toBase64", args)
}

// written returns a function that makes a text of any value.
func written(name string) func(*budget, []any) (any, error) {
	return func(b *budget, args []any) (any, error) {
		before := b.left
		if err := b.look(args[0], 0); err != nil {
			return nil, err
		}
		if before-b.left > maxString {
			return nil, errString
		}
		v, err := original(name, args)
		if text, ok := v.(string); ok && err == nil {
			err = b.make(len(text))
		}
		return v, err
	}
}

// uniq compares each item with each.
func uniq(b *budget, args []any) (any, error) {
	n := sizeOf(args[0])
	if err := b.spend(n * n / 2); err != nil {
		return nil, err
	}
	if err := b.look(args[0], 0); err != nil {
		return nil, err
	}
	return original("uniq", args)
}

// holder reports whether a node's value may hold others.
func holder(node ast.Node) bool {
	if _, isNil := node.(*ast.NilNode); isNil {
		return false
	}
	switch node.Type().Kind() {
	case reflect.Interface, reflect.Slice, reflect.Array, reflect.Map:
		return true
	}
	return false
}

// grown reports whether a node's value may hold another many times over, which
// makes it larger than its memory: where it is looked at in all its depth, that
// must be paid for.
func (p *patcher) grown(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		_, isField := p.slots.index[n.Value]
		return !isField && n.Value != "fields" && holder(n)
	case *ast.ArrayNode:
		return slices.ContainsFunc(n.Nodes, p.grown)
	case *ast.ConstantNode:
		return false
	}
	return holder(node)
}

// looked makes a node pay for its depth.
func looked(node *ast.Node) {
	if holder(*node) {
		typed(node, callBounded("__looked", *node))
	}
}

// compared makes a comparison pay whose sides may both be larger than their
// memory.
func (p *patcher) compared(left, right *ast.Node) {
	if p.grown(*left) && p.grown(*right) {
		looked(left)
		looked(right)
	}
}

func callBounded(name string, arguments ...ast.Node) *ast.CallNode {
	return call(name, append([]ast.Node{&ast.IdentifierNode{Value: budgetVariable}}, arguments...)...)
}

// loop makes each step of a loop pay, and what is looked at in it.
func (p *patcher) loop(n *ast.PredicateNode) {
	ast.Walk(&n.Node, operands{})
	typed(&n.Node, callBounded("__step", n.Node))
}

// operands finds in the body of a loop what is looked at.
type operands struct{}

func (operands) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||", "??", "..":
			return
		}
		sized(&n.Left)
		sized(&n.Right)
	case *ast.BuiltinNode:
		for i := range n.Arguments {
			sized(&n.Arguments[i])
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); !ok || callee.Value == "__sized" || callee.Value == "__step" {
			return
		}
		for i := range n.Arguments {
			sized(&n.Arguments[i])
		}
	}
}

// sized makes a node pay for its size, where that may be large.
func sized(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.StringNode, *ast.ConstantNode, *ast.ArrayNode, *ast.PredicateNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		return
	case *ast.IdentifierNode:
		if n.Value == budgetVariable {
			return
		}
	case *ast.BinaryNode:
		if n.Operator == ".." {
			return
		}
	case *ast.CallNode:
		if isCall(n, "__sized") || isCall(n, "__step") {
			return
		}
	}
	if holder(*node) || (*node).Type().Kind() == reflect.String {
		typed(node, callBounded("__sized", *node))
	}
}

// Bare returns a node without the price that the patcher may have added.
func Bare(node ast.Node) ast.Node {
	if isCall(node, "__sized") || isCall(node, "__looked") {
		return node.(*ast.CallNode).Arguments[1]
	}
	return node
}
