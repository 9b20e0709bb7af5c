package condition

import (
	"reflect"

	"github.com/expr-lang/expr/ast"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/program"
)

// translator turns the patched tree of an expression into conditions and
// operands. It is the only reader of the tree, after the patcher.
type translator struct {
	slots    *program.Slots
	patterns []*fields.Pattern // that it met in `matches`
}

// Of returns the condition of a program, and the patterns of its `matches`.
func Of(p *program.Program) (Condition, []*fields.Pattern) {
	t := translator{slots: p.Table}
	c := t.condition(p.Root)
	return c, t.patterns
}

// ValueOf returns the value of a program, and the patterns of its `matches`.
func ValueOf(p *program.Program) (Operand, []*fields.Pattern) {
	t := translator{slots: p.Table}
	o := t.operand(p.Root)
	return o, t.patterns
}

// condition translates a part that is true or false.
func (t *translator) condition(node ast.Node) Condition {
	switch n := program.Bare(node).(type) {
	case *ast.BoolNode:
		return always(n.Value)
	case *ast.IdentifierNode:
		if slot, isField := t.slots.Of(n.Value); isField {
			return truth{t.field(slot)}
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return negation(t.condition(n.Node))
		}
	case *ast.BinaryNode:
		if c := t.binary(n); c != nil {
			return c
		}
	case *ast.BuiltinNode:
		if operator := map[string]string{"hasPrefix": "startsWith", "hasSuffix": "endsWith"}[n.Name]; operator != "" && isLine(n.Arguments[0]) {
			if text, constant := n.Arguments[1].(*ast.StringNode); constant {
				return newText(operator, wholeLine{}, text.Value)
			}
		}
	case *ast.CallNode:
		switch name := program.Callee(n); name {
		case "__bool":
			return t.condition(n.Arguments[0])
		case "__in":
			return t.in(n.Arguments[0], n.Arguments[1], true)
		case "__less", "__lessOrEqual", "__more", "__moreOrEqual":
			return newOrder(name, t.operand(n.Arguments[0]), t.operand(n.Arguments[1]))
		}
	}
	return opaque{why: t.reason(node), parts: t.parts(node)}
}

// binary translates an operator. It returns nil for an operator without a condition.
func (t *translator) binary(n *ast.BinaryNode) Condition {
	text, constant := n.Right.(*ast.StringNode)
	switch n.Operator {
	case "and", "&&":
		return and{t.condition(n.Left), t.condition(n.Right)}
	case "or", "||":
		return or{t.condition(n.Left), t.condition(n.Right)}
	case "==":
		return equality(t.operand(n.Left), t.operand(n.Right))
	case "!=":
		return negation(equality(t.operand(n.Left), t.operand(n.Right)))
	case "in":
		return t.in(n.Left, n.Right, program.IsText(n.Left))
	case "contains", "startsWith", "endsWith":
		if constant {
			return newText(n.Operator, t.operand(n.Left), text.Value)
		}
	case "matches":
		if constant {
			if pattern, err := fields.Compile(text.Value); err == nil {
				t.patterns = append(t.patterns, pattern)
				return match{t.operand(n.Left), pattern}
			}
		}
	}
	return nil
}

// in translates a search in a list. It is safe if no value of the left side can
// make it fail.
func (t *translator) in(left, right ast.Node, safe bool) Condition {
	c := in{of: t.operand(left), safe: safe, parts: []Marker{t.marker(left), t.marker(right)}}
	if list, isConstant := right.(*ast.ConstantNode); isConstant {
		c.take(list.Value)
	}
	return c
}

// operand translates a part that has a value.
func (t *translator) operand(node ast.Node) Operand {
	switch n := program.Bare(node).(type) {
	case *ast.IdentifierNode:
		slot, isField := t.slots.Of(n.Value)
		switch {
		case isField:
			return t.field(slot)
		case n.Value == "line":
			return wholeLine{}
		case n.Value == "file" || n.Value == "source":
			return name{}
		}
	case *ast.StringNode:
		return constant{n.Value}
	case *ast.IntegerNode:
		return constant{n.Value}
	case *ast.FloatNode:
		return constant{n.Value}
	case *ast.BoolNode:
		return constant{n.Value}
	case *ast.NilNode:
		return constant{nil}
	case *ast.BinaryNode:
		if n.Operator == "??" {
			return orElse{t.operand(n.Left), t.operand(n.Right)}
		}
	case *ast.BuiltinNode:
		if (n.Name == "lower" || n.Name == "upper") && isLine(n.Arguments[0]) {
			return cased(n.Name)
		}
	case *ast.CallNode:
		switch program.Callee(n) {
		case "__int":
			return number{of: t.operand(n.Arguments[0]), whole: true}
		case "__float":
			return number{of: t.operand(n.Arguments[0])}
		case "__extract":
			if c, isConstant := n.Arguments[1].(*ast.ConstantNode); isConstant {
				return extracted{t.operand(n.Arguments[0]), c.Value.(*fields.Pattern)}
			}
		}
	}
	return other(t.parts(node))
}

func (t *translator) field(slot int) field { return field{slot, t.slots.Paths[slot]} }

// parts translates what a node is made of, without what it negates.
func (t *translator) parts(node ast.Node) []Marker {
	var nodes []ast.Node
	switch n := program.Bare(node).(type) {
	case *ast.BinaryNode:
		if n.Operator != "!=" {
			nodes = []ast.Node{n.Left, n.Right}
		}
	case *ast.CallNode:
		nodes = n.Arguments
	case *ast.BuiltinNode:
		nodes = n.Arguments
	case *ast.ConditionalNode:
		nodes = []ast.Node{n.Cond, n.Exp1, n.Exp2}
	}
	var parts []Marker
	for _, n := range nodes {
		parts = append(parts, t.marker(n))
	}
	return parts
}

// marker translates a part of either kind.
func (t *translator) marker(node ast.Node) Marker {
	switch n := program.Bare(node).(type) {
	case *ast.UnaryNode:
		return t.condition(n)
	case *ast.BinaryNode:
		if n.Type().Kind() == reflect.Bool {
			return t.condition(n)
		}
	case *ast.CallNode:
		switch program.Callee(n) {
		case "__bool", "__in", "__less", "__lessOrEqual", "__more", "__moreOrEqual":
			return t.condition(n)
		}
	}
	return t.operand(node)
}

// reason returns why nothing can be derived from a node without a condition.
func (t *translator) reason(node ast.Node) string {
	switch n := program.Bare(node).(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "contains", "startsWith", "endsWith", "matches":
			return noText
		}
	case *ast.CallNode:
		if program.Callee(n) == "__any" {
			return t.reason(n.Arguments[0])
		}
	case *ast.ConditionalNode:
		return "what comes after `?` is not searched for; write it with `and` and `or`"
	case *ast.VariableDeclaratorNode:
		return "what comes after `let` is not searched for"
	case *ast.BuiltinNode:
		if len(n.Arguments) == 2 {
			if _, loop := n.Arguments[1].(*ast.PredicateNode); loop {
				return "what is in a loop is not searched for; write it with `or`, or `in`"
			}
		}
	}
	return noSearch
}

func isLine(n ast.Node) bool {
	id, ok := n.(*ast.IdentifierNode)
	return ok && id.Value == "line"
}
