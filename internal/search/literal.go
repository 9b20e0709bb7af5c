package search

import "bytes"

// Literal is a text that is looked for by its rarest byte.
type Literal struct {
	text   []byte
	rarest int // the byte's offset
}

// NewLiteral returns the literal of a text.
func NewLiteral(text string) Literal {
	l := Literal{text: []byte(text)}
	for i, c := range l.text {
		if byteBits[c] > byteBits[l.text[l.rarest]] {
			l.rarest = i
		}
	}
	return l
}

// Len returns the length of the literal.
func (l Literal) Len() int { return len(l.text) }

// patience is how many bytes each byte in vain may have brought on. Where the byte is
// more common than that, the whole literal is looked for.
const patience = 16

// Index returns where the literal is in a text, or -1.
func (l Literal) Index(text []byte) int {
	if len(l.text) == 0 {
		return 0
	}
	last := len(text) - len(l.text) // the last place for it
	c := l.text[l.rarest]
	for at, fails := 0, 0; at <= last; at++ {
		i := bytes.IndexByte(text[at+l.rarest:last+l.rarest+1], c)
		if i < 0 {
			return -1
		}
		at += i
		if text[at] == l.text[0] && string(text[at:at+len(l.text)]) == string(l.text) {
			return at
		}
		if fails++; fails > 4+at/patience {
			if i = bytes.Index(text[at+1:], l.text); i >= 0 {
				i += at + 1
			}
			return i
		}
	}
	return -1
}
