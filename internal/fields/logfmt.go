package fields

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// scanLogfmt calls pair for every key of a logfmt line in order, with the
// place of its value. Pairs are parted by white space; a value may stand in
// double quotes, between which there may be escapes; a key without a value has
// an empty one. No line is refused: a quote that is not closed ends with the
// line.
func scanLogfmt(line []byte, pair func(key []byte, from, to int, escaped bool)) {
	for i := 0; i < len(line); {
		if line[i] <= ' ' {
			i++
			continue
		}
		start := i
		for i < len(line) && line[i] > ' ' && line[i] != '=' {
			i++
		}
		key := line[start:i]
		if i == len(line) || line[i] != '=' {
			pair(key, i, i, false)
			continue
		}
		i++
		from, to, escaped := i, i, false
		if i < len(line) && line[i] == '"' {
			from = i + 1
			to, escaped = closingQuote(line, from)
			i = min(to+1, len(line))
		} else {
			to = wordEnd(line, i)
			i = to
		}
		if len(key) > 0 {
			pair(key, from, to, escaped)
		}
	}
}

// closingQuote returns where the quote is that ends a text, or the line's end,
// and whether there are escapes before it.
func closingQuote(line []byte, from int) (to int, escaped bool) {
	for i := from; ; {
		n := bytes.IndexByte(line[i:], '"')
		if n < 0 {
			n = len(line) - i
		}
		escape := bytes.IndexByte(line[i:i+n], '\\')
		if escape < 0 {
			return i + n, escaped
		}
		escaped = true
		if i += escape + 2; i >= len(line) {
			return len(line), true
		}
	}
}

// wordEnd returns where the white space begins that ends a word.
func wordEnd(line []byte, i int) int {
	for ; len(line)-i >= wordBytes; i += wordBytes {
		word := binary.LittleEndian.Uint64(line[i:])
		if found := (word - blanks - ones) &^ word & highBits; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(line) && line[i] > ' ' {
		i++
	}
	return i
}

// unescape appends text to out with the escapes of a JSON string resolved;
// others stay as they are.
func unescape(out, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		i++
		switch c := text[i]; c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(text[i+1:])
			if r < 0 {
				out = append(out, '\\', 'u')
				continue
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+2 < len(text) && text[i+1] == '\\' && text[i+2] == 'u' {
					low = hex4(text[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, '\\', c)
		}
	}
	return out
}

// hex4 is the number that the first four bytes write in hexadecimal, or -1.
func hex4(text []byte) rune {
	if len(text) < 4 {
		return -1
	}
	var r rune
	for _, c := range text[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
