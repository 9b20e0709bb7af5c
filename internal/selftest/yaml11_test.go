package selftest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// yaml11 is what a reader of YAML 1.1, such as Python's, makes of a scalar without
// quotes: the types of https://yaml.org/type/ in their order.
var yaml11 = []struct {
	tag  string
	form *regexp.Regexp
}{
	{"!!bool", regexp.MustCompile(`^(y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$`)},
	{"octal", regexp.MustCompile(`^[-+]?0[0-7_]+$`)},
	{"base 60", regexp.MustCompile(`^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`)},
	{"!!int", regexp.MustCompile(`^[-+]?(0b[0-1_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$`)},
	{"!!float", regexp.MustCompile(`^[-+]?([0-9][0-9_]*)?\.[0-9_]+([eE][-+][0-9]+)?$|^[-+]?[0-9][0-9_]*\.([eE][-+][0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$`)},
	{"!!timestamp", regexp.MustCompile(`^\d{4}-\d\d-\d\d$|^\d{4}-\d\d?-\d\d?([Tt]|[ \t]+)\d\d?:\d\d:\d\d(\.\d*)?([ \t]*(Z|[-+]\d\d?(:?\d\d)?))?$`)},
	{"!!null", regexp.MustCompile(`^(~|null|Null|NULL|)$`)},
	{"!!merge", regexp.MustCompile(`^<<$`)},
	{"default", regexp.MustCompile(`^=$`)},
}

// otherIn11 lists the scalars that a reader of YAML 1.1 takes for something else
// than we do.
func otherIn11(n *yaml.Node) (list []string) {
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0 {
		tag := "!!str"
		for _, t := range yaml11 {
			if t.form.MatchString(n.Value) {
				tag = t.tag
				break
			}
		}
		if tag != n.ShortTag() {
			list = append(list, n.Value+" is "+n.ShortTag()+", and in YAML 1.1 "+tag)
		}
	}
	for _, child := range n.Content {
		list = append(list, otherIn11(child)...)
	}
	return list
}

func parseYAML(t *testing.T, name, text string) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return &n
}

// A vendor's own tools may read our configurations by YAML 1.1. They see the same.
func TestExamplesInYAML11(t *testing.T) {
	checked := 0
	check := func(name, text string) {
		checked++
		for _, other := range otherIn11(parseYAML(t, name, text)) {
			t.Errorf("%s: %s: put it in quotes", name, other)
		}
	}
	for _, pattern := range []string{"../../examples/*.y*ml", "../../packaging/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %q, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			check(file, string(text))
		}
	}
	pages, _ := filepath.Glob("../../docs/*.md")
	for _, page := range append(pages, "../../README.md") {
		for _, block := range yamlBlocks(t, page) {
			check(page, block)
		}
	}
	if checked < 40 {
		t.Errorf("only %d texts were checked", checked)
	}
}

// The check finds what the two versions of YAML read in two ways.
func TestScalarsOfYAML11(t *testing.T) {
	const text = `
- {on: yes, size: n, time: 12:30, mode: 0755, big: 1e3, octal: 0o17}
- {"on": "yes", a: 1, b: 0.5, c: 2026-01-01T00:00:00Z, d: true, e: null, f: 1m, g: 02/Jan/2006, h: 10.0.0.1, i: 1_000, j: 127.0.0.1:9273}
`
	got := strings.Join(otherIn11(parseYAML(t, "test", text)), "\n")
	for _, value := range []string{"on", "yes", "n", "12:30", "0755", "1e3"} {
		if !strings.Contains("\n"+got, "\n"+value+" is ") {
			t.Errorf("%s is not found in:\n%s", value, got)
		}
	}
	for line := range strings.Lines(got) {
		if value, _, _ := strings.Cut(line, " is "); len(value) == 1 && value != "n" {
			t.Errorf("nothing is wrong with %s", line)
		}
	}
	if n := strings.Count(got, "\n") + 1; n > 7 {
		t.Errorf("%d differ:\n%s", n, got)
	}
}
