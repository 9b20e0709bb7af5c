package fields

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// scanLogfmt calls pair for every key of a logfmt line in order, with its value
// and with the value's place, quotes included. White space separates pairs. Double
// quotes may enclose a value, with escapes between them. A key without a value has
// an empty one and no place. No line is refused: the line's end closes an open
// quote.
func scanLogfmt(line []byte, pair func(key []byte, value, around Span)) {
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
			pair(key, Span{i, i, 'v', true}, Span{})
			continue
		}
		value, end := logfmtValue(line, i+1)
		pair(key, value, Span{i + 1, end, 'v', true})
		i = end
	}
}

// logfmtValue reads a value. It returns the offset behind it.
func logfmtValue(line []byte, at int) (v Span, end int) {
	if at < len(line) && line[at] == '"' {
		to, escaped := closingQuote(line, at+1)
		return Span{at + 1, to, 'v', !escaped}, min(to+1, len(line))
	}
	to := wordEnd(line, at)
	return Span{at, to, 'v', true}, to
}

// logfmtValues returns the values of a line in order, with their quotes.
func logfmtValues(line []byte) (values []Span) {
	scanLogfmt(line, func(_ []byte, _, around Span) {
		if around.Kind != 0 {
			values = append(values, around)
		}
	})
	return values
}

// closingQuote returns where the quote is that ends a text, or the line's end,
// and whether there are escapes before it.
func closingQuote(line []byte, i int) (to int, escaped bool) {
	for {
		i = quoteOrEscape(line, i)
		if i >= len(line) || line[i] == '"' {
			return min(i, len(line)), escaped
		}
		escaped = true
		i += 2
	}
}

// quoteOrEscape returns where the next quote or backslash is, or the line's end.
func quoteOrEscape(line []byte, i int) int {
	for ; len(line)-i >= wordBytes; i += wordBytes {
		word := binary.LittleEndian.Uint64(line[i:])
		quote, escape := word^quotes, word^escapes
		if found := ((quote - ones) | (escape - ones)) &^ word & highBits; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(line) && line[i] != '"' && line[i] != '\\' {
		i++
	}
	return i
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

// hex4 returns the number in the first four bytes, in hexadecimal, or -1.
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
