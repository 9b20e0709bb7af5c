package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
)

// Warnings returns what in the expression is allowed and is likely a mistake.
func (e *Expression) Warnings() []Mistake { return e.warnings }

// textWarnings finds what the tree does not show.
func textWarnings(text string) (warnings []Mistake) {
	masked := mask(text)
	at := func(i int) int { return utf8.RuneCountInString(masked[:i]) }
	if i := strings.Index(masked, "//"); i >= 0 {
		warnings = append(warnings, Mistake{at(i), "// begins a comment: what follows is not part of the expression", "write / for a division, or take the comment away"})
	}
	if m := dateNumber.FindStringIndex(masked); m != nil {
		warnings = append(warnings, Mistake{at(m[0]), "a date without quotes is a subtraction: " + masked[m[0]:m[1]] + " is a number", `write it in quotes: "` + masked[m[0]:m[1]] + `"`})
	}
	return warnings
}

// ofFields reports whether a node is a field. Only the line tells its kind, so a
// field is without methods.
func ofFields(n ast.Node) bool {
	for {
		switch node := n.(type) {
		case *ast.MemberNode:
			n = node.Node
		case *ast.ChainNode:
			n = node.Node
		case *ast.IdentifierNode:
			return node.Value == "fields" || node.Value == "entry"
		default:
			return false
		}
	}
}

// methodOfField returns what is wrong with the call of a field's method, and what
// to write.
func methodOfField(field ast.Node, name string, arguments []ast.Node) (message, hint string) {
	message = fmt.Sprintf("a field has no method %q", name)
	operator := meantOperator(name)
	function := foreignFunctions[strings.ToLower(name)]
	switch {
	case operator != "" && len(arguments) == 1:
		hint = fmt.Sprintf("write %s %s %s", field, operator, arguments[0])
	case function != "":
		hint = fmt.Sprintf("write %s(%s)", function, field)
	case slices.Contains(functions, name):
		texts := []string{field.String()}
		for _, a := range arguments {
			texts = append(texts, a.String())
		}
		hint = fmt.Sprintf("write %s(%s)", name, strings.Join(texts, ", "))
	}
	return message, hint
}

// warn notes what is likely a mistake at a node.
func (v *inspection) warn(node ast.Node) {
	switch n := node.(type) {
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && id.Value == "extract" && len(n.Arguments) == 2 {
			v.swapped(n.Arguments[0], n.Arguments[1], "extract takes the text first, then the pattern", "write extract(%[2]s, `%[1]s`)")
			v.doubled(n.Arguments[1])
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "contains", "startsWith", "endsWith":
			v.swapped(n.Left, n.Right, n.Operator+" takes the text first, then the part that is looked for", "write %[2]s "+n.Operator+" %[1]q")
		case "<", ">", "<=", ">=":
			v.textOrder(n)
		case "matches":
			v.swapped(n.Left, n.Right, "matches takes the text first, then the pattern", "write %[2]s matches `%[1]s`")
			v.doubled(n.Right)
		}
	}
}

// textOrder warns of an order with a number in quotes, which is a text.
func (v *inspection) textOrder(n *ast.BinaryNode) {
	text, ok := n.Right.(*ast.StringNode)
	if !ok {
		return
	}
	if _, err := strconv.ParseFloat(text.Value, 64); err == nil {
		v.warnings = append(v.warnings, Mistake{text.Location().From, fmt.Sprintf("%q is a text, and texts are in the order of letters: \"1000\" comes before \"499\"", text.Value),
			fmt.Sprintf("write int(%s) %s %s", n.Left, n.Operator, text.Value)})
	}
}

// swapped warns of a constant text where a line's part is expected.
func (v *inspection) swapped(first, second ast.Node, message, hint string) {
	text, constant := first.(*ast.StringNode)
	if _, other := second.(*ast.StringNode); constant && !other {
		v.warnings = append(v.warnings, Mistake{first.Location().From, message + ": are the two swapped?", fmt.Sprintf(hint, text.Value, second.String())})
	}
}

// doubled warns of two backslashes before a letter that one would give a meaning.
func (v *inspection) doubled(pattern ast.Node) {
	if text, ok := pattern.(*ast.StringNode); ok {
		if part := DoubledBackslash(text.Value); part != "" {
			v.warnings = append(v.warnings, Mistake{pattern.Location().From, doubledMessage(part), "write " + part[1:]})
		}
	}
}

func doubledMessage(part string) string {
	return fmt.Sprintf("the pattern looks for a backslash: %s is one, and then the letter", part)
}

// DoubledBackslash returns the first `\\d`, or the like, of a pattern, or "".
func DoubledBackslash(pattern string) string { return doubledBackslash.FindString(pattern) }

var doubledBackslash = regexp.MustCompile(`\\\\[dDwWsSb]`)

// FirstField returns the first field that the expression names, as it would be
// written, or "".
func (e *Expression) FirstField() string {
	if len(e.slots) == 0 {
		return ""
	}
	return fields.PathText(e.table.paths[e.slots[0]])
}

// LooksAtNothing reports whether the expression is the same for every line of
// every file.
func (e *Expression) LooksAtNothing() bool {
	return !(e.line || e.source || e.file || e.entry || e.wholeField || len(e.slots) > 0)
}

// Constant returns what an expression comes to that looks at no line. ok is
// whether it is such a one. The error is why it fails every time.
func (e *Expression) Constant(decimals int) (quantity int64, ok bool, err error) {
	if !e.LooksAtNothing() {
		return 0, false, nil
	}
	m := &Matcher{env: map[string]any{}}
	m.env[budgetVariable] = &m.budget
	v, err := m.run(e)
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
