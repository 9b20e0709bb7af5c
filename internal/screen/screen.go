package screen

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// PageWidth is how many columns a text has.
const PageWidth = 80

// Screen is what is known of where output goes.
type Screen struct {
	Width  int // in characters; 0 unless it is a terminal
	colour bool
}

func Of(w io.Writer) Screen {
	f, ok := w.(*os.File)
	if g, guarded := w.(*Guard); guarded {
		f, ok = g.to, g.to != nil
	}
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return Screen{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return Screen{Width: width, colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Colours, as characters that a guard turns into escapes of ECMA-48.
const (
	plain    = "\uFDD0"
	bold     = "\uFDD1"
	Red      = "\uFDD2"
	Green    = "\uFDD3"
	BoldRed  = "\uFDD4"
	BoldLime = "\uFDD5"
)

// Paint shows text in a colour.
func (s Screen) Paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return colour + text + plain
}

// Fit makes text a line of a terminal that holds a number of used characters
// already: it cuts the rest. Elsewhere it cuts nothing. Either way nothing in the
// text moves the cursor.
func (s Screen) Fit(text string, used int) string { return s.FitMarked(text, used, nil) }

// FitMarked does what Fit does, with parts of the text, byte ranges in order, in bold. If it
// must cut, it shows the first of them.
func (s Screen) FitMarked(text string, used int, marks [][2]int) string {
	if s.Width == 0 {
		return Visible(text)
	}
	room := max(s.Width-used, 20)
	more := utf8.RuneCountInString(text) > room
	first := 0
	if more && len(marks) > 0 {
		first = firstShown(text, marks[0], room)
	}
	var b strings.Builder
	if first > 0 {
		b.WriteRune('…')
		room--
	}
	marked := false
	for i, r := range text {
		for len(marks) > 0 && i >= marks[0][1] {
			marks = marks[1:]
		}
		if i < first {
			continue
		}
		if inside := s.colour && len(marks) > 0 && i >= marks[0][0]; inside != marked {
			b.WriteString(map[bool]string{true: bold, false: plain}[inside])
			marked = inside
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		shown := Visible(text[i : i+size])
		if r == '\t' {
			shown = " "
		}
		if room -= utf8.RuneCountInString(shown); more && (room < 0 || room == 0 && i+size < len(text)) {
			b.WriteRune('…')
			break
		}
		b.WriteString(shown)
	}
	if marked {
		b.WriteString(plain)
	}
	return b.String()
}

// firstShown returns the offset where a text that is too long begins, so that a
// part of it shows with something before it.
func firstShown(text string, part [2]int, room int) int {
	before := utf8.RuneCountInString(text[:part[0]])
	length := utf8.RuneCountInString(text[part[0]:part[1]])
	if before+length < room-1 {
		return 0
	}
	skip := before - max(room/4, min(room-length-2, room/2))
	skip = min(skip, utf8.RuneCountInString(text)-room+1)
	for i := range text {
		if skip <= 0 {
			return i
		}
		skip--
	}
	return 0
}

// Clip cuts text to a number of characters.
func Clip(text string, width int) string {
	if len(text) <= width || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// WriteColumns writes rows as a table, the first columns to the left and the
// others to the right. A title may have two lines. If the table is wider than the
// page, or than a wider terminal, each row takes several lines.
func WriteColumns(w io.Writer, rows [][]string, left int) {
	for _, row := range Columns(rows, left, max(PageWidth, Of(w).Width)) {
		fmt.Fprintln(w, row)
	}
}

// Columns returns the rows of a table, the first of them with the titles.
func Columns(rows [][]string, left, width int) []string {
	upper, lower, short := make([]string, len(rows[0])), make([]string, len(rows[0])), make([]string, len(rows[0]))
	for i, title := range rows[0] {
		short[i] = strings.ReplaceAll(title, "\n", " ")
		if first, second, two := strings.Cut(title, "\n"); two {
			upper[i], lower[i] = first, second
		} else {
			lower[i] = title
		}
	}
	if strings.Join(upper, "") != "" {
		stacked := append([][]string{upper, lower}, rows[1:]...)
		if widths := columnWidths(stacked); total(widths) <= width {
			lines := rowLines(stacked, widths, left)
			return append([]string{lines[0] + "\n" + lines[1]}, lines[2:]...)
		}
	}
	rows = append([][]string{short}, rows[1:]...)
	widths := columnWidths(rows)
	if total(widths) <= width {
		return rowLines(rows, widths, left)
	}
	if lines := wrappedRows(rows, widths, left, width); lines != nil {
		return lines
	}
	return foldedRows(rows, left, width)
}

// leastRoom is how many characters a column must have to be wrapped in.
const leastRoom = 24

// wrappedRows returns rows whose last column is wrapped between its words. It
// returns nil if a word is too long, the room is small, or the column has numbers.
func wrappedRows(rows [][]string, widths []int, left, width int) []string {
	last := len(widths) - 1
	room := width - total(widths[:last]) - columnGap
	lines := make([]string, len(rows))
	for i, row := range rows {
		for _, word := range words(row[last]) {
			if last >= left || room < leastRoom || utf8.RuneCountInString(word) > room {
				return nil
			}
		}
		first := rowLine("", append(slices.Clone(row[:last]), "|"), append(slices.Clone(widths[:last]), 1), left)
		var b strings.Builder
		writeWrappedIn(&b, width, strings.TrimSuffix(first, "|"), strings.Repeat(" ", width-room), row[last])
		lines[i] = strings.TrimRight(b.String(), "\n ")
	}
	return lines
}

func rowLines(rows [][]string, widths []int, left int) []string {
	lines := make([]string, len(rows))
	for i, row := range rows {
		lines[i] = rowLine("", row, widths, left)
	}
	return lines
}

// total returns how many characters a line of a table has.
func total(widths []int) int {
	sum := -columnGap
	for _, n := range widths {
		sum += n + columnGap
	}
	return sum
}

const (
	columnGap  = 2
	foldIndent = "    " // of a row's further lines
)

func columnWidths(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// rowLine returns cells side by side.
func rowLine(indent string, row []string, widths []int, left int) string {
	b := strings.Builder{}
	b.WriteString(indent)
	for i, cell := range row {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i < left {
			b.WriteString(cell + pad)
		} else {
			b.WriteString(pad + cell)
		}
		b.WriteString(strings.Repeat(" ", columnGap))
	}
	return strings.TrimRight(b.String(), " ")
}

// foldedRows returns rows that take as many lines as they need. Each line holds as
// many columns as fit.
func foldedRows(rows [][]string, left, width int) []string {
	widths := columnWidths(rows)
	folded := make([]string, len(rows))
	for from, indent := 0, ""; from < len(widths); indent = foldIndent {
		to := from + 1
		for to < len(widths) && len(indent)+total(widths[from:to+1]) <= width {
			to++
		}
		for i, row := range rows {
			line := rowLine(indent, row[from:to], widths[from:to], left-from)
			if strings.TrimSpace(line) == "" {
				continue
			}
			if utf8.RuneCountInString(line) > width {
				var b strings.Builder
				writeWrappedIn(&b, width, indent, foldIndent, strings.TrimSpace(line))
				line = strings.TrimSuffix(b.String(), "\n")
			}
			if folded[i] != "" {
				folded[i] += "\n"
			}
			folded[i] += line
		}
		from = to
	}
	return folded
}

// Shortened returns a path whose beginning is left out where it is too long to stand
// beside the other columns.
func Shortened(path string) string {
	const most = 34
	path = Visible(path)
	if letters := []rune(path); len(letters) > most {
		return "…" + string(letters[len(letters)-most+1:])
	}
	return path
}

// words splits a text at its blanks. A command between backticks is one word, so
// that it can be copied whole.
func words(text string) (all []string) {
	open := false
	for _, word := range strings.Fields(text) {
		if open {
			all[len(all)-1] += " " + word
		} else {
			all = append(all, word)
		}
		open = open != (strings.Count(word, "`")%2 == 1)
	}
	return all
}

// WriteWrapped writes a text in lines of no more than the page's width, where
// its words allow. Its own lines stay apart.
func WriteWrapped(w io.Writer, first, indent, text string) {
	writeWrappedIn(w, PageWidth, first, indent, text)
}

func writeWrappedIn(w io.Writer, width int, first, indent, text string) {
	line, begun := first, false
	for _, paragraph := range strings.Split(text, "\n") {
		for _, word := range words(paragraph) {
			if begun && utf8.RuneCountInString(line+" "+word) > width {
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

// SizeText returns a size for people.
func SizeText(n int64) string {
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

// TimeText returns a span for people.
func TimeText(d time.Duration) string {
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

// Brief returns a duration without the parts that are zero.
func Brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func JoinReason(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + Visible(reason)
}

func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func InstantText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

func OrDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
