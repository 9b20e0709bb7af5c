package rules

import (
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/search"
)

// deriver finds clauses for one format.
type deriver struct {
	format  string
	pattern *search.Clause // of format regexp: what a line must contain to have fields
	slots   *slotTable
}

func newDeriver(s *Source, slots *slotTable) *deriver {
	d := &deriver{format: s.Format, slots: slots}
	if s.Format == "regexp" && s.Pattern != nil {
		d.pattern = patternClause(s.Pattern.String(), nil)
	}
	return d
}

// Prefilter says how the lines are found on which the rule's condition is
// evaluated, where source has them: those that contain at least one of
// literals, or, where that is nil, every line, and why. A list that is empty
// but not nil means that no line of the source can match.
func (c *Set) Prefilter(r *Rule, source *Source) (literals []Literal, why string) {
	d := newDeriver(source, &c.slots)
	found := d.of(r.When.root)
	if found == nil {
		return nil, d.reason(r.When.root)
	}
	return told(found.Literals), ""
}

// Literal is a text that is searched for.
type Literal struct {
	Text    string
	AnyCase bool // in any mixture of small and capital letters; Text has small ones
}

// told is literals with one for all spellings of a text.
func told(literals []string) []Literal {
	spellings := map[string]int{}
	for _, l := range literals {
		spellings[string(lower([]byte(l)))]++
	}
	all := []Literal{}
	for _, l := range literals {
		text, letters := string(lower([]byte(l))), 0
		for i := range len(text) {
			letters += letter(text[i])
		}
		switch {
		case letters == 0 || spellings[text] != 1<<letters:
			all = append(all, Literal{l, false})
		case !slices.Contains(all, Literal{text, true}):
			all = append(all, Literal{text, true})
		}
	}
	return all
}

// lower makes the letters A to Z of a text small.
func lower(text []byte) []byte {
	for i, c := range text {
		if c-'A' < 26 {
			text[i] = c + 'a' - 'A'
		}
	}
	return text
}

// letter is 1 for a to z, else 0.
func letter(c byte) int {
	if c-'a' < 26 {
		return 1
	}
	return 0
}

// FieldNames are the names of fields that the rule's condition asks for, as they
// stand in the lines of source, where their format has names.
func (c *Set) FieldNames(r *Rule, source *Source) []string {
	var names []string
	for _, slot := range r.When.slots {
		for _, s := range c.slots.paths[slot] {
			name := s.Key
			if source.Format == "json" {
				name = `"` + name + `"`
			}
			written := verbatim(s.Key)
			if s.Index < 0 && len(written) == 1 && written[0] == s.Key && !slices.Contains(names, name) && (source.Format == "json" || source.Format == "logfmt") {
				names = append(names, name)
			}
		}
	}
	return names
}

// reason is why nothing could be derived from a condition, and what helps.
func (d *deriver) reason(node ast.Node) string {
	switch n := node.(type) {
	case *ast.UnaryNode:
		return "a negation requires no text"
	case *ast.BinaryNode:
		switch n.Operator {
		case "or", "||":
			if d.of(n.Left) == nil {
				return "one side of `or`: " + d.reason(n.Left)
			}
			return "one side of `or`: " + d.reason(n.Right)
		case "and", "&&":
			if d.of(n.Right) != nil {
				return "the first part of `and` may fail, so it is evaluated on every line; put the part first that looks for a text"
			}
			return d.reason(n.Left)
		case "contains", "startsWith", "endsWith", "matches", "==", "in":
			return "no text that a line must contain can be told from it"
		case "!=":
			return "a negation requires no text"
		}
	case *ast.CallNode:
		if isCall(n, "__bool") || isCall(n, "__any") {
			return d.reason(n.Arguments[0])
		}
	case *ast.ConditionalNode:
		return "what stands behind `?` is not searched for; write it with `and` and `or`"
	case *ast.VariableDeclaratorNode:
		return "what stands behind `let` is not searched for"
	case *ast.BuiltinNode:
		if len(n.Arguments) == 2 {
			if _, loop := n.Arguments[1].(*ast.PredicateNode); loop {
				return "what stands in a loop is not searched for; write it with `or`, or `in`"
			}
		}
	case *ast.BoolNode:
		return "it is always true"
	}
	return "it requires no text that could be searched for"
}

// of is what a line must contain for a condition to be true or to fail.
func (d *deriver) of(node ast.Node) *search.Clause {
	switch n := node.(type) {
	case *ast.BoolNode:
		if !n.Value {
			return &search.Clause{Weight: 1e9}
		}
	case *ast.IdentifierNode:
		return d.present(n)
	case *ast.CallNode:
		return d.call(n)
	case *ast.BuiltinNode:
		if len(n.Arguments) == 2 {
			switch n.Name {
			case "hasPrefix", "hasSuffix": // which fail where a field is nil
				if isLine(n.Arguments[0]) {
					return d.within(n.Arguments[0], n.Arguments[1])
				}
			}
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&":
			left := d.of(n.Left)
			if d.total(n.Left) {
				return search.Both(left, d.of(n.Right))
			}
			return left
		case "or", "||":
			return search.Either(d.of(n.Left), d.of(n.Right))
		case "contains", "startsWith", "endsWith":
			return d.within(n.Left, n.Right)
		case "matches":
			return d.matching(n.Left, n.Right)
		case "==":
			return search.Both(d.equal(n.Left, n.Right), d.equal(n.Right, n.Left))
		case "!=":
			return search.Both(d.unequal(n.Left, n.Right), d.unequal(n.Right, n.Left))
		case "in":
			return d.in(n.Left, n.Right)
		}
	}
	return nil
}

func (d *deriver) call(n *ast.CallNode) *search.Clause {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return nil
	}
	switch callee.Value {
	case "__bool":
		return d.of(n.Arguments[0])
	case "__less", "__lessOrEqual", "__more", "__moreOrEqual":
		// Where a side is nil they are false; the other side must not fail.
		var c *search.Clause
		if d.total(n.Arguments[1]) {
			c = d.present(n.Arguments[0])
		}
		if d.total(n.Arguments[0]) {
			c = search.Both(c, d.present(n.Arguments[1]))
		}
		return c
	case "__in":
		return d.in(n.Arguments[0], n.Arguments[1])
	}
	return nil
}

// path is the field that a node names, or nil.
func (d *deriver) path(n ast.Node) []fields.Step {
	if id, ok := n.(*ast.IdentifierNode); ok {
		if i, ok := d.slots.index[id.Value]; ok {
			return d.slots.paths[i]
		}
	}
	return nil
}

func isLine(n ast.Node) bool {
	id, ok := n.(*ast.IdentifierNode)
	return ok && id.Value == "line"
}

// converted is the argument of a node that makes a number of a field, or else
// the node itself.
func converted(n ast.Node) ast.Node {
	if isCall(n, "__int") || isCall(n, "__float") {
		return n.(*ast.CallNode).Arguments[0]
	}
	return n
}

// present is what a line must contain for a field not to be nil, or for what is
// no number to be met where it is to be made one.
func (d *deriver) present(n ast.Node) *search.Clause {
	path := d.path(converted(n))
	if path == nil {
		return nil
	}
	const common = 0.3 // names of fields stand in most lines
	var c *search.Clause
	switch d.format {
	case "text":
		return &search.Clause{Weight: 1e9}
	case "regexp":
		return d.pattern
	case "json":
		for _, s := range path {
			if s.Index < 0 {
				c = search.Both(c, jsonString(s.Key))
			}
		}
	case "logfmt":
		if len(path) > 1 {
			return &search.Clause{Weight: 1e9}
		}
		c = search.Require(path[0].Key)
	}
	if c == nil {
		return nil
	}
	return &search.Clause{Literals: c.Literals, Escaped: c.Escaped, Weight: c.Weight * common}
}

// jsonString is what a JSON text must contain to hold a string: the string in
// its quotes, or where it has characters that may be written otherwise, the
// best part between them. Any other may still be written as \u and four digits.
func jsonString(s string) *search.Clause {
	pieces := verbatim(s)
	literal := bestPiece(pieces)
	if len(pieces) == 1 && pieces[0] == s || s == "" {
		literal = `"` + s + `"`
	}
	c := search.Require(literal)
	if c != nil && s != "" {
		c.Escaped = true
	}
	return c
}

// verbatim cuts a text at the characters that a quoted string may write in
// more than one way, \u apart, or that stand for bytes which are not UTF-8.
func verbatim(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool {
		return r < ' ' || r == '"' || r == '\\' || r == '/' || r == utf8.RuneError
	})
}

func bestPiece(pieces []string) string {
	best := ""
	for _, p := range pieces {
		if best == "" || search.Rarity(p) > search.Rarity(best) {
			best = p
		}
	}
	return best
}

// quotable is what a line must contain for a text to be part of a logfmt
// value, which may be written with escapes.
func quotable(s string) *search.Clause {
	c := search.Require(bestPiece(verbatim(s)))
	if c != nil {
		c.Escaped = true
	}
	return c
}

// part is what a line must contain for a field to contain a text, or for the
// condition to fail because the field is no string, as it may be in JSON.
func (d *deriver) part(path []fields.Step, text string) *search.Clause {
	switch d.format {
	case "logfmt":
		return quotable(text)
	case "regexp":
		return search.Require(text)
	case "json":
		name := path[len(path)-1].Key
		if pieces := verbatim(name); len(pieces) != 1 || pieces[0] != name {
			return nil
		}
		c := quotable(text)
		if c != nil {
			c.Guards = []string{`"` + name + `"`}
		}
		return c
	}
	return nil
}

// within is for `left contains right` and its kin.
func (d *deriver) within(left, right ast.Node) *search.Clause {
	text, ok := right.(*ast.StringNode)
	switch {
	case !ok:
		return nil
	case isLine(left):
		return search.Require(text.Value)
	case isCased(left):
		return caseless(text.Value, thirdForms[left.(*ast.BuiltinNode).Name], search.Require)
	}
	if left = beforeDefault(left, text.Value); d.path(left) == nil {
		return nil
	}
	return search.Both(d.present(left), d.part(d.path(left), text.Value))
}

// beforeDefault is a, where a node is `a ?? "constant"` and the constant does
// not hold a text: then only a can.
func beforeDefault(n ast.Node, text string) ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "??" {
		if constant, ok := b.Right.(*ast.StringNode); ok && !strings.Contains(constant.Value, text) {
			return b.Left
		}
	}
	return n
}

// thirdForms are the letters, by what is done with them, which characters
// beyond ASCII become, too: the Kelvin sign k, the long s s, i without or with
// a dot i.
var thirdForms = map[string]string{"lower": "ki", "upper": "si", "(?i)": "ks"}

// isCased reports whether a node is lower(line) or upper(line).
func isCased(n ast.Node) bool {
	call, ok := n.(*ast.BuiltinNode)
	return ok && (call.Name == "lower" || call.Name == "upper") && isLine(call.Arguments[0])
}

// maxCased bounds the letters of which all spellings are searched for.
const maxCased = 5

// caseless is a clause for a text in any mixture of small and capital letters:
// all spellings of its best part without letters that have a third form.
func caseless(text, third string, part func(string) *search.Clause) *search.Clause {
	small := lower([]byte(text))
	best, bestBits := "", 0.0
	for from := range small {
		letters := 0
		for to := from; to < len(small) && small[to] < utf8.RuneSelf && strings.IndexByte(third, small[to]) < 0; to++ {
			if letters += letter(small[to]); letters > maxCased {
				break
			}
			if bits := search.Rarity(string(small[from:to+1])) - float64(letters); bits > bestBits {
				best, bestBits = string(small[from:to+1]), bits
			}
		}
	}
	if best == "" {
		return nil
	}
	spellings := []string{""}
	for i := range len(best) {
		for j, s := range spellings {
			spellings[j] = s + best[i:i+1]
			if letter(best[i]) == 1 {
				spellings = append(spellings, s+strings.ToUpper(best[i:i+1]))
			}
		}
	}
	c := &search.Clause{Weight: 1e9}
	for _, s := range spellings {
		c = search.Either(c, part(s))
	}
	return c
}

// matching is for `left matches right`.
func (d *deriver) matching(left, right ast.Node) *search.Clause {
	pattern, ok := right.(*ast.StringNode)
	switch {
	case !ok:
		return nil
	case isLine(left):
		return patternClause(pattern.Value, nil)
	case d.path(left) == nil:
		return nil
	}
	part := func(text string) *search.Clause { return d.part(d.path(left), text) }
	return search.Both(d.present(left), patternClause(pattern.Value, part))
}

// equal is for `left == right` where right is a constant.
func (d *deriver) equal(left, right ast.Node) *search.Clause {
	if text, ok := right.(*ast.StringNode); ok {
		if isLine(left) {
			return search.Require(text.Value)
		}
		if re := extraction(left); re != nil && isLine(left.(*ast.CallNode).Arguments[0]) && text.Value != "" {
			return search.Both(search.Require(text.Value), patternClause(re.String(), nil))
		}
		if left = beforeDefault(left, text.Value); d.path(left) == nil {
			return nil
		}
		c := d.present(left)
		if d.format == "json" {
			return search.Both(c, jsonString(text.Value))
		}
		return search.Both(c, d.part(d.path(left), text.Value))
	}
	switch right.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return d.present(left)
	}
	return nil
}

// unequal is for `left != nil`, and for `extract(...) != ""`.
func (d *deriver) unequal(left, right ast.Node) *search.Clause {
	if _, ok := right.(*ast.NilNode); ok {
		return d.present(left)
	}
	if text, ok := right.(*ast.StringNode); ok && text.Value == "" {
		if re := extraction(left); re != nil && isLine(left.(*ast.CallNode).Arguments[0]) {
			return patternClause(re.String(), nil)
		}
	}
	return nil
}

// extraction is the pattern of a node that is an extract with a constant one.
func extraction(n ast.Node) *regexp.Regexp {
	call, ok := n.(*ast.CallNode)
	if !ok {
		return nil
	}
	callee, ok := call.Callee.(*ast.IdentifierNode)
	if !ok || callee.Value != "__extract" {
		return nil
	}
	constant, ok := call.Arguments[1].(*ast.ConstantNode)
	if !ok {
		return nil
	}
	re, _ := constant.Value.(*regexp.Regexp)
	return re
}

// in is for `left in [...]` with constants.
func (d *deriver) in(left, right ast.Node) *search.Clause {
	constant, ok := right.(*ast.ConstantNode)
	if !ok {
		return nil
	}
	var values []any
	switch list := constant.Value.(type) {
	case map[string]struct{}:
		for s := range list {
			values = append(values, s)
		}
	case []any:
		values = list
	default:
		return nil
	}
	all := &search.Clause{Weight: 1e9}
	for _, v := range values {
		var node ast.Node
		switch v := v.(type) {
		case string:
			node = &ast.StringNode{Value: v}
		case int:
			node = &ast.IntegerNode{Value: v}
		case float64:
			node = &ast.FloatNode{Value: v}
		case bool:
			node = &ast.BoolNode{Value: v}
		default:
			return nil
		}
		all = search.Either(all, d.equal(left, node))
	}
	return all
}

// total reports whether a node comes to a value on every line: it cannot fail.
func (d *deriver) total(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.NilNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.ConstantNode, *ast.IdentifierNode:
		return true
	case *ast.UnaryNode:
		return (n.Operator == "not" || n.Operator == "!") && n.Node.Type() == boolType && d.total(n.Node)
	case *ast.BinaryNode:
		if !d.total(n.Left) || !d.total(n.Right) {
			return false
		}
		switch n.Operator {
		case "==", "!=", "??":
			return true
		case "and", "&&", "or", "||":
			return n.Left.Type() == boolType && n.Right.Type() == boolType
		case "contains", "startsWith", "endsWith", "matches":
			_, constant := n.Right.(*ast.StringNode)
			return constant && d.text(n.Left)
		case "in":
			constant, ok := n.Right.(*ast.ConstantNode)
			if !ok {
				return false
			}
			_, isMap := constant.Value.(map[string]struct{})
			return isMap && n.Left.Type().Kind() == reflect.String
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && id.Value == "__in" {
			return d.total(n.Arguments[0]) && d.total(n.Arguments[1])
		}
		if extraction(n) != nil {
			return d.text(n.Arguments[0])
		}
	}
	return false
}

// text reports whether a node is a string or nil on every line.
func (d *deriver) text(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.StringNode:
		return true
	case *ast.IdentifierNode:
		return n.Value == "line" || n.Value == "file" || n.Value == "source" || d.path(n) != nil && d.format != "json"
	}
	return isCased(n) || extraction(n) != nil && d.total(n)
}

// patternClause is what a text must contain for a regular expression to match
// it. A literal is turned into a clause by part, or else stands for itself.
func patternClause(pattern string, part func(string) *search.Clause) *search.Clause {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	if part == nil {
		part = search.Require
	}
	return syntaxClause(re.Simplify(), part)
}

func syntaxClause(re *syntax.Regexp, part func(string) *search.Clause) *search.Clause {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return caseless(string(re.Rune), thirdForms["(?i)"], part)
		}
		pieces := strings.FieldsFunc(string(re.Rune), func(r rune) bool { return r == utf8.RuneError })
		return part(bestPiece(pieces))
	case syntax.OpCapture, syntax.OpPlus:
		return syntaxClause(re.Sub[0], part)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return syntaxClause(re.Sub[0], part)
		}
	case syntax.OpConcat:
		var c *search.Clause
		for _, sub := range re.Sub {
			c = search.Both(c, syntaxClause(sub, part))
		}
		return c
	case syntax.OpAlternate:
		c := syntaxClause(re.Sub[0], part)
		for _, sub := range re.Sub[1:] {
			c = search.Either(c, syntaxClause(sub, part))
		}
		return c
	}
	return nil
}
