package logfile

import (
	"bytes"
	"errors"
	"io"
)

// BlankSkipper reads a log as a Tailer does: without the NULs, two or more, that
// a line begins with. Make one with SkipBlanks.
type BlankSkipper struct {
	from    io.Reader
	begins  bool   // the next byte begins a line
	skips   bool   // NULs that come next are skipped
	held    bool   // a line began with one NUL, and what follows is not read yet
	pending []byte // was read and filtered, and found no room

	Leading int64 // NULs that were skipped before the first line
	Skipped int64 // NULs that were skipped in all
	given   bool  // some byte was given out
}

// SkipBlanks returns a reader of what from holds.
func SkipBlanks(from io.Reader) *BlankSkipper { return &BlankSkipper{from: from, begins: true} }

// DropBlanks returns a line without the blanks that it begins with.
func DropBlanks(line []byte) []byte { return line[Blanks(line):] }

func (b *BlankSkipper) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.pending) > 0 {
		n := copy(p, b.pending)
		b.pending = b.pending[n:]
		return n, nil
	}
	n, err := b.from.Read(p)
	data := p[:n]
	if !b.held && !b.skips && bytes.IndexByte(data, 0) < 0 { // told at a fraction of the cost
		if n > 0 {
			b.begins, b.given = data[n-1] == '\n', true
		}
		return n, err
	}
	if b.held {
		b.held = false
		data = append([]byte{0}, data...)
	}
	kept := b.filter(data)
	if b.held && errors.Is(err, io.EOF) { // it is the last byte
		b.held = false
		kept = append(kept, 0)
	}
	n = copy(p, kept)
	if b.pending = kept[n:]; len(b.pending) > 0 && errors.Is(err, io.EOF) {
		err = nil // it comes again
	}
	return n, err
}

// filter returns what is left of the data.
func (b *BlankSkipper) filter(data []byte) (kept []byte) {
	for len(data) > 0 {
		switch {
		case b.skips:
			rest := bytes.TrimLeft(data, "\x00")
			skipped := int64(len(data) - len(rest))
			b.Skipped += skipped
			if !b.given {
				b.Leading += skipped
			}
			if data = rest; len(data) > 0 {
				b.skips, b.begins = false, false
			}
			continue
		case b.begins && data[0] == 0 && len(data) == 1:
			b.held = true
			return kept
		case b.begins && data[0] == 0 && data[1] == 0:
			b.skips = true
			continue
		}
		end := bytes.IndexByte(data, '\n') + 1
		if b.begins = end > 0; !b.begins {
			end = len(data)
		}
		kept, data = append(kept, data[:end]...), data[end:]
		b.given = true
	}
	return kept
}
