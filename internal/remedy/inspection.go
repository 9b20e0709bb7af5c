package remedy

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// Inspection finds what is not available, and what is likely a mistake, in an
// expression as it was written. It visits the expression's tree.
type Inspection struct {
	Problem  *Mistake  // the first one; nil if all is available
	Warnings []Mistake // what is allowed and is likely a mistake
}

// Inspect returns an inspection of an expression, with what the tree does not show.
func Inspect(text string) *Inspection { return &Inspection{Warnings: textWarnings(text)} }

func (v *Inspection) Visit(node *ast.Node) {
	if v.Problem != nil {
		return
	}
	v.warn(*node)
	v.doubt(*node)
	fail := func(message, hint string) {
		v.Problem = &Mistake{(*node).Location().From, message, hint}
	}
	switch n := (*node).(type) {
	case *ast.SequenceNode:
		v.Problem = &Mistake{n.Nodes[len(n.Nodes)-1].Location().From, "behind a ; only what follows would count", "join conditions with and, or"}
	case *ast.BuiltinNode:
		if message := unavailable[n.Name]; message != "" {
			fail(message, unavailableHint[n.Name])
		}
	case *ast.BinaryNode:
		if _, text := n.Right.(*ast.StringNode); text && n.Operator == "in" && n.Left.Type().Kind() == reflect.Interface {
			fail("in looks into a list, and this is a text", "write "+n.Left.String()+" in [\"a\", \"b\"], or contains")
		}
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			fail("$env is not available", "use line, fields, file and source by their names")
		}
	case *ast.CallNode:
		switch callee := n.Callee.(type) {
		case *ast.IdentifierNode:
		case *ast.MemberNode:
			name, ok := callee.Property.(*ast.StringNode)
			if !ok {
				fail("a method can only be called by its name", "")
			} else if ofFields(callee.Node) {
				fail(methodOfField(callee.Node, name.Value, n.Arguments))
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

// textWarnings finds what the tree does not show.
func textWarnings(text string) (warnings []Mistake) {
	masked := mask(text)
	at := func(i int) int { return utf8.RuneCountInString(masked[:i]) }
	if i := strings.Index(masked, "//"); i >= 0 {
		warnings = append(warnings, Mistake{at(i), "// begins a comment: what follows is not part of the expression", "let `per` divide, in a line of its own, or take the comment away"})
	}
	if m := dateNumber.FindStringIndex(masked); m != nil {
		warnings = append(warnings, Mistake{at(m[0]), "a date without quotes is a subtraction: " + masked[m[0]:m[1]] + " is a number", `write it in quotes: "` + masked[m[0]:m[1]] + `"`})
	}
	return append(warnings, doubtRange(masked)...)
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
func (v *Inspection) warn(node ast.Node) {
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
func (v *Inspection) textOrder(n *ast.BinaryNode) {
	text, ok := n.Right.(*ast.StringNode)
	if !ok {
		return
	}
	if _, err := strconv.ParseFloat(text.Value, 64); err == nil {
		v.Warnings = append(v.Warnings, Mistake{text.Location().From, fmt.Sprintf("%q is a text, and texts are in the order of letters: \"1000\" comes before \"499\"", text.Value),
			fmt.Sprintf("write int(%s) %s %s", n.Left, n.Operator, text.Value)})
	}
}

// swapped warns of a constant text where a line's part is expected.
func (v *Inspection) swapped(first, second ast.Node, message, hint string) {
	text, constant := first.(*ast.StringNode)
	if _, other := second.(*ast.StringNode); constant && !other {
		v.Warnings = append(v.Warnings, Mistake{first.Location().From, message + ": are the two swapped?", fmt.Sprintf(hint, text.Value, second.String())})
	}
}

// doubled warns of two backslashes before a letter that one would give a meaning.
func (v *Inspection) doubled(pattern ast.Node) {
	if text, ok := pattern.(*ast.StringNode); ok {
		if part := DoubledBackslash(text.Value); part != "" {
			v.Warnings = append(v.Warnings, Mistake{pattern.Location().From, doubledMessage(part), "write " + part[1:]})
		}
	}
}

func doubledMessage(part string) string {
	return fmt.Sprintf("the pattern looks for a backslash: %s is one, and then the letter", part)
}

// DoubledBackslash returns the first `\\d`, or the like, of a pattern, or "".
func DoubledBackslash(pattern string) string { return doubledBackslash.FindString(pattern) }

var doubledBackslash = regexp.MustCompile(`\\\\[dDwWsSb]`)

func hasMethods(t reflect.Type) bool {
	return t.Kind() != reflect.Interface && t.NumMethod() > 0
}
