package rules

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// Marks are the parts of the current line for which a rule counts it, and of
// which its quantity was made, as far as that can be told: byte ranges, in
// order, that do not touch. It may be called by the callback of [Matcher.Each]
// with the rule of the hit.
func (m *Matcher) Marks(r *Rule) [][2]int {
	f := finder{m: m}
	f.in(r.When.root)
	if r.Quantity != nil {
		f.in(r.Quantity.root)
	}
	slices.SortFunc(f.found, func(a, b [2]int) int { return cmp.Or(a[0]-b[0], a[1]-b[1]) })
	var marks [][2]int
	for _, part := range f.found {
		switch last := len(marks) - 1; {
		case part[0] == part[1]:
		case last >= 0 && part[0] <= marks[last][1]:
			marks[last][1] = max(marks[last][1], part[1])
		default:
			marks = append(marks, part)
		}
	}
	return marks
}

// finder collects the parts of the matcher's line that an expression speaks of.
type finder struct {
	m     *Matcher
	found [][2]int
}

// in looks through a tree, but for what is negated: that is not in the line.
func (f *finder) in(node ast.Node) {
	switch n := bare(node).(type) {
	case *ast.IdentifierNode:
		f.whole(n)
	case *ast.BinaryNode:
		f.binary(n)
	case *ast.CallNode:
		if re := extraction(n); re != nil {
			f.matched(n.Arguments[0], re, 1)
			return
		}
		for _, argument := range n.Arguments {
			f.in(argument)
		}
	case *ast.BuiltinNode:
		for _, argument := range n.Arguments {
			f.in(argument)
		}
	case *ast.ConditionalNode:
		f.in(n.Cond)
		f.in(n.Exp1)
		f.in(n.Exp2)
	}
}

func (f *finder) binary(n *ast.BinaryNode) {
	text, constant := n.Right.(*ast.StringNode)
	switch {
	case n.Operator == "!=":
	case constant && n.Operator == "contains":
		f.part(n.Left, func(s []byte) int { return bytes.Index(s, []byte(text.Value)) }, len(text.Value))
	case constant && n.Operator == "startsWith":
		f.part(n.Left, func(s []byte) int { return at(bytes.HasPrefix(s, []byte(text.Value)), 0) }, len(text.Value))
	case constant && n.Operator == "endsWith":
		f.part(n.Left, func(s []byte) int {
			return at(bytes.HasSuffix(s, []byte(text.Value)), len(s)-len(text.Value))
		}, len(text.Value))
	case constant && n.Operator == "==":
		f.part(n.Left, func(s []byte) int { return at(string(s) == text.Value, 0) }, len(text.Value))
	case constant && n.Operator == "matches":
		if re, err := regexp.Compile(text.Value); err == nil {
			f.matched(n.Left, re, 0)
		}
	default:
		f.in(n.Left)
		f.in(n.Right)
	}
}

func at(found bool, offset int) int {
	if found {
		return offset
	}
	return -1
}

// text is where the line has the text of a node: a field, or itself.
func (f *finder) text(node ast.Node) (from, to int, ok bool) {
	node = bare(node)
	if isLine(node) {
		return 0, len(f.m.line.text), true
	}
	id, ok := node.(*ast.IdentifierNode)
	if !ok {
		return 0, 0, false
	}
	slot, ok := f.m.set.slots.index[id.Value]
	if !ok {
		return 0, 0, false
	}
	s := f.m.span(slot)
	if s.Kind == '"' {
		return s.From + 1, s.To - 1, true
	}
	return s.From, s.To, !s.Missing()
}

// whole marks a field's value.
func (f *finder) whole(node *ast.IdentifierNode) {
	if from, to, ok := f.text(node); ok && !isLine(node) {
		f.found = append(f.found, [2]int{from, to})
	}
}

// part marks so many bytes where index finds them in a node's text.
func (f *finder) part(node ast.Node, index func([]byte) int, size int) {
	from, to, ok := f.text(node)
	if !ok {
		f.in(node)
		return
	}
	if i := index(f.m.line.text[from:to]); i >= 0 {
		f.found = append(f.found, [2]int{from + i, from + i + size})
	}
}

// matched marks what a group of a pattern matches in a node's text.
func (f *finder) matched(node ast.Node, re *regexp.Regexp, group int) {
	from, to, ok := f.text(node)
	if !ok {
		f.in(node)
		return
	}
	if m := re.FindSubmatchIndex(f.m.line.text[from:to]); m != nil && m[2*group] >= 0 {
		f.found = append(f.found, [2]int{from + m[2*group], from + m[2*group+1]})
	}
}
