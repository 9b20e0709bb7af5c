package rules

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/program"
)

// FirstField returns the first field that the expression names, as it would be
// written, or "".
func (e *Expression) FirstField() string {
	if len(e.Slots) == 0 {
		return ""
	}
	return fields.PathText(e.Table.Paths[e.Slots[0]])
}

// Division returns the place of a division whose result is the expression's own.
func (e *Expression) Division() (offset int, ok bool) {
	if e == nil {
		return 0, false
	}
	tree, err := parser.Parse(e.Text)
	if err != nil {
		return 0, false
	}
	b, ok := tree.Node.(*ast.BinaryNode)
	if !ok || b.Operator != "/" {
		return 0, false
	}
	return b.Location().From, true
}

// LooksAtNothing reports whether the expression is the same for every line of
// every file.
func (e *Expression) LooksAtNothing() bool {
	return !(e.Line || e.Source || e.File || e.Entry || e.WholeField || len(e.Slots) > 0)
}

// Constant returns what an expression comes to that looks at no line. ok is
// whether it is such a one. The error is why it fails every time.
func (e *Expression) Constant(decimals int) (quantity int64, ok bool, err error) {
	if !e.LooksAtNothing() {
		return 0, false, nil
	}
	v, err := program.NewMachine().Run(e.Program)
	if err == nil {
		quantity, err = toQuantity(v, decimals)
	}
	return quantity, true, err
}

// TrueOf reports whether a rule's condition is true of a line of the source.
func (m *Matcher) TrueOf(r *Rule, source string, line []byte) bool {
	p := m.plans[source]
	if p == nil {
		return false
	}
	m.env["file"] = ""
	if !m.begin(&reading{Block: meter.Block{Data: line}}, p, 0, len(line)) {
		return false
	}
	v, err := m.run(r.When)
	return err == nil && v == true
}

// Conjuncts are the parts of a condition that must all be true.
type Conjuncts []conjunct

// conjunct is one of them, as it is written: a whole, or an operator with a path
// on its left and a text on its right.
type conjunct struct {
	whole, left, operator, text string
	isText, isNil               bool // what is on the right
}

// Conjuncts returns the parts of the rule's condition, as it is written.
func (r *Rule) Conjuncts() Conjuncts {
	tree, err := parser.Parse(r.WhenText)
	if err != nil {
		return nil
	}
	var all Conjuncts
	var split func(ast.Node)
	split = func(n ast.Node) {
		b, ok := n.(*ast.BinaryNode)
		if ok && (b.Operator == "and" || b.Operator == "&&") {
			split(b.Left)
			split(b.Right)
			return
		}
		c := conjunct{whole: n.String()}
		if ok {
			c.left, c.operator = b.Left.String(), b.Operator
			_, c.isNil = b.Right.(*ast.NilNode)
			if text, ok := b.Right.(*ast.StringNode); ok {
				c.text, c.isText = text.Value, true
			}
		}
		all = append(all, c)
	}
	split(tree.Node)
	return all
}

// Include reports whether these parts are certainly true of a line if the others
// are. It does not find every such case.
func (c Conjuncts) Include(others Conjuncts) bool {
	for _, must := range c {
		if must.whole != "true" && !slices.ContainsFunc(others, must.follows) {
			return false
		}
	}
	return len(c) > 0
}

// follows reports whether a part is true wherever another is.
func (c conjunct) follows(given conjunct) bool {
	switch {
	case c.whole == given.whole:
		return true
	case c.left != given.left || !given.isText:
		return false
	case c.isNil:
		return c.operator == "!=" && slices.Contains([]string{"==", "contains", "startsWith", "endsWith", "matches"}, given.operator)
	case !c.isText:
		return false
	}
	switch c.operator {
	case "contains":
		return slices.Contains([]string{"==", "contains", "startsWith", "endsWith"}, given.operator) && strings.Contains(given.text, c.text)
	case "startsWith":
		return (given.operator == "==" || given.operator == "startsWith") && strings.HasPrefix(given.text, c.text)
	case "endsWith":
		return (given.operator == "==" || given.operator == "endsWith") && strings.HasSuffix(given.text, c.text)
	}
	return false
}
