package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/meterlog/meterlog/internal/remedy"
	"gopkg.in/yaml.v3"
)

// document is a YAML file being read, with the problems found until now. Reading
// goes on after a problem, so that all are found at once.
type document struct {
	name     string
	lines    []string
	problems Problems
	warnings Problems
	told     map[Problem]bool // problems and warnings, without their excerpts
	more     int              // problems beyond maxProblems
}

// maxProblems is how many problems of a file are reported. A file with more of them
// is some other file.
const maxProblems = 200

// fail notes a problem at a node.
func (d *document) fail(node *yaml.Node, hint, format string, args ...any) {
	d.failAt(node.Line, node.Column, hint, format, args...)
}

func (d *document) failAt(line, column int, hint, format string, args ...any) {
	p, isNew := d.problem(line, column, hint, fmt.Sprintf(format, args...))
	switch {
	case !isNew:
	case len(d.problems) >= maxProblems:
		d.more++
	default:
		d.problems = append(d.problems, p)
	}
}

// warnAt notes something that is allowed and likely a mistake.
func (d *document) warnAt(line, column int, hint, format string, args ...any) {
	if p, isNew := d.problem(line, column, hint, fmt.Sprintf(format, args...)); isNew && len(d.warnings) < maxProblems {
		d.warnings = append(d.warnings, p)
	}
}

// problem returns a problem with its excerpt, and whether nobody noted it
// before: aliases and merged mappings repeat what they hold.
func (d *document) problem(line, column int, hint, message string) (p Problem, isNew bool) {
	p = Problem{File: d.name, Line: line, Column: column, Message: message, Hint: hint}
	if d.told[p] {
		return p, false
	}
	if d.told == nil {
		d.told = make(map[Problem]bool)
	}
	d.told[p] = true
	p.Excerpt = excerpt(d.lines, line, column)
	return p, true
}

// lineEnds are what ends a line for the YAML parser, which counts them.
var lineEnds = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

// parse reads the file's one YAML document. It returns nil after a problem.
func (d *document) parse(text []byte) *yaml.Node {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	d.lines = lineEnds.Split(string(text), -1)
	for i, line := range d.lines {
		if at := invalidUTF8(line); at >= 0 {
			d.failAt(i+1, utf8.RuneCountInString(line[:at])+1, "save it as UTF-8", "the file is not UTF-8")
			return nil
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root, second yaml.Node
	err := decoder.Decode(&root)
	switch {
	case errors.Is(err, io.EOF), err == nil && len(root.Content) == 1 && root.Content[0].Tag == "!!null":
		d.failAt(1, 1, "begin with an example: see meterlog-rules(5), or docs/rules.md", "the file is empty")
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		d.fail(&second, "remove the `---` and what follows", "a second YAML document begins here")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return nil
	}
	return root.Content[0]
}

// invalidUTF8 is the offset of the first byte of s that is not UTF-8, or -1.
func invalidUTF8(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntax notes what the YAML parser says. It names a line, seldom the column.
func (d *document) syntax(err error) {
	line, message := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = min(n, len(d.lines))
		}
	}
	for _, n := range []int{line, line + 1} {
		if n > len(d.lines) {
			break
		}
		text := d.lines[n-1]
		if indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]; strings.Contains(indent, "\t") {
			d.failAt(n, strings.Index(indent, "\t")+1, "indent with spaces", "YAML does not allow a tab here")
			return
		}
	}
	for _, n := range []int{line, d.syntaxLine(line), max(line-1, 1)} {
		if column, what, hint, ok := remedy.Quotes(d.lines[n-1], message); ok {
			d.failAt(n, column, hint, "%s", what)
			return
		}
	}
	line = d.syntaxLine(line)
	text := d.lines[line-1]
	hint := "check the indentation and the quotes"
	switch {
	case strings.Contains(message, "mapping values are not allowed"):
		hint = "check the indentation, and put a value that holds `: ` in quotes"
	case strings.Contains(message, "expected ',' or"):
		hint = "inside { } and [ ], put a value that holds any of , ? [ ] { } in quotes"
	case strings.Contains(message, "could not find expected ':'"):
		hint = "a key needs `:` and a space behind it"
	case strings.Contains(message, "cannot start any token"):
		hint = "put the value in quotes"
	case strings.Contains(message, "unknown escape"):
		hint = "use single quotes, or a block `|`: they take backslashes as they are"
	}
	d.failAt(line, len(text)-len(strings.TrimLeft(text, " "))+1, hint, "YAML: %s", message)
}

// syntaxLine returns the line where the text ceases to be YAML. The parser says
// only that a part is wrong, and reports the line where that part begins.
func (d *document) syntaxLine(reported int) int {
	const enough = 200 // lines to look at
	first := max(reported-1, 1)
	found := reported
	for n := first; n < len(d.lines) && n < first+enough; n++ {
		var node yaml.Node
		if yaml.Unmarshal([]byte(strings.Join(d.lines[:n], "\n")), &node) == nil {
			found = n + 1
		}
	}
	for found < len(d.lines) && strings.TrimSpace(d.lines[found-1]) == "" {
		found++
	}
	return found
}

// object is a mapping whose keys are known.
type object struct {
	doc    *document
	node   *yaml.Node
	what   string                // what it describes, for messages
	keys   map[string]*yaml.Node // by name
	values map[string]*yaml.Node // by name, aliases resolved
	meant  []string              // hints given on unknown keys
	merged int                   // mappings merged into it, each as often as it is named
}

// maxMerged bounds what `<<` within `<<` comes to.
const maxMerged = 1000

// object reads node as a mapping that may have the given keys. It returns nil
// after a problem that leaves nothing to read.
func (d *document) object(node *yaml.Node, what string, known []string) *object {
	node = resolve(node)
	if node.Kind != yaml.MappingNode {
		hint := ""
		switch {
		case node.Kind == yaml.ScalarNode && what == "auth":
			hint = fmt.Sprintf("write auth: {method: %s}", node.Value)
		case node.Kind == yaml.ScalarNode && what == "a source":
			hint = "write - path: " + node.Value
		case node.Kind == yaml.ScalarNode && what == "journal":
			hint = fmt.Sprintf("write journal: {unit: %s}", node.Value)
		case node.Kind == yaml.ScalarNode && what == "timestamp":
			hint = fmt.Sprintf("write timestamp: {field: %s, layout: rfc3339}", node.Value)
		case node.Kind == yaml.ScalarNode && len(known) > 0 && node.Value != "":
			hint = fmt.Sprintf("write keys with a colon and a blank: %s: …", known[0])
		}
		d.fail(node, hint, "%s must be a mapping of %s, not %s", what, strings.Join(known, ", "), describe(node))
		return nil
	}
	o := &object{doc: d, node: node, what: what, keys: map[string]*yaml.Node{}, values: map[string]*yaml.Node{}}
	o.collect(node, known, 0)
	return o
}

// collect takes the pairs of a mapping, then the pairs of mappings that `<<` merges
// into it. These never replace a pair that is there already.
func (o *object) collect(node *yaml.Node, known []string, depth int) {
	var merged []*yaml.Node
	own := map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], resolve(node.Content[i+1])
		if key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		name := resolve(key).Value
		switch first := own[name]; {
		case resolve(key).Kind != yaml.ScalarNode:
			o.doc.fail(key, "", "a key must be a word")
			continue
		case first != nil:
			o.doc.fail(key, fmt.Sprintf("it is already in line %d", first.Line), "duplicate key %q", name)
			continue
		case known != nil && !slices.Contains(known, name):
			hint := remedy.Key(name, known)
			o.doc.fail(key, hint, "unknown key %q", name)
			o.meant = append(o.meant, hint)
			own[name] = key
			continue
		}
		own[name] = key
		if o.keys[name] == nil {
			o.keys[name], o.values[name] = key, value
		}
	}
	for _, value := range merged {
		for _, m := range flat(value) {
			if m.Kind != yaml.MappingNode || depth > 8 {
				o.doc.fail(m, "", "`<<` takes a mapping, or a list of them")
				continue
			}
			if o.merged++; o.merged > maxMerged {
				o.doc.fail(node, "", "`<<` merges more than %d mappings", maxMerged)
				return
			}
			o.collect(m, known, depth+1)
		}
	}
}

// resolve follows an alias to its node.
func resolve(node *yaml.Node) *yaml.Node {
	for range 8 {
		if node.Kind != yaml.AliasNode {
			break
		}
		node = node.Alias
	}
	return node
}

// flat returns the items of a list, or the node itself if it is a single one.
func flat(node *yaml.Node) []*yaml.Node {
	if node.Kind != yaml.SequenceNode {
		return []*yaml.Node{node}
	}
	items := make([]*yaml.Node, len(node.Content))
	for i, item := range node.Content {
		items[i] = resolve(item)
	}
	return items
}

// describe says what a node is, for messages.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch node.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	case "!!str":
		return "a string"
	}
	return node.ShortTag()
}

// missingHints say by mapping and key what to write for a missing key.
var missingHints = map[string]string{
	"once key":   "name what tells one from another: key: fields.user.id",
	"sku_id by":  "name the value that chooses the SKU: by: fields.size",
	"sku_id map": "write map: {small: dn2…, large: dn2…}",
}

// require notes the keys that are missing.
func (o *object) require(names ...string) {
	for _, name := range names {
		if o.values[name] == nil && !slices.Contains(o.meant, fmt.Sprintf("did you mean %q?", name)) {
			o.doc.fail(o.node, missingHints[o.what+" "+name], "%s has no %q", o.what, name)
		}
	}
}

// at returns the node of a key's value, or else the mapping.
func (o *object) at(name string) *yaml.Node {
	if node := o.values[name]; node != nil {
		return node
	}
	return o.node
}

// text returns a key's string, or absent if the key is missing.
func (o *object) text(name, absent string) string {
	node := o.values[name]
	if node == nil {
		return absent
	}
	s, ok := o.doc.text(node, fmt.Sprintf("%q", name))
	if !ok {
		return absent
	}
	return s
}

// text is a scalar that must be a string and not empty.
func (d *document) text(node *yaml.Node, what string) (string, bool) {
	switch {
	case node.Kind != yaml.ScalarNode:
		d.fail(node, "", "%s must be a string, not %s", what, describe(node))
	case node.ShortTag() == "!!null":
		d.fail(node, "", "%s has no value", what)
	case node.ShortTag() != "!!str" && node.ShortTag() != "!!timestamp": // a layout looks like a date
		d.fail(node, fmt.Sprintf("write it in quotes: %q", node.Value), "%s must be a string, not %s", what, describe(node))
	case node.Value == "":
		d.fail(node, "", "%s is empty", what)
	default:
		return node.Value, true
	}
	return "", false
}

// texts is a key's string or list of strings, each with its node.
func (o *object) texts(name string) (list []string, nodes []*yaml.Node) {
	value := o.values[name]
	if value == nil {
		return nil, nil
	}
	if value.Kind == yaml.SequenceNode && len(value.Content) == 0 {
		o.doc.fail(value, "", "%q is an empty list", name)
	}
	for _, node := range flat(value) {
		if s, ok := o.doc.text(node, fmt.Sprintf("%q", name)); ok {
			list, nodes = append(list, s), append(nodes, node)
		}
	}
	return list, nodes
}

// choice returns a key's string, which must be one of the choices. The first is the
// default.
func (o *object) choice(name string, choices ...string) string {
	if node := o.values[name]; node != nil && node.Kind == yaml.ScalarNode && node.ShortTag() != "!!str" && node.Value != "" {
		o.doc.fail(node, remedy.OneOf(node.Value, choices), "unknown %s %q", name, node.Value)
		return choices[0]
	}
	s := o.text(name, choices[0])
	if !slices.Contains(choices, s) {
		o.doc.fail(o.at(name), remedy.OneOf(s, choices), "unknown %s %q", name, s)
		return choices[0]
	}
	return s
}

// duration is a key's time span.
func (o *object) duration(name string, absent time.Duration) time.Duration {
	node := o.values[name]
	if node == nil {
		return absent
	}
	if node.Kind == yaml.ScalarNode && (node.ShortTag() == "!!int" || node.ShortTag() == "!!float") {
		o.doc.fail(node, fmt.Sprintf("write a unit, such as %ss", node.Value), "%q has no unit", name)
		return absent
	}
	s, ok := o.doc.text(node, fmt.Sprintf("%q", name))
	if !ok {
		return absent
	}
	span, err := time.ParseDuration(s)
	if err != nil {
		hint := "write it like 90s, 1m or 24h"
		if days, found := strings.CutSuffix(s, "d"); found {
			if n, err := strconv.Atoi(days); err == nil {
				hint = fmt.Sprintf("write it in hours: %dh", n*24)
			}
		}
		if g := wordySpan.FindStringSubmatch(strings.ToLower(s)); g != nil {
			hint = fmt.Sprintf("write %s: %s%s", name, g[1], g[2][:1])
		}
		o.doc.fail(node, hint, "%q is not a time span: %q", name, s)
		return absent
	}
	return span
}

var wordySpan = regexp.MustCompile(`^([0-9]+)\s*(s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hour|hours)$`)

// list is the items of a key that must be a list with at least one.
func (o *object) list(name string) []*yaml.Node {
	node := o.values[name]
	switch {
	case node == nil:
		return nil
	case node.Kind != yaml.SequenceNode:
		hint := ""
		if node.Kind == yaml.MappingNode {
			hint = "begin each item with `- `"
		}
		o.doc.fail(node, hint, "%q must be a list, not %s", name, describe(node))
		return nil
	case len(node.Content) == 0:
		o.doc.fail(node, "", "%q is an empty list", name)
	}
	return flat(node)
}
