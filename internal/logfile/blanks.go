package logfile

import (
	"bufio"
	"bytes"
)

// Two or more NULs at the beginning of a line do not belong to it. A power failure
// leaves them where data did not reach the disk. A truncation leaves them if the
// application goes on at its old offset. They can be as long as the file was. One NUL
// alone is a character of UTF-16.

// Blanks returns how many NULs a line begins with.
func Blanks(data []byte) int {
	n := len(data) - len(bytes.TrimLeft(data, "\x00"))
	if n == 1 {
		return 0
	}
	return n
}

// IsBlankData reports whether all bytes are NULs.
func IsBlankData(data []byte) bool { return len(bytes.TrimLeft(data, "\x00")) == 0 }

// BeforeBlanks returns the lines of data, which is whole ones, up to the first
// that begins with blanks.
func BeforeBlanks(data []byte) []byte {
	if bytes.IndexByte(data, 0) < 0 { // told at a fraction of the cost
		return data
	}
	if i := bytes.Index(data, []byte("\n\x00\x00")); i >= 0 {
		return data[:i+1]
	}
	return data
}

// skipBlanks discards the blanks that a line begins with, and returns how many
// there were.
func skipBlanks(lines *bufio.Reader) (skipped int64) {
	if two, _ := lines.Peek(2); Blanks(two) < 2 {
		return 0
	}
	for {
		lines.Peek(1) // reads on
		buffered, _ := lines.Peek(lines.Buffered())
		n := len(buffered) - len(bytes.TrimLeft(buffered, "\x00"))
		lines.Discard(n)
		skipped += int64(n)
		if n < len(buffered) || n == 0 {
			return skipped
		}
	}
}
