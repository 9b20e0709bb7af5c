package rules

import (
	"bytes"
	"regexp"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/meterlog/meterlog/internal/fields"
)

// verdict is what a native condition comes to.
type verdict int8

const (
	no verdict = iota
	yes
	unsure // the expression's program must say, or fail
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// native is a condition, or the first parts of one, without the virtual
// machine. It is unsure rather than wrong: of what it does not know, and where
// an expression would fail.
type native func(m *Matcher) verdict

// newNative translates what can be translated of a condition. It returns nil
// where that is nothing.
func newNative(node ast.Node, slots *slotTable) native {
	t := translator{slots}
	return t.condition(node)
}

type translator struct{ slots *slotTable }

// slot is the field that a node names, or -1.
func (t translator) slot(node ast.Node) int {
	if id, ok := node.(*ast.IdentifierNode); ok {
		if i, ok := t.slots.index[id.Value]; ok {
			return i
		}
	}
	return -1
}

func (t translator) condition(node ast.Node) native {
	switch n := node.(type) {
	case *ast.BoolNode:
		constant := verdictOf(n.Value)
		return func(*Matcher) verdict { return constant }
	case *ast.IdentifierNode:
		return t.truth(n)
	case *ast.UnaryNode:
		if inner := t.condition(n.Node); inner != nil && (n.Operator == "not" || n.Operator == "!") {
			return func(m *Matcher) verdict {
				switch inner(m) {
				case no:
					return yes
				case yes:
					return no
				}
				return unsure
			}
		}
	case *ast.BinaryNode:
		return t.binary(n)
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			return nil
		}
		switch callee.Value {
		case "__bool":
			return t.condition(n.Arguments[0])
		case "__in":
			return t.in(n.Arguments[0], n.Arguments[1])
		case "__less", "__lessOrEqual", "__more", "__moreOrEqual":
			return t.order(callee.Value, n.Arguments[0], n.Arguments[1])
		}
	}
	return nil
}

func (t translator) binary(n *ast.BinaryNode) native {
	switch n.Operator {
	case "and", "&&", "or", "||":
		left, right := t.condition(n.Left), t.condition(n.Right)
		if left == nil {
			return nil
		}
		if right == nil {
			right = func(*Matcher) verdict { return unsure }
		}
		decided := verdictOf(n.Operator == "or" || n.Operator == "||") // what the left side alone decides
		return func(m *Matcher) verdict {
			if v := left(m); v == decided || v == unsure {
				return v
			}
			return right(m)
		}
	case "contains":
		return t.textual(n, bytes.Contains)
	case "startsWith":
		return t.textual(n, bytes.HasPrefix)
	case "endsWith":
		return t.textual(n, bytes.HasSuffix)
	case "matches":
		if pattern, ok := n.Right.(*ast.StringNode); ok {
			if re, err := regexp.Compile(pattern.Value); err == nil {
				return t.text(n.Left, re.Match)
			}
		}
	case "==":
		return t.equal(n)
	case "!=":
		if equal := t.equal(n); equal != nil {
			return func(m *Matcher) verdict {
				switch equal(m) {
				case no:
					return yes
				case yes:
					return no
				}
				return unsure
			}
		}
	case "in":
		return t.in(n.Left, n.Right)
	}
	return nil
}

func (t translator) textual(n *ast.BinaryNode, is func(text, part []byte) bool) native {
	part, ok := n.Right.(*ast.StringNode)
	if !ok {
		return nil
	}
	constant := []byte(part.Value)
	return t.text(n.Left, func(text []byte) bool { return is(text, constant) })
}

// text is a condition on a text: false of nil, failing of other kinds.
func (t translator) text(node ast.Node, is func([]byte) bool) native {
	if isLine(node) {
		return func(m *Matcher) verdict { return verdictOf(is(m.line.text)) }
	}
	slot := t.slot(node)
	if slot < 0 {
		return nil
	}
	return func(m *Matcher) verdict {
		switch f := m.span(slot); {
		case f.Missing():
			return no
		case f.Plain:
			return verdictOf(is(f.Text(m.line.text)))
		}
		return unsure
	}
}

// asNumber is the field of which a node makes a whole number, or -1.
func (t translator) asNumber(node ast.Node) int {
	if isCall(node, "__int") {
		return t.slot(converted(node))
	}
	return -1
}

// compareText is compare for a field that is made a number: a text of nothing
// but digits is one, and a number that is written as a whole one.
func (t translator) compareText(slot int, is func(int) bool) native {
	return func(m *Matcher) verdict {
		f := m.span(slot)
		if f.Missing() {
			return no
		}
		if f.Kind == '"' && f.Plain {
			f.From, f.To = f.From+1, f.To-1
		}
		if f.Kind == '0' || f.Plain && f.From < f.To {
			if n, ok := f.Number(m.line.text); ok {
				return verdictOf(is(n))
			}
		}
		return unsure
	}
}

func (t translator) equal(n *ast.BinaryNode) native {
	if slot, constant := t.asNumber(n.Left), wholeConstant(n.Right); slot >= 0 && constant != nil {
		return t.compareText(slot, func(n int) bool { return n == constant.Value })
	}
	left, right := n.Left, n.Right
	if t.slot(left) < 0 && !isLine(left) {
		left, right = right, left
	}
	slot := t.slot(left)
	if slot < 0 && !isLine(left) {
		return nil
	}
	switch constant := right.(type) {
	case *ast.StringNode:
		want := []byte(constant.Value)
		if slot < 0 {
			return func(m *Matcher) verdict { return verdictOf(bytes.Equal(m.line.text, want)) }
		}
		return func(m *Matcher) verdict {
			switch f := m.span(slot); {
			case f.Plain:
				return verdictOf(bytes.Equal(f.Text(m.line.text), want))
			case f.Kind == '"' || f.Kind == 'v':
				return unsure
			}
			return no
		}
	case *ast.NilNode:
		if slot >= 0 {
			return func(m *Matcher) verdict { return verdictOf(m.span(slot).Missing()) }
		}
	case *ast.BoolNode:
		want := byte('f')
		if constant.Value {
			want = 't'
		}
		if slot >= 0 {
			return func(m *Matcher) verdict { return verdictOf(m.span(slot).Kind == want) }
		}
	case *ast.IntegerNode:
		if slot >= 0 {
			return t.compare(slot, func(n int) bool { return n == constant.Value }, no)
		}
	}
	return nil
}

// compare is a condition on a field that is a number. It is false where the
// field is nil, and comes to other where it is of another kind.
func (t translator) compare(slot int, is func(int) bool, other verdict) native {
	return func(m *Matcher) verdict {
		switch f := m.span(slot); {
		case f.Missing():
			return no
		case f.Kind == '0':
			if n, ok := f.Number(m.line.text); ok {
				return verdictOf(is(n))
			}
			return unsure
		}
		return other
	}
}

func wholeConstant(node ast.Node) *ast.IntegerNode {
	constant, _ := node.(*ast.IntegerNode)
	return constant
}

func (t translator) order(name string, left, right ast.Node) native {
	constant := wholeConstant(right)
	if constant == nil {
		return nil
	}
	bound := constant.Value
	is := map[string]func(int) bool{
		"__less":        func(n int) bool { return n < bound },
		"__lessOrEqual": func(n int) bool { return n <= bound },
		"__more":        func(n int) bool { return n > bound },
		"__moreOrEqual": func(n int) bool { return n >= bound },
	}
	if slot := t.asNumber(left); slot >= 0 {
		return t.compareText(slot, is[name])
	}
	if slot := t.slot(left); slot >= 0 {
		return t.compare(slot, is[name], unsure)
	}
	return nil
}

// in is for a list of constant strings.
func (t translator) in(left, right ast.Node) native {
	constant, ok := right.(*ast.ConstantNode)
	slot := t.slot(left)
	if !ok || slot < 0 && !isLine(left) {
		return nil
	}
	var list []string
	switch values := constant.Value.(type) {
	case map[string]struct{}:
		for v := range values {
			list = append(list, v)
		}
	case []any:
		for _, v := range values {
			s, ok := v.(string)
			if !ok {
				return nil
			}
			list = append(list, s)
		}
	default:
		return nil
	}
	if slot < 0 {
		return func(m *Matcher) verdict { return verdictOf(slices.Contains(list, fields.View(m.line.text))) }
	}
	return func(m *Matcher) verdict {
		switch f := m.span(slot); {
		case f.Plain:
			return verdictOf(slices.Contains(list, fields.View(f.Text(m.line.text))))
		case f.Kind == '"' || f.Kind == 'v':
			return unsure
		}
		return no
	}
}

// truth is a field where a truth is needed: nil is false.
func (t translator) truth(node ast.Node) native {
	slot := t.slot(node)
	if slot < 0 {
		return nil
	}
	return func(m *Matcher) verdict {
		switch f := m.span(slot); {
		case f.Missing() || f.Kind == 'f':
			return no
		case f.Kind == 't':
			return yes
		}
		return unsure
	}
}
