package remedy

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// doubt notes what is allowed at a node, and cannot be what somebody meant.
func (v *Inspection) doubt(node ast.Node) {
	switch n := node.(type) {
	case *ast.BuiltinNode:
		v.doubtLoop(n)
	case *ast.BinaryNode:
		switch text, _ := n.Right.(*ast.StringNode); {
		case n.Operator == "and" || n.Operator == "&&":
			v.doubtBoth(n.Left, n.Right)
		case text == nil:
		case n.Operator == "==" || n.Operator == "contains" || n.Operator == "startsWith" || n.Operator == "endsWith":
			v.doubtLetters(n, text)
			v.doubtPattern(n, text)
		}
	}
}

func (v *Inspection) warnAt(node ast.Node, message, hint string) {
	v.Warnings = append(v.Warnings, Mistake{node.Location().From, message, hint})
}

// doubtLoop warns of functions that go through a list, with one argument.
func (v *Inspection) doubtLoop(n *ast.BuiltinNode) {
	if len(n.Arguments) != 1 || !ofFields(n.Arguments[0]) {
		return
	}
	path := n.Arguments[0].String()
	switch n.Name {
	case "count":
		v.warnAt(n, "count without a condition counts the elements that are true", "write items("+path+")")
	case "sum", "mean", "median", "min", "max":
		list, name, ok := cutLast(path)
		if !ok || !strings.HasSuffix(list, "s") || strings.HasSuffix(name, "s") {
			return
		}
		elements := fmt.Sprintf("map(%s, .%s)", list, name)
		v.warnAt(n, fmt.Sprintf("if %s is a list, it has no field %q: its elements have", list, name), fmt.Sprintf("write %s(%s)", n.Name, elements))
	}
}

// cutLast splits a path such as fields.items.price before its last name.
func cutLast(path string) (list, name string, ok bool) {
	i := strings.LastIndex(path, ".")
	if i < 0 || strings.Count(path, ".") < 2 || strings.ContainsAny(path[i:], "[]?") {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}

// doubtBoth warns if one value must be two texts.
func (v *Inspection) doubtBoth(left, right ast.Node) {
	wanted, ok := right.(*ast.BinaryNode)
	if !ok || wanted.Operator != "==" {
		return
	}
	text, ok := wanted.Right.(*ast.StringNode)
	if !ok {
		return
	}
	var look func(ast.Node) bool
	look = func(n ast.Node) bool {
		b, ok := n.(*ast.BinaryNode)
		if !ok {
			return false
		}
		if b.Operator == "and" || b.Operator == "&&" {
			return look(b.Left) || look(b.Right)
		}
		other, ok := b.Right.(*ast.StringNode)
		return ok && b.Operator == "==" && b.Left.String() == wanted.Left.String() && other.Value != text.Value
	}
	if look(left) {
		v.warnAt(right, fmt.Sprintf("%s cannot be two texts at once, so the condition is never true", wanted.Left), fmt.Sprintf(`write in: %s in ["x", "y"]`, wanted.Left))
	}
}

// doubtLetters warns of a text that lower, upper or trim never return.
func (v *Inspection) doubtLetters(n *ast.BinaryNode, text *ast.StringNode) {
	b, ok := n.Left.(*ast.BuiltinNode)
	if !ok || len(b.Arguments) != 1 {
		return
	}
	change, ok := map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper}[b.Name]
	if b.Name == "trim" && n.Operator == "==" {
		change, ok = strings.TrimSpace, true
	}
	if ok && change(text.Value) != text.Value {
		v.warnAt(text, fmt.Sprintf("%s never returns this text", b.Name), fmt.Sprintf("write %q", change(text.Value)))
	}
}

// doubtPattern warns of a pattern where a text is compared as it is.
func (v *Inspection) doubtPattern(n *ast.BinaryNode, text *ast.StringNode) {
	s := text.Value
	if !strings.HasPrefix(s, "^") && !(len(s) > 1 && strings.HasSuffix(s, "$")) && !patternPart.MatchString(s) {
		return
	}
	pattern := s
	switch {
	case n.Operator == "startsWith" && !strings.HasPrefix(s, "^"):
		pattern = "^" + s
	case n.Operator == "endsWith" && !strings.HasSuffix(s, "$"):
		pattern = s + "$"
	}
	if _, err := regexp.Compile(pattern); err != nil || strings.Contains(pattern, "`") {
		return
	}
	v.warnAt(text, fmt.Sprintf("%s takes the text as it is, and this looks like a pattern", n.Operator), fmt.Sprintf("write %s matches `%s`", n.Left, pattern))
}

// patternPart is a part of a pattern that hardly occurs in a text.
var patternPart = regexp.MustCompile(`\.[*+]|\\[dDwWsSb]`)

// numberRange is a range of numbers as people write it. Here it is a subtraction.
var numberRange = regexp.MustCompile(`\bin\s*\[\s*(\d+)\s*-\s*(\d+)\s*\]`)

// doubtRange warns of a range that is a subtraction.
func doubtRange(masked string) []Mistake {
	m := numberRange.FindStringSubmatchIndex(masked)
	if m == nil {
		return nil
	}
	from, to := masked[m[2]:m[3]], masked[m[4]:m[5]]
	return []Mistake{{utf8.RuneCountInString(masked[:m[2]]), from + "-" + to + " is a subtraction here", "write in " + from + ".." + to}}
}
