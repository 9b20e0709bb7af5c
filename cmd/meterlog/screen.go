package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// pageWidth is how many columns a text has where there is no terminal.
const pageWidth = 100

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

// shortened is a path whose beginning is left out where it is too long to stand
// beside the other columns.
func shortened(path string) string {
	const most = 50
	if letters := []rune(path); len(letters) > most {
		return "…" + string(letters[len(letters)-most+1:])
	}
	return path
}

// writeWrapped writes a text in lines of no more than the page's width, where
// its words allow. Its own lines stay apart.
func writeWrapped(w io.Writer, first, indent, text string) {
	line, begun := first, false
	for _, paragraph := range strings.Split(text, "\n") {
		for _, word := range strings.Fields(paragraph) {
			if begun && utf8.RuneCountInString(line+" "+word) > pageWidth {
				fmt.Fprintln(w, line)
				line, begun = indent, false
			}
			if begun {
				line += " "
			}
			line, begun = line+word, true
		}
		fmt.Fprintln(w, line)
		line, begun = indent, false
	}
}

// sizeText is a size for people.
func sizeText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	size, unit := float64(n), 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}

// timeText is a span for people.
func timeText(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g µs", float64(d)/float64(time.Microsecond))
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// brief is a duration without the parts that are zero.
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func joinReason(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func instantText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
