package config

import (
	"unicode"

	"gopkg.in/yaml.v3"
)

// position returns the place in the file of one character of a scalar's value. The
// offset counts from 0; line and column count from 1. It walks the value beside its
// source text, so that it holds for every style: quotes, escapes, literal and
// folded blocks. White space, which YAML folds, is not compared.
func (d *document) position(node *yaml.Node, offset int) (line, column int) {
	line, column = node.Line, node.Column
	var text []rune
	load := func() bool {
		if line > len(d.lines) {
			return false
		}
		text = []rune(d.lines[line-1])
		return true
	}
	if !load() {
		return node.Line, node.Column
	}
	skip := func() bool { // white space and line ends, to the next character
		for {
			if column <= len(text) {
				if !unicode.IsSpace(text[column-1]) {
					return true
				}
				column++
				continue
			}
			line, column = line+1, 1
			if !load() {
				return false
			}
		}
	}
	switch node.Style &^ yaml.TaggedStyle {
	case yaml.LiteralStyle, yaml.FoldedStyle:
		line, column = line+1, 1
		if !load() {
			return node.Line, node.Column
		}
	case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
		column++
	}
	value := []rune(node.Value)
	for i := 0; i < len(value); i++ {
		if unicode.IsSpace(value[i]) {
			continue
		}
		if !skip() {
			return node.Line, node.Column
		}
		if i >= offset {
			return line, column
		}
		switch {
		case node.Style&yaml.DoubleQuotedStyle != 0 && text[column-1] == '\\':
			if column == len(text) { // the line goes on
				column++
				i--
				continue
			}
			width := map[rune]int{'x': 2, 'u': 4, 'U': 8}[text[column]]
			column += 2 + width
			if unicode.IsSpace(escaped(text, column)) {
				i--
			}
		case node.Style&yaml.SingleQuotedStyle != 0 && text[column-1] == '\'':
			column += 2
		default:
			column++
		}
	}
	return line, column
}

// escaped returns the white space of the escape before column, or 0.
func escaped(text []rune, column int) rune {
	if column >= 3 && column-2 < len(text) && text[column-3] == '\\' {
		switch text[column-2] {
		case 'n', 't', 'r', ' ', 'v', 'f':
			return ' '
		}
	}
	return 0
}
