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
func (s screen) fit(text string, used int) string {
	if s.width == 0 {
		return text
	}
	text = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, text)
	return clip(text, max(s.width-used, 20))
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

// hit prints a line that a rule counts, or, for people, on which it failed.
func (p *matchPrinter) hit(in *input, line int64, literals []string, h rules.Hit) {
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
	text := p.screen.fit(string(h.Line), used)
	if p.screen.colour {
		text = p.pointOut(text, literals)
	}
	fmt.Fprintf(p.out, "%s  %s  %s\n", place, p.screen.paint(colour, result), text)
}

// pointOut shows where the first of the literals stands.
func (p *matchPrinter) pointOut(text string, literals []string) string {
	for _, literal := range literals {
		if before, after, found := strings.Cut(text, literal); found {
			return before + p.screen.paint("1", literal) + after
		}
	}
	return text
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
