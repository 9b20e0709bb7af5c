package config

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/meterlog/meterlog/internal/rules"
	"gopkg.in/yaml.v3"
)

// isTable reports whether the value of sku_id is a table.
func isTable(node *yaml.Node) bool { return node != nil && node.Kind == yaml.MappingNode }

// readTable reads the table that chooses a rule's SKU.
func (l *loader) readTable(node *yaml.Node, r *rules.Rule) {
	o := l.object(node, "sku_id", tableKeys)
	if o == nil {
		return
	}
	o.require("by", "map")
	var by *rules.Expression
	text := ""
	if node := o.values["by"]; node != nil {
		text = node.Value
		by = l.expression(node, "by", r.Sources, l.config.Value)
		l.checkFields(node, r, by)
		if by != nil && by.LooksAtNothing() {
			l.fail(node, "name what a line has: fields.size", "by: it is the same on every line")
		}
	}
	entries := l.readEntries(o.values["map"])
	others := ""
	if o.values["else"] != nil {
		others = l.id(o, "else")
	}
	if by != nil {
		r.SetTable(by, text, entries, others)
	}
}

func (l *loader) readEntries(node *yaml.Node) (entries []rules.Entry) {
	if node == nil {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		l.fail(node, "write {small: dn2…, large: dn2…}", "\"map\" must be a mapping of values to SKUs, not %s", describe(node))
		return nil
	}
	o := l.object(node, "map", nil)
	if len(o.keys) == 0 {
		l.fail(node, "write {small: dn2…, large: dn2…}", "\"map\" is empty")
	}
	names := slices.SortedFunc(maps.Keys(o.keys), func(a, b string) int {
		return cmp.Or(cmp.Compare(o.keys[a].Line, o.keys[b].Line), cmp.Compare(o.keys[a].Column, o.keys[b].Column))
	})
	known := make(map[string]bool)
	for _, name := range names {
		e := rules.Entry{Value: l.tableKey(o.keys[name], name), SKU: l.id(o, name)}
		if known[e.Value] {
			l.fail(o.keys[name], "", "the table has the value %q twice", e.Value)
		}
		known[e.Value] = true
		entries = append(entries, e)
	}
	return entries
}

// tableKey returns the value that a key of a table means. What YAML takes for
// a number must be written as a line's number is compared: in its shortest form.
func (l *loader) tableKey(key *yaml.Node, name string) string {
	key = resolve(key)
	shortest := name
	switch key.ShortTag() {
	case "!!null":
		l.fail(key, "lines without a value belong to `else`", "a value of the table has no text")
	case "!!bool":
		return strings.ToLower(name)
	case "!!int":
		var n int64
		if key.Decode(&n) == nil {
			shortest = strconv.FormatInt(n, 10)
		}
	case "!!float":
		var f float64
		if key.Decode(&f) == nil {
			shortest = strconv.FormatFloat(f, 'f', -1, 64)
		}
	}
	if shortest != name {
		l.fail(key, "write "+strconv.Quote(name)+" for the text, or "+shortest+" for the number", "YAML takes %s for the number %s", name, shortest)
	}
	return name
}
