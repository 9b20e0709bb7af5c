package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/remedy"
	"github.com/meterlog/meterlog/internal/rules"
)

var (
	testKeys        = []string{"name", "source", "lines", "file", "now", "expect", "expect_errors"}
	expectationKeys = []string{"units", "amount", "windows", "sku_id", "repeated"}
)

func (l *loader) readTests(top *object) {
	for _, item := range top.list("tests") {
		o := l.object(item, "a test", testKeys)
		if o == nil {
			continue
		}
		o.require("lines")
		if o.values["expect_errors"] == nil {
			o.require("expect")
		}
		t := Test{Name: o.text("name", ""), Pos: rules.Pos{Line: o.node.Line, Column: o.node.Column}}
		if o.values["name"] == nil {
			t.Name = fmt.Sprintf("test in line %d", o.node.Line)
		}
		t.Source = l.testSource(o)
		t.Lines = []byte(o.text("lines", ""))
		if node := o.values["lines"]; len(t.Lines) > 0 && strings.TrimSpace(string(t.Lines)) == "" {
			l.fail(node, "write the log's lines behind `|`, indented", "\"lines\" holds no line")
		}
		t.File = l.testFile(o, t.Source)
		t.Now = l.instant(o.values["now"], "\"now\"")
		t.Expect = l.readExpect(o.values["expect"])
		t.Errors = l.readExpectErrors(o.values["expect_errors"])
		l.config.Tests = append(l.config.Tests, t)
	}
}

// ruleNames returns the names of the rules.
func (l *loader) ruleNames() (names []string) {
	for _, r := range l.config.Rules {
		names = append(names, r.Name)
	}
	return names
}

func (l *loader) testSource(o *object) string {
	var known []string
	for _, s := range l.config.Sources {
		known = append(known, s.Name)
	}
	switch name := o.text("source", ""); {
	case name != "":
		if !slices.Contains(known, name) {
			l.fail(o.at("source"), remedy.OneOf(name, known), "unknown source %q", name)
		}
		return name
	case o.values["source"] == nil && len(known) == 1:
		return known[0]
	case o.values["source"] == nil && len(known) > 1:
		l.fail(o.node, "write `source:` with one of "+strings.Join(known, ", "), "there are several sources, so a test needs a \"source\"")
	}
	return ""
}

// testFile returns what `file` is in a test: by default the source's first path.
func (l *loader) testFile(o *object, source string) string {
	s := l.config.Source(source)
	if o.values["file"] == nil {
		if s != nil && len(s.Paths) > 0 {
			return s.Paths[0]
		}
		if s != nil && s.Stream() != "" {
			return s.Stream()
		}
		return "test"
	}
	if s != nil && s.Stream() != "" {
		l.fail(o.keys["file"], "remove it", "source %q has no files", source)
		return ""
	}
	name := o.text("file", "")
	path, err := filepath.Abs(name)
	if name == "" || err != nil {
		return name
	}
	if s != nil && len(s.Paths) > 0 && !s.Covers(path) {
		l.fail(o.at("file"), "name a file that its path matches: "+strings.Join(s.Paths, ", "), "source %q does not have the file %q", source, name)
	}
	return path
}

// instant reads a point in time.
func (l *loader) instant(node *yaml.Node, what string) time.Time {
	if node == nil {
		return time.Time{}
	}
	text, ok := l.text(node, what)
	if !ok {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		l.fail(node, "write it like 2026-01-31T12:00:00Z", "%s is not a time: %q", what, text)
	}
	return at
}

// expected returns the pairs of a rule and a number that a key of a test holds, or nil.
func (l *loader) expected(node *yaml.Node, key, unit string) *object {
	if node == nil {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		l.fail(node, "write {rule: "+unit+"}, such as {"+l.anyRule()+": 1}", "%q must be a mapping, not %s", key, describe(node))
		return nil
	}
	return l.object(node, key, nil)
}

func (l *loader) readExpect(node *yaml.Node) map[string]Expectation {
	pairs := l.expected(node, "expect", "units")
	if pairs == nil {
		return nil
	}
	expect := map[string]Expectation{}
	for name, value := range pairs.values {
		if !slices.Contains(l.ruleNames(), name) {
			l.fail(pairs.keys[name], remedy.OneOf(name, l.ruleNames()), "unknown rule %q", name)
			continue
		}
		expect[name] = l.readExpectation(name, value)
	}
	return expect
}

// anyRule returns the name of a rule, for examples.
func (l *loader) anyRule() string {
	if len(l.config.Rules) > 0 {
		return l.config.Rules[0].Name
	}
	return "rule"
}

func (l *loader) readExpectation(rule string, value *yaml.Node) Expectation {
	switch value.Kind {
	case yaml.SequenceNode:
		return l.readEachExpectation(rule, value)
	case yaml.ScalarNode:
		return Expectation{Units: l.natural(value, rule, "the number of units")}
	}
	o := l.object(value, "what a rule must count", expectationKeys)
	var e Expectation
	if node := o.values["units"]; node != nil {
		e.Units = l.natural(node, rule, "units")
	}
	if node := o.values["amount"]; node != nil {
		e.Amount = l.expectedAmount(node, rule)
	}
	if node := o.values["repeated"]; node != nil {
		e.Repeated = l.natural(node, rule, "repeated")
	}
	e.SKU = l.id(o, "sku_id")
	e.Windows = l.expectedWindows(o)
	if len(o.keys) == 0 && len(o.meant) == 0 {
		l.fail(value, "write at least {units: 1}", "rule %q: nothing is expected", rule)
	}
	return e
}

// readEachExpectation reads what a rule with a table must count under each SKU.
func (l *loader) readEachExpectation(rule string, list *yaml.Node) (e Expectation) {
	if len(list.Content) == 0 {
		l.fail(list, "write {"+rule+": 0} where it counts nothing", "rule %q: nothing is expected", rule)
	}
	for _, item := range flat(list) {
		one := l.readExpectation(rule, item)
		switch {
		case item.Kind != yaml.MappingNode:
			l.fail(item, "write {sku_id: dn2…, units: 1}", "rule %q: in a list each item must name its \"sku_id\"", rule)
		case one.SKU == "":
			l.fail(item, "write {sku_id: dn2…, units: 1}", "rule %q: in a list each item must name its \"sku_id\"", rule)
		case slices.ContainsFunc(e.Each, func(other Expectation) bool { return other.SKU == one.SKU }):
			l.fail(item, "", "rule %q: %s is in the list twice", rule, one.SKU)
		}
		e.Each = append(e.Each, one)
	}
	return e
}

// expectedAmount reads a sum of quantities, with the decimals of its rule.
func (l *loader) expectedAmount(node *yaml.Node, rule string) *int64 {
	decimals := 0
	if r := l.config.Rule(rule); r != nil {
		decimals = r.Decimals
	}
	n, problem := l.decimal(node, decimals)
	if problem != "" && decimals == 0 {
		return l.natural(node, rule, "amount")
	}
	if problem != "" {
		l.fail(node, "", "rule %q: amount must be a number ≥ 0: %s", rule, problem)
	}
	return &n
}

func (l *loader) expectedWindows(o *object) (windows []time.Time) {
	if o.values["windows"] == nil {
		return nil
	}
	_, nodes := o.texts("windows")
	for _, node := range nodes {
		at := l.instant(node, "a window")
		if at.IsZero() {
			continue
		}
		begin := meter.WindowAt(at, l.config.Interval).StartTime()
		if !at.Equal(begin) {
			l.fail(node, "write "+begin.Format(time.RFC3339), "no window begins at %s", node.Value)
		}
		windows = append(windows, begin)
	}
	slices.SortFunc(windows, time.Time.Compare)
	return slices.Compact(windows)
}

// natural reads a whole number that is not negative.
func (l *loader) natural(node *yaml.Node, rule, what string) *int64 {
	n, ok := l.wholeNumber(node)
	if !ok || n < 0 {
		l.fail(node, "", "rule %q: %s must be a whole number ≥ 0, not %s", rule, what, valueOf(node))
	}
	return &n
}

// expectableKinds are the anomalies of a source that a test may expect.
var expectableKinds = []string{string(meter.BadTimestamp), string(meter.NotParsed)}

func (l *loader) readExpectErrors(node *yaml.Node) map[string]int64 {
	pairs := l.expected(node, "expect_errors", "lines")
	if pairs == nil {
		return nil
	}
	known := append(l.ruleNames(), expectableKinds...)
	expect := map[string]int64{}
	for name, value := range pairs.values {
		if !slices.Contains(known, name) {
			l.fail(pairs.keys[name], remedy.OneOf(name, known), "unknown rule %q", name)
			continue
		}
		expect[name] = *l.natural(value, name, "the number of lines")
	}
	return expect
}
