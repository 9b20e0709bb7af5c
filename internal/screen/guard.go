package screen

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Guard writes to standard output or standard error. It writes control characters
// as escapes. So no file name, line or answer of the API can move a cursor, colour
// a terminal or pass for another line of the journal. Strings of JSON mean the
// same after it.
type Guard struct {
	to       *os.File // nil if w is something else than a file
	w        io.Writer
	priority string // for lines without one; "" unless the journal reads w
	torn     []byte // the beginning of a character, whose rest comes with the next write
	within   bool   // a line has begun
}

// NewGuard returns a guard before w. If the journal reads w, each line gets a
// priority: its own, or else this one.
func NewGuard(w io.Writer, priority string) *Guard {
	g := &Guard{w: w}
	g.to, _ = w.(*os.File)
	if OnJournal(w) {
		g.priority = priority
	}
	return g
}

// The priorities of lines, as the journal takes them.
const (
	PriorityError   = "<3>"
	PriorityWarning = "<4>"
	PriorityInfo    = "<6>"
	PriorityDebug   = "<7>"
)

// OnJournal reports whether the journal reads w: systemd names the file in
// JOURNAL_STREAM.
func OnJournal(w io.Writer) bool {
	var f *os.File
	switch w := w.(type) {
	case *os.File:
		f = w
	case *Guard:
		return w.priority != ""
	default:
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// Write writes text with escapes in the place of what people must not get.
func (g *Guard) Write(text []byte) (int, error) {
	whole := append(g.torn, text...)
	keep := len(whole) - tornEnd(whole)
	g.torn = bytes.Clone(whole[keep:])
	if _, err := g.w.Write(g.prefixed(escaped(whole[:keep], paints))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Unguarded returns the writer behind a guard, for code that draws on a terminal
// itself.
func Unguarded(w io.Writer) io.Writer {
	if g, ok := w.(*Guard); ok {
		return g.w
	}
	return w
}

// End writes what is left of a character that was never finished.
func (g *Guard) End() {
	if len(g.torn) > 0 {
		g.w.Write(escaped(g.torn, nil))
		g.torn = nil
	}
}

// tornEnd returns how many bytes at the end begin a character and do not end it.
func tornEnd(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if c := text[len(text)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// prefixed puts the priority before each line, where the journal reads.
func (g *Guard) prefixed(text []byte) []byte {
	if g.priority == "" {
		return text
	}
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		if !g.within && !(len(line) > 2 && line[0] == '<' && line[2] == '>') {
			b.WriteString(g.priority)
		}
		b.Write(line)
		g.within = line[len(line)-1] != '\n'
	}
	return b.Bytes()
}

// paints are what screen.paint writes, by characters that Unicode keeps for use
// within a program. Foreign text that holds one can at most change a colour.
var paints = map[rune]string{
	'\uFDD0': "\x1b[m", '\uFDD1': "\x1b[1m", '\uFDD2': "\x1b[31m", '\uFDD3': "\x1b[32m", '\uFDD4': "\x1b[1;31m", '\uFDD5': "\x1b[1;32m",
}

// Visible returns text as one line without what moves a cursor, paints a
// terminal or turns the direction of writing: these are escapes in it.
func Visible(text string) string {
	return strings.ReplaceAll(string(escaped([]byte(text), nil)), "\n", `\n`)
}

// escaped returns text with escapes in the place of control characters, except
// newlines, of marks that turn the direction of writing, and of bytes that are
// not text. Characters of paint become what they stand for.
func escaped(text []byte, paint map[rune]string) []byte {
	if i := bytes.IndexFunc(text, suspect); i < 0 {
		return text
	}
	var b bytes.Buffer
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case paint[r] != "":
			b.WriteString(paint[r])
		case r == '\t':
			b.WriteByte('\t')
		case suspect(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.Write(text[:size])
		}
		text = text[size:]
	}
	return b.Bytes()
}

// suspect reports whether a character is not for people to see.
func suspect(r rune) bool {
	switch {
	case r == '\n':
		return false
	case r < utf8.RuneSelf:
		return r < ' ' || r == 0x7f
	case r == utf8.RuneError, r == '\u2028', r == '\u2029', r >= '\uFDD0' && r <= '\uFDEF':
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// CSVCells puts a quote before each cell that a spreadsheet would take for a
// formula.
func CSVCells(cells ...string) []string {
	for i, cell := range cells {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			cells[i] = "'" + cell
		}
	}
	return cells
}
