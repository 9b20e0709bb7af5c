package config

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// tagged notes a plain value that YAML takes for a tag: !(line contains "x").
func (d *document) tagged(node *yaml.Node, key string) bool {
	if !strings.HasPrefix(node.Tag, "!") || strings.HasPrefix(node.Tag, "!!") {
		return false
	}
	text := strings.TrimSpace(node.Tag + " " + node.Value)
	d.fail(node, fmt.Sprintf("write %s: '%s'", key, strings.ReplaceAll(text, "'", "''")), "a value that begins with ! must be in quotes")
	return true
}

// commented notes that YAML took the rest of an unfinished plain value for a
// comment, if it did, and reports whether.
func (d *document) commented(node *yaml.Node, key string) bool {
	if node.Style != 0 || node.Line > len(d.lines) {
		return false
	}
	line := []rune(d.lines[node.Line-1])
	if node.Column > len(line) {
		return false
	}
	rest := string(line[node.Column-1:])
	at := strings.Index(rest, " #")
	if at < 0 {
		return false
	}
	d.failAt(node.Line, node.Column+len([]rune(rest[:at]))+1, fmt.Sprintf("write %s: '%s'", key, strings.ReplaceAll(strings.TrimSpace(rest), "'", "''")),
		"%s: for YAML a comment begins here, before the expression ends", key)
	return true
}
