package program

import (
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/remedy"
)

// patcher rewrites a checked tree so that its program
//   - takes a field that is named by constants from its own variable, so that
//     a line's other fields need not be parsed;
//   - finds nil for a missing field or element, and for everything inside nil;
//     takes nil for false as a condition, and orders nil before and behind
//     nothing (each of < <= > >= is false);
//   - finds a value in a list by comparing it, whatever its kind;
//   - fails where a text is taken for a list of its characters;
//   - fails where integers overflow or a number would be rounded, instead of
//     going on with another number;
//   - uses constant patterns of `extract` that are already compiled;
//   - does not depend on the machine's time zone;
//   - costs no more than its budget: see budget.go.
type patcher struct {
	slots    *Slots
	quantity bool // + adds numbers only: two strings that look like numbers must not be joined to one
	numbers  []NumberUse
	patterns []*fields.Pattern // of extract
	problem  *remedy.Mistake
}

// NumberUse is a field that an expression calculates with, or compares with a
// number.
type NumberUse struct{ Slot, At int }

// number notes that the operator of a node takes its operands for numbers.
func (p *patcher) number(n *ast.BinaryNode) {
	a, b := n.Left, n.Right
	if isNumeral(a) {
		a, b = b, a
	}
	if id, ok := a.(*ast.IdentifierNode); ok && isNumeral(b) {
		if slot, isField := p.slots.index[id.Value]; isField {
			p.numbers = append(p.numbers, NumberUse{slot, n.Location().From})
		}
	}
}

func isNumeral(n ast.Node) bool {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return true
	}
	return false
}

var boolType = reflect.TypeFor[bool]()

// untyped keeps the checker from believing a type that a value may not have. The
// checker gives `c ? 1 : fields.n` the type of 1, and int(x) that of a number, though
// int(nil) is nil. It must be applied before the patcher, which guards what may be of
// another type.
type untyped struct{}

func (untyped) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.ConditionalNode:
		if _, isNil := n.Exp1.(*ast.NilNode); isNil || n.Exp1.Type() != n.Exp2.Type() {
			*node = call("__any", n)
		}
	case *ast.BuiltinNode:
		switch {
		case n.Name == "reduce" && len(n.Arguments) == 3: // #acc is the first value, and then what the steps come to
			n.Arguments[2] = call("__any", n.Arguments[2])
		case n.Name == "int" || n.Name == "float":
			ast.Patch(node, call("__"+n.Name, n.Arguments...))
		}
	}
}

// call returns a call of one of the checked functions in place of a node.
func call(name string, arguments ...ast.Node) *ast.CallNode {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: arguments}
}

func unknown(n ast.Node) bool { return n.Type().Kind() == reflect.Interface }

// mayBeInt reports whether a node's value may be an integer.
func mayBeInt(n ast.Node) bool {
	switch n.Type() {
	case reflect.TypeFor[time.Duration]():
		return false
	}
	k := n.Type().Kind()
	return k == reflect.Interface || k >= reflect.Int && k <= reflect.Uint64
}

func hasMethods(t reflect.Type) bool {
	return t.Kind() != reflect.Interface && t.NumMethod() > 0
}

// typed gives a new node the type of the node that it replaces.
func typed(node *ast.Node, with ast.Node) {
	with.SetNature(*(*node).Nature())
	ast.Patch(node, with)
}

// asTruth wraps an operand that may not be a bool.
func asTruth(node *ast.Node) {
	if unknown(*node) {
		c := call("__bool", *node)
		c.SetType(boolType)
		ast.Patch(node, c)
	}
}

// Visit is called for the innermost nodes first.
func (p *patcher) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		p.member(node, n)
	case *ast.ChainNode: // of `?.`, which is needless where a field is taken from its variable
		if id, ok := n.Node.(*ast.IdentifierNode); ok {
			typed(node, id)
		}
	case *ast.UnaryNode:
		switch _, constant := n.Node.(*ast.IntegerNode); {
		case n.Operator == "-" && !constant && mayBeInt(n.Node):
			typed(node, call("__neg", n.Node))
		case n.Operator == "!" || n.Operator == "not":
			asTruth(&n.Node)
		}
	case *ast.BinaryNode:
		p.binary(node, n)
	case *ast.ConditionalNode:
		asTruth(&n.Cond)
	case *ast.PredicateNode:
		p.loop(n)
	case *ast.BuiltinNode:
		p.builtin(node, n)
	case *ast.CallNode:
		p.extract(node, n)
	}
}

func (p *patcher) member(node *ast.Node, n *ast.MemberNode) {
	if n.Method || hasMethods(n.Node.Type()) {
		return
	}
	if path := p.path(n); path != nil {
		ast.Patch(node, &ast.IdentifierNode{Value: Variable(p.slots.Enter(path))})
		return
	}
	ast.Patch(node, call("__member", n.Node, n.Property))
}

// path returns the field that a chain of constant names and indexes leads to, or nil.
func (p *patcher) path(n *ast.MemberNode) []fields.Step {
	base, ok := n.Node.(*ast.IdentifierNode)
	if !ok {
		return nil
	}
	var path []fields.Step
	if i, ok := p.slots.index[base.Value]; ok {
		path = p.slots.Paths[i]
	} else if base.Value != "fields" {
		return nil
	}
	path = path[:len(path):len(path)]
	switch property := n.Property.(type) {
	case *ast.StringNode:
		return append(path, fields.Step{Key: property.Value, Index: -1})
	case *ast.IntegerNode:
		if property.Value >= 0 && len(path) > 0 {
			return append(path, fields.Step{Index: property.Value})
		}
	}
	return nil
}

var arithmetic = map[string]string{"+": "__add", "-": "__sub", "*": "__mul", "/": "__div"}
var ordering = map[string]string{"<": "__less", "<=": "__lessOrEqual", ">": "__more", ">=": "__moreOrEqual"}

func (p *patcher) binary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!=":
		p.number(n)
	}
	switch n.Operator {
	case "+", "-", "*", "/":
		if IsText(n.Left) || IsText(n.Right) {
			_, constant1 := n.Left.(*ast.StringNode)
			_, constant2 := n.Right.(*ast.StringNode)
			if !constant1 || !constant2 {
				typed(node, call("__add", n.Left, n.Right)) // which bounds its length
			}
			return
		}
		if !mayBeInt(n.Left) && !mayBeInt(n.Right) ||
			hasMethods(n.Left.Type()) || hasMethods(n.Right.Type()) { // times and durations
			return
		}
		a, ok1 := n.Left.(*ast.IntegerNode)
		b, ok2 := n.Right.(*ast.IntegerNode)
		if ok1 && ok2 && n.Operator != "/" {
			sum, err := checked[arithmetic[n.Operator]](a.Value, b.Value)
			if err != nil {
				p.fail(n, err.Error(), "")
				return
			}
			typed(node, &ast.IntegerNode{Value: sum.(int)})
			return
		}
		name := arithmetic[n.Operator]
		if p.quantity && n.Operator == "+" {
			name = "__addNumbers"
		}
		typed(node, call(name, n.Left, n.Right))
	case "**", "^":
		if mayBeInt(n.Left) || mayBeInt(n.Right) {
			typed(node, call("__power", n.Left, n.Right))
		}
	case "<", "<=", ">", ">=":
		if unknown(n.Left) || unknown(n.Right) {
			typed(node, call(ordering[n.Operator], n.Left, n.Right))
		}
	case "and", "&&", "or", "||":
		asTruth(&n.Left)
		asTruth(&n.Right)
	case "==", "!=":
		p.compared(&n.Left, &n.Right)
	case "in": // which expr may turn into the lookup of a string, failing for all else
		p.compared(&n.Left, &n.Right)
		_, isList := n.Right.(*ast.ArrayNode)
		_, isNil := n.Left.(*ast.NilNode)
		if unknown(n.Right) || (unknown(n.Left) || isNil) && (isList || n.Right.Type().Kind() == reflect.Map) {
			typed(node, call("__in", n.Left, n.Right))
		}
	case "matches":
		if _, constant := n.Right.(*ast.StringNode); !constant {
			typed(node, call("__matches", n.Left, n.Right))
		}
	}
}

func (p *patcher) builtin(node *ast.Node, n *ast.BuiltinNode) {
	asList(n)
	switch n.Name {
	case "all", "none", "any", "one", "filter", "find", "findIndex", "findLast", "findLastIndex", "count":
		if len(n.Arguments) == 2 {
			if predicate, ok := n.Arguments[1].(*ast.PredicateNode); ok {
				asTruth(&predicate.Node)
			}
		}
	case "sum":
		array := n.Arguments[0]
		if len(n.Arguments) == 2 {
			array = &ast.BuiltinNode{Name: "map", Arguments: n.Arguments} // of what asList returned
		}
		ast.Patch(node, call("__sum", array))
	case "get":
		if !hasMethods(n.Arguments[0].Type()) {
			ast.Patch(node, call("__member", n.Arguments...))
		}
	case "abs", "ceil", "floor", "round", "date", "timezone":
		typed(node, call("__"+n.Name, n.Arguments...))
	case "fromJSON":
		ast.Patch(node, call("__fromJSON", n.Arguments...))
	case "reduce":
		if predicate, ok := n.Arguments[1].(*ast.PredicateNode); ok && isCall(predicate.Node, "__step") {
			predicate.Node.(*ast.CallNode).Callee = &ast.IdentifierNode{Value: "__carry"}
		}
	case "repeat", "replace", "join", "split", "splitAfter", "toBase64", "toJSON", "string", "uniq":
		typed(node, callBounded("__"+n.Name, n.Arguments...))
	case "max", "min", "mean", "median", "flatten":
		for i := range n.Arguments {
			looked(&n.Arguments[i])
		}
	}
}

// asList wraps the list that a function goes through, if it may be a text. A
// function that went through the characters of a text would bill each of them.
func asList(n *ast.BuiltinNode) {
	switch n.Name {
	case "all", "none", "any", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count", "sum", "reduce",
		"groupBy", "sortBy":
		if unknown(n.Arguments[0]) {
			typed(&n.Arguments[0], call("__list", n.Arguments[0], &ast.StringNode{Value: n.Name}))
		}
	}
}

func (p *patcher) extract(node *ast.Node, n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || callee.Value != "extract" || len(n.Arguments) != 2 {
		return
	}
	pattern, ok := n.Arguments[1].(*ast.StringNode)
	if !ok {
		return
	}
	compiled, err := fields.Compile(pattern.Value)
	switch {
	case err != nil:
		p.fail(pattern, err.Error(), "")
	case compiled.Groups() == 0:
		p.fail(pattern, fmt.Sprintf("the pattern %q has no group to extract", pattern.Value), "put ( and ) around the part that is wanted")
	default:
		p.patterns = append(p.patterns, compiled)
		constant := &ast.ConstantNode{Value: compiled}
		constant.SetType(reflect.TypeOf(compiled))
		typed(node, call("__extract", n.Arguments[0], constant))
	}
}

func (p *patcher) fail(n ast.Node, message, hint string) {
	if p.problem == nil {
		p.problem = &remedy.Mistake{Offset: n.Location().From, Message: message, Hint: hint}
	}
}

func addExact(a, b int) (int, bool) {
	c := a + b
	return c, (c > a) == (b > 0)
}

func subExact(a, b int) (int, bool) {
	c := a - b
	return c, (c < a) == (b > 0)
}

func mulExact(a, b int) (int, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	c := a * b
	return c, (c < 0) == ((a < 0) != (b < 0)) && c/b == a && !(a == -1 && b == math.MinInt) && !(b == -1 && a == math.MinInt)
}

// exactFloat fails for an integer that a float64 would round.
func exactFloat(v any) error {
	if i, ok := fields.Integer(v); ok && (i > fields.MaxExact || i < -fields.MaxExact) {
		return fmt.Errorf("%d is too large to be reckoned with as a fraction: it would be rounded", i)
	}
	return nil
}

// binaryInt returns an operator on whole numbers, with what to do for all others.
func binaryInt(sign string, exact func(a, b int) (int, bool), other func(a, b any) any) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		a, b := args[0], args[1]
		i, ok1 := fields.Integer(a)
		j, ok2 := fields.Integer(b)
		if ok1 && ok2 {
			if sum, ok := exact(i, j); ok {
				return sum, nil
			}
			return nil, fmt.Errorf("integer overflow: %d %s %d", i, sign, j)
		}
		if err := exactPair(a, b); err != nil {
			return nil, err
		}
		return other(a, b), nil
	}
}

func exactPair(a, b any) error {
	if err := exactFloat(a); err != nil {
		return err
	}
	return exactFloat(b)
}

// compare returns an ordering, false where either side is nil.
func compare(order func(a, b any) bool) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if args[0] == nil || args[1] == nil {
			return false, nil
		}
		return order(args[0], args[1]), nil
	}
}

// rounding is one of expr's functions from a number to a float.
func rounding(f func(any) any) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if err := exactFloat(args[0]); err != nil {
			return nil, err
		}
		return f(args[0]), nil
	}
}

// Callee returns the name of the function that a node calls, or "".
func Callee(n *ast.CallNode) string {
	if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
		return callee.Value
	}
	return ""
}

// isCall reports whether a node calls one of the checked functions.
func isCall(node ast.Node, name string) bool {
	c, ok := node.(*ast.CallNode)
	return ok && Callee(c) == name
}

// IsText reports whether a node is known to be a string.
func IsText(n ast.Node) bool { return n.Type().Kind() == reflect.String }
