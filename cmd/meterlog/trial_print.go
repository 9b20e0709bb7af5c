package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/meterlog/meterlog/internal/rules"
)

// screen is what is known of where output goes.
type screen struct {
	width  int // in characters; 0 where it is no terminal
	colour bool
}

func screenOf(w io.Writer) screen {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return screen{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return screen{width: width, colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// paint shows text in a colour of ECMA-48, such as "1;32".
func (s screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[m"
}

// fit makes text a line of a terminal, behind so many characters that stand
// there already: it takes out what would move the cursor, and cuts what has no
// room. Elsewhere text stays as it is.
func (s screen) fit(text string, used int) string { return s.fitMarked(text, used, nil) }

// fitMarked is fit with parts of the text, byte ranges in order, in bold.
func (s screen) fitMarked(text string, used int, marks [][2]int) string {
	if s.width == 0 {
		return text
	}
	var b strings.Builder
	room := max(s.width-used, 20)
	more := utf8.RuneCountInString(text) > room
	marked := false
	for i, r := range text {
		for len(marks) > 0 && i >= marks[0][1] {
			marks = marks[1:]
		}
		if inside := s.colour && len(marks) > 0 && i >= marks[0][0]; inside != marked {
			b.WriteString(map[bool]string{true: "\x1b[1m", false: "\x1b[m"}[inside])
			marked = inside
		}
		if room--; more && room == 0 {
			b.WriteRune('…')
			break
		}
		switch {
		case r == '\t':
			r = ' '
		case unicode.IsControl(r):
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	if marked {
		b.WriteString("\x1b[m")
	}
	return b.String()
}

// clip cuts text to so many characters.
func clip(text string, width int) string {
	if len(text) <= width || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// matchPrinter prints matches as they are found. Its errors come with end.
type matchPrinter struct {
	out    *bufio.Writer
	json   *json.Encoder // nil for text
	screen screen
	bar    *progress
}

func newMatchPrinter(w io.Writer, o *testOptions) *matchPrinter {
	p := &matchPrinter{out: bufio.NewWriterSize(w, 64<<10), screen: screenOf(w)}
	if o.format == "json" {
		p.json = json.NewEncoder(p.out)
		p.json.SetEscapeHTML(false)
	}
	return p
}

// publishedMatch is a match as programs see it. The names are a contract.
type publishedMatch struct {
	File       string `json:"file"`
	LineNumber int64  `json:"line_number"`
	Rule       string `json:"rule"`
	SKU        string `json:"sku_id"`
	Quantity   int64  `json:"quantity"`
	Line       string `json:"line"`
}

// hit prints a line that a rule counts, or, for people, on which it failed;
// marks tells which parts of the line it was.
func (p *matchPrinter) hit(in *input, line int64, h rules.Hit, marks func(*rules.Rule) [][2]int) {
	if p.screen.width > 0 {
		p.bar.clear()
	}
	if p.json != nil {
		if h.Err == nil {
			p.json.Encode(publishedMatch{in.name, line, h.Rule.Name, h.Rule.SKU, h.Quantity, string(h.Line)})
		}
		return
	}
	place := in.place(line)
	result, colour := fmt.Sprintf("%s %d", h.Rule.Name, h.Quantity), "1;32"
	if h.Err != nil {
		result, colour = fmt.Sprintf("%s error: %v", h.Rule.Name, h.Err), "1;31"
	}
	used := utf8.RuneCountInString(place) + utf8.RuneCountInString(result) + 4
	var parts [][2]int
	if p.screen.colour {
		parts = marks(h.Rule)
	}
	fmt.Fprintf(p.out, "%s  %s  %s\n", place, p.screen.paint(colour, result), p.screen.fitMarked(string(h.Line), used, parts))
}

// flush shows what was printed so far.
func (p *matchPrinter) flush() {
	if p.out.Buffered() > 0 {
		p.out.Flush()
	}
}

// flushScreen does so where people watch.
func (p *matchPrinter) flushScreen() {
	if p.screen.width > 0 {
		p.flush()
	}
}

// end prints the last words, and returns why something could not be printed.
func (p *matchPrinter) end(text string) error {
	p.out.WriteString(text)
	if err := p.out.Flush(); err != nil {
		return fmt.Errorf("meterlog: %w", err)
	}
	return nil
}

// writeColumns writes rows as a table, the first columns to the left and the
// others to the right.
func writeColumns(w io.Writer, rows [][]string, left int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < left {
				b.WriteString(cell + pad + "  ")
			} else {
				b.WriteString(pad + cell + "  ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
