package tailer

import (
	"bufio"
	"bytes"
)

// NULs at the beginning of a line, two or more, are no part of it. A power
// failure leaves them where data did not reach the disk, and a truncation where
// the application writes on at its old place: they can be as long as the file
// was. One NUL alone is a character of UTF-16.

// blanks returns how many NULs a line begins with.
func blanks(data []byte) int {
	n := len(data) - len(bytes.TrimLeft(data, "\x00"))
	if n == 1 {
		return 0
	}
	return n
}

// isBlankData reports whether there is nothing but NULs.
func isBlankData(data []byte) bool { return len(bytes.TrimLeft(data, "\x00")) == 0 }

// beforeBlanks returns the lines of data, which is whole ones, up to the first
// that begins with blanks.
func beforeBlanks(data []byte) []byte {
	if bytes.IndexByte(data, 0) < 0 { // told at a fraction of the cost
		return data
	}
	if i := bytes.Index(data, []byte("\n\x00\x00")); i >= 0 {
		return data[:i+1]
	}
	return data
}

// skipBlanks moves the position over the blanks at it, which are the first of
// the n bytes in the buffer. While nothing follows them they may be room that is
// still to be written to, and stay.
func (t *Tailer) skipBlanks(s *stream, n, blank int) error {
	from := s.Offset
	if blank == len(t.buffer) && s.arch == nil {
		var err error
		from = max(s.blankTo, from+int64(blank))
		if n, err = s.read(t.buffer, from); err != nil {
			return err
		}
		blank = n - len(bytes.TrimLeft(t.buffer[:n], "\x00"))
	}
	end := from + int64(blank)
	s.readTo, s.blankTo = from+int64(n), end
	more := n == len(t.buffer)
	if blank == n && (!more || s.arch == nil) && !(s.ending && !more && t.atEnd(s)) {
		if more {
			t.enqueue(s)
		}
		return nil
	}
	if s.arch != nil {
		s.consume(t.buffer[:blank])
	} else if err := s.jump(s.file, end); err != nil {
		return err
	}
	if s.readTo = from + int64(n); s.ending && s.Offset == s.readTo && !more {
		t.finish(s)
		return nil
	}
	t.enqueue(s)
	return nil
}

// skipBlanks discards the blanks that a line begins with, and returns how many
// there were.
func skipBlanks(lines *bufio.Reader) (skipped int64) {
	if two, _ := lines.Peek(2); blanks(two) < 2 {
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
