package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/remedy"
	"github.com/meterlog/meterlog/internal/rules"
	"gopkg.in/yaml.v3"
)

func (l *loader) readRules(top *object) {
	for _, item := range top.list("rules") {
		o := l.object(item, "a rule", ruleKeys)
		if o == nil {
			continue
		}
		l.config.AddRule(l.readRule(o))
	}
}

func (l *loader) readRule(o *object) *rules.Rule {
	o.require("name", "when", "sku_id")
	l.warnOfPlain(o)
	r := &rules.Rule{Pos: rules.Pos{Line: o.node.Line, Column: o.node.Column}, QuantityText: "1"}
	if r.ProductID = l.config.ProductID; o.values["product_id"] != nil {
		r.ProductID = l.id(o, "product_id")
	}
	table := isTable(o.values["sku_id"])
	if !table {
		if r.SKU = l.id(o, "sku_id"); strings.HasPrefix(r.SKU, "fields.") {
			at := o.at("sku_id")
			l.warnAt(at.Line, at.Column, "write a table: sku_id: {by: "+r.SKU+", map: {small: dn2a…, large: dn2b…}}", "%q is a text here, and no field", "sku_id")
		}
	}
	if r.Name = o.text("name", ""); r.Name != "" {
		node := o.at("name")
		switch first := l.names[r.Name]; {
		case !isOneLine(r.Name):
			l.fail(node, "", "a rule cannot be named %q", r.Name)
		case first != nil:
			l.fail(node, fmt.Sprintf("line %d has it already", first.Line), "duplicate rule name %q", r.Name)
		default:
			l.names[r.Name] = node
		}
	}
	l.readRuleSources(o, r)
	if node := o.values["when"]; node != nil {
		r.WhenText = node.Value
		r.When = l.expression(node, "when", r.Sources, l.config.Condition)
		l.checkFields(node, r, r.When)
	}
	l.readDecimals(o.values["decimals"], r)
	if r.Constant = meter.One(r.Decimals); o.values["quantity"] != nil {
		node := o.values["quantity"]
		r.QuantityText = node.Value
		l.readQuantity(node, r)
		l.checkFields(node, r, r.Quantity)
		if at, ok := r.Quantity.Division(); ok && r.Decimals == 0 {
			line, column := l.position(node, at)
			l.warnAt(line, column, "let `per` divide, which carries the rest: write `per: 1024` in a line of its own", "quantity: a division that leaves a rest is no whole number, and such a line counts nothing")
		}
	}
	if r.Per = meter.One(r.Decimals); o.values["per"] != nil {
		node := o.values["per"]
		n, ok := l.wholeNumber(node)
		switch {
		case !ok:
			l.fail(node, remedy.Number("per", node.Value), "\"per\" must be a whole number, not %s", valueOf(node))
		case n < 1:
			l.fail(node, "", "\"per\" must be at least 1: %s", node.Value)
		case n > maxPer/meter.One(r.Decimals):
			l.fail(node, "", "\"per\" must be at most %d: %s", maxPer/meter.One(r.Decimals), node.Value)
		default:
			r.Per = n * meter.One(r.Decimals)
		}
	}
	l.readMax(o.values["max"], r)
	l.readOnce(o.values["once"], r)
	l.readPeak(o, r)
	decimals := ""
	if r.Decimals > 0 {
		decimals = " to " + meter.Plural(int64(r.Decimals), "decimal")
	}
	r.Unit = fmt.Sprintf("quantity %s%s per %s of product %s", strings.Join(strings.Fields(r.QuantityText), " "), decimals, r.Text(r.Per), r.ProductID)
	if table {
		l.readTable(o.values["sku_id"], r)
	}
	return r
}

// readDecimals reads to how many decimal places a rule keeps amounts.
func (l *loader) readDecimals(node *yaml.Node, r *rules.Rule) {
	if node == nil {
		return
	}
	n, ok := l.wholeNumber(node)
	if !ok || n < 0 || n > meter.MaxDecimals {
		l.fail(node, "", "\"decimals\" must be a whole number from 0 to %d: %s", meter.MaxDecimals, valueOf(node))
		return
	}
	r.Decimals = int(n)
}

// decimal reads a number ≥ 0 in units of the last of these decimal places. It returns
// what is wrong with the node.
func (l *loader) decimal(node *yaml.Node, decimals int) (n int64, problem string) {
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!float" {
		n, err := rules.ParseDecimal(node.Value, decimals)
		if err != nil {
			return 0, err.Error()
		}
		return n, ""
	}
	n, ok := l.wholeNumber(node)
	switch {
	case !ok:
		return 0, "it is " + valueOf(node)
	case n < 0:
		return 0, "it is negative: " + node.Value
	case n > math.MaxInt64/meter.One(decimals):
		return 0, "it does not fit 63 bits: " + node.Value
	}
	return n * meter.One(decimals), ""
}

// readMax reads the most that one line may count.
func (l *loader) readMax(node *yaml.Node, r *rules.Rule) {
	if node == nil {
		return
	}
	n, problem := l.decimal(node, r.Decimals)
	whole, isWhole := l.wholeNumber(node)
	switch {
	case isWhole && whole < 1, problem == "" && n < 1:
		l.fail(node, "", "\"max\" must be above 0: %s", node.Value)
		return
	case problem != "" && r.Decimals == 0:
		l.fail(node, remedy.Number("max", node.Value), "\"max\" must be a whole number, not %s", valueOf(node))
		return
	case problem != "":
		l.fail(node, remedy.Number("max", node.Value), "\"max\" must be a number: %s", problem)
		return
	}
	constant, isConstant := r.Constant, r.Quantity == nil
	if !isConstant {
		constant, isConstant, _ = r.Quantity.Constant(r.Decimals)
	}
	if isConstant && constant > n {
		l.fail(node, "", "the quantity is always %s, and \"max\" is %s: the rule would never count", r.Text(constant), r.Text(n))
	}
	r.Max = n
}

// maxPer is the most that `per` may be: sums of two remainders fit 63 bits.
const maxPer = 1 << 62

// octal is how YAML 1.1 writes a number to the base of 8.
var octal = regexp.MustCompile(`^[-+]?0[0-9_]+$`)

// wholeNumber is a scalar that YAML takes for an integer.
func (l *loader) wholeNumber(node *yaml.Node) (int64, bool) {
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" {
		return 0, false
	}
	if octal.MatchString(node.Value) {
		l.fail(node, "write it without the 0 in front", "YAML takes %s for an octal number", node.Value)
		return 1, true
	}
	var n int64
	err := node.Decode(&n)
	return n, err == nil
}

// valueOf shows a node's value, for messages.
func valueOf(node *yaml.Node) string {
	if node.Kind == yaml.ScalarNode && node.Value != "" {
		return strconv.Quote(meter.Clip(node.Value, 40))
	}
	return describe(node)
}

func (l *loader) readRuleSources(o *object, r *rules.Rule) {
	names, nodes := o.texts("source")
	var known []string
	for _, s := range l.config.Sources {
		if s.Name != "" {
			known = append(known, s.Name)
		}
	}
	if o.values["source"] == nil {
		r.Sources = known
		return
	}
	for i, name := range names {
		switch {
		case !slices.Contains(known, name):
			l.fail(nodes[i], remedy.OneOf(name, known), "unknown source %q", name)
		case slices.Contains(r.Sources, name):
			l.fail(nodes[i], "", "source %q is named twice", name)
		default:
			r.Sources = append(r.Sources, name)
		}
	}
}

func (l *loader) readQuantity(node *yaml.Node, r *rules.Rule) {
	if node.Kind == yaml.ScalarNode {
		switch node.ShortTag() {
		case "!!int":
			n, ok := l.wholeNumber(node)
			switch {
			case !ok:
				l.fail(node, "", "\"quantity\" does not fit 63 bits: %s", node.Value)
			case n < 0:
				l.fail(node, "", "\"quantity\" must not be negative: %s", node.Value)
			case n == 0:
				l.zeroQuantity(node)
			}
			if n > math.MaxInt64/meter.One(r.Decimals) {
				l.fail(node, "", "\"quantity\" does not fit 63 bits: %s", node.Value)
			}
			r.Constant = n * meter.One(r.Decimals)
			return
		case "!!float":
			l.readFraction(node, r)
			return
		}
	}
	if r.Quantity = l.expression(node, "quantity", r.Sources, l.config.Quantity); r.Quantity == nil {
		return
	}
	n, constant, err := r.Quantity.Constant(r.Decimals)
	switch {
	case err != nil:
		l.fail(node, "write a number, or what a line has: fields.bytes", "quantity: it fails on every line: %v", err)
	case constant && n == 0:
		l.zeroQuantity(node)
	}
}

// readFraction reads a constant quantity with a point.
func (l *loader) readFraction(node *yaml.Node, r *rules.Rule) {
	n, problem := l.decimal(node, r.Decimals)
	switch {
	case r.Decimals == 0:
		l.fail(node, "with `decimals` fractions are kept, and with `per` several make one unit", "\"quantity\" must be a whole number: %s", node.Value)
	case problem != "":
		l.fail(node, "write it like 0.25, with at most "+meter.Plural(int64(r.Decimals), "decimal"), "\"quantity\" is no number ≥ 0 that is kept exactly: %s", problem)
	case n == 0:
		l.zeroQuantity(node)
	}
	r.Constant = n
}

func (l *loader) zeroQuantity(node *yaml.Node) {
	l.fail(node, "write how much a line counts, such as 1 or fields.bytes", "quantity: it is always 0, so the rule would never count")
}

// expression compiles a scalar. A boolean or number is an expression, too.
func (l *loader) expression(node *yaml.Node, key string, sources []string, compile func(string) (*rules.Expression, *remedy.Mistake)) *rules.Expression {
	switch {
	case node.Kind != yaml.ScalarNode:
		hint := "put an expression that begins with [ or { in quotes"
		if key == "key" && node.Kind == yaml.SequenceNode {
			hint = "join several values with +: key: 'fields.a + \" \" + fields.b'"
		}
		l.fail(node, hint, "%q must be an expression, not %s", key, describe(node))
		return nil
	case node.ShortTag() == "!!null":
		l.fail(node, "", "%q has no value", key)
		return nil
	}
	if l.tagged(node, key) {
		return nil
	}
	e, problem := compile(node.Value)
	if problem != nil && strings.Contains(problem.Hint, "a field is named fields.") && l.allText(sources) {
		problem.Hint = "a text is written in quotes; a part of the line is extract(line, `size=(\\d+)`)"
	}
	if problem != nil && problem.Unfinished() && l.commented(node, key) {
		return nil
	}
	if e != nil {
		for _, w := range e.Warnings {
			line, column := l.position(node, w.Offset)
			l.warnAt(line, column, w.Hint, "%s: %s", key, w.Message)
		}
	}
	if problem != nil {
		line, column := l.position(node, problem.Offset)
		l.failAt(line, column, problem.Hint, "%s: %s", key, problem.Message)
		return nil
	}
	return e
}

// allText reports whether all of the sources are text, without fields.
func (l *loader) allText(names []string) bool {
	return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return l.config.Source(name).Format != "text" })
}

// checkFields refuses an expression that cannot work with any of its rule's
// sources.
func (l *loader) checkFields(node *yaml.Node, r *rules.Rule, e *rules.Expression) {
	for _, mistake := range l.config.CheckFields(r, e) {
		line, column := l.position(node, mistake.Offset)
		l.failAt(line, column, mistake.Hint, "%s", mistake.Message)
	}
}
