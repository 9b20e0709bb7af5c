package trial

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/screen"
)

// matchPrinter prints matches as they are found. Its errors come with end.
type matchPrinter struct {
	out    *bufio.Writer
	json   *json.Encoder // nil for text
	screen screen.Screen
	bar    *progress
}

func newMatchPrinter(w io.Writer, asJSON bool) *matchPrinter {
	p := &matchPrinter{out: bufio.NewWriterSize(w, 64<<10), screen: screen.Of(w)}
	if asJSON {
		p.json = json.NewEncoder(p.out)
		p.json.SetEscapeHTML(false)
	}
	return p
}

// PublishedMatch is a match as programs see it. The names are a contract.
type PublishedMatch struct {
	File       string      `json:"file"`
	LineNumber int64       `json:"line_number"`
	Rule       string      `json:"rule"`
	SKU        string      `json:"sku_id"`
	Quantity   json.Number `json:"quantity"`
	Amount     json.Number `json:"amount"`
	Window     string      `json:"window"` // its start, RFC 3339, UTC
	Line       string      `json:"line"`

	Key     *string `json:"key,omitempty"`     // of a rule with a key
	Stretch *string `json:"stretch,omitempty"` // of a rule with peak: its start, RFC 3339, UTC
	Late    bool    `json:"late,omitempty"`    // its own time is too old for the API
}

// keyOf returns the key of a line, or nil for a rule without a key.
func keyOf(h rules.Hit) *string {
	if !h.Rule.Remembers() || h.Err != nil {
		return nil
	}
	text := string(h.KeyText)
	return &text
}

// hit prints a line that a rule counts, and that was read at this time. For people it
// also prints lines that a rule failed on. marks returns the parts of the line that
// matter.
func (p *matchPrinter) hit(in *input, line int64, h rules.Hit, read time.Time, marks func(*rules.Rule) [][2]int) {
	if p.screen.Width > 0 {
		p.bar.clear()
	}
	if p.json != nil {
		if h.Err == nil {
			amount := meter.Number(h.Quantity, h.Rule.Decimals)
			p.json.Encode(PublishedMatch{in.name, line, h.Rule.Name, h.Bills.SKU, amount, amount, h.Window.StartTime().Format(time.RFC3339), string(h.Line), keyOf(h), stretchOf(h), tooLate(h, read)})
		}
		return
	}
	place := in.place(line)
	result, colour := fmt.Sprintf("%s %s", h.Rule.Name, h.Rule.Text(h.Quantity)), screen.BoldLime
	switch {
	case h.Err == nil && h.Rule.Table != nil:
		result += " of " + h.Bills.SKU
	case h.Err != nil:
		result, colour = fmt.Sprintf("%s error: %v", h.Rule.Name, h.Err), screen.BoldRed
	}
	used := utf8.RuneCountInString(place) + utf8.RuneCountInString(result) + 4
	var parts [][2]int
	if p.screen.Width > 0 {
		parts = marks(h.Rule)
	}
	fmt.Fprintf(p.out, "%s  %s  %s\n", place, p.screen.Paint(colour, result), p.screen.FitMarked(string(h.Line), used, parts))
}

// flush shows what was printed.
func (p *matchPrinter) flush() {
	if p.out.Buffered() > 0 {
		p.out.Flush()
	}
}

// flushScreen does so where people watch.
func (p *matchPrinter) flushScreen() {
	if p.screen.Width > 0 {
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
