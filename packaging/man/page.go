package main

import (
	"fmt"
	"strings"
	"time"
)

// page describes a manual page, without its text.
type page struct {
	name, about, seeAlso, version string
	section                       int
	date                          time.Time
}

// roff returns the page with a document as its text.
func (p page) roff(markdown string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s %d %s %q %q\n", strings.ToUpper(p.name), p.section, p.date.Format(time.DateOnly), "meterlog "+p.version, "meterlog")
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n.SH DESCRIPTION\n", inline(p.name), inline(p.about))
	writeBlocks(&b, strings.Split(markdown, "\n"))
	if p.seeAlso != "" {
		fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", inline(p.seeAlso))
	}
	return b.String()
}

// writeBlocks writes a document block by block. A block ends with an empty
// line, or where another kind begins.
func writeBlocks(b *strings.Builder, lines []string) {
	for len(lines) > 0 {
		n := 1
		switch line := lines[0]; kindOf(line) {
		case heading:
			writeHeading(b, line)
		case code:
			n = 1 + until(lines[1:], func(l string) bool { return kindOf(l) == code })
			writeCode(b, lines[1:n])
			n++ // the closing fence
		case table:
			n = until(lines, func(l string) bool { return kindOf(l) != table })
			writeTable(b, lines[:n])
		case item:
			n = 1 + until(lines[1:], func(l string) bool { return !strings.HasPrefix(l, "  ") })
			fmt.Fprintf(b, ".IP \\(bu 2\n%s\n", inline(joined(lines[:n])[2:]))
		case text:
			n = until(lines, func(l string) bool { return kindOf(l) != text })
			fmt.Fprintf(b, ".PP\n%s\n", inline(joined(lines[:n])))
		}
		lines = lines[min(n, len(lines)):]
	}
}

// kind is what a line is a part of.
type kind int

const (
	blank kind = iota
	heading
	code
	table
	item
	text
)

func kindOf(line string) kind {
	switch {
	case strings.TrimSpace(line) == "":
		return blank
	case strings.HasPrefix(line, "#"):
		return heading
	case strings.HasPrefix(line, "```"):
		return code
	case strings.HasPrefix(line, "|"):
		return table
	case strings.HasPrefix(line, "- "):
		return item
	}
	return text
}

// until returns how many lines come before the first that ends the block.
func until(lines []string, ends func(string) bool) int {
	for i, line := range lines {
		if ends(line) {
			return i
		}
	}
	return len(lines)
}

func joined(lines []string) string {
	trimmed := make([]string, len(lines))
	for i, line := range lines {
		trimmed[i] = strings.TrimSpace(line)
	}
	return strings.Join(trimmed, " ")
}

// writeHeading writes a section, or one within it. The page's header
// already shows the title.
func writeHeading(b *strings.Builder, line string) {
	title := strings.TrimLeft(line, "#")
	switch level := len(line) - len(title); level {
	case 1:
	case 2:
		fmt.Fprintf(b, ".SH %s\n", inline(strings.ToUpper(strings.TrimSpace(title))))
	default:
		fmt.Fprintf(b, ".SS %s\n", inline(strings.TrimSpace(title)))
	}
}

func writeCode(b *strings.Builder, lines []string) {
	b.WriteString(".PP\n.RS 4\n.nf\n")
	for _, line := range lines {
		fmt.Fprintln(b, guarded(escaped(line)))
	}
	b.WriteString(".fi\n.RE\n")
}

// writeTable writes each row except the header. The first cell is the term, and
// the other cells describe it.
func writeTable(b *strings.Builder, lines []string) {
	for i, line := range lines {
		if i < 2 { // the header, and the rule below it
			continue
		}
		row := cells(line)
		fmt.Fprintf(b, ".TP\n%s\n%s\n", inline(row[0]), inline(strings.Join(row[1:], ": ")))
	}
}

// cells returns the cells of a table's row. A bar inside a cell is escaped.
func cells(row string) []string {
	const bar = "\x00"
	row = strings.ReplaceAll(strings.Trim(row, "| "), `\|`, bar)
	cells := strings.Split(row, "|")
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(strings.TrimSpace(cell), bar, "|")
	}
	return cells
}
