package search

import (
	"bytes"
	"unicode/utf8"
)

// form says where in a line a literal counts.
//
// A text of JSON is in quotes there. If an application loses the quotes, or writes
// the same event in another format, the text is still a whole word. The search finds
// such a line too, so that it counts as not parsed. In a right line of JSON, texts and
// names are always whole words.
type form byte

const (
	anywhere  form = iota
	word           // a whole word
	otherWord      // a whole word, but not where JSON has a number, true, false or null
	name           // a whole word with a value behind it
	guard          // a name in JSON, in its quotes, before a value of another kind than text
)

// wordForm returns the form of a text of JSON. A number is a word in other places
// than its text, and those are in most lines.
func wordForm(text string) form {
	switch c := text[0]; {
	case c == '-' || c-'0' < 10 || text == "true" || text == "false" || text == "null":
		return otherWord
	}
	return word
}

// fits reports whether the text between two offsets has the form.
func (f form) fits(data []byte, start, end int) bool {
	switch f {
	case word:
		return isWord(data, start, end)
	case otherWord:
		return isWord(data, start, end) && !isBareValue(data[:start])
	case name:
		return isWord(data, start, end) && valueFollows(data[end:])
	case guard:
		return !textFollows(data[end:])
	}
	return true
}

// isWord reports whether no letter or digit continues the text between two offsets.
func isWord(data []byte, start, end int) bool {
	return (start == 0 || !inWord(data[start]) || !inWord(data[start-1])) &&
		(end == len(data) || !inWord(data[end-1]) || !inWord(data[end]))
}

// inWord reports whether a byte belongs to words: a letter, a digit or "_".
func inWord(c byte) bool {
	return c|0x20-'a' < 26 || c-'0' < 10 || c == '_' || c >= utf8.RuneSelf
}

// isBareValue reports whether a line that begins like this goes on with a value of
// JSON, without a quote.
func isBareValue(before []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(before, " "), []byte(`":`))
}

// valueFollows reports whether ":" or "=" is behind a name, perhaps behind its quote.
func valueFollows(rest []byte) bool {
	if len(rest) > 0 && rest[0] == '\\' {
		rest = rest[1:]
	}
	if len(rest) > 0 && (rest[0] == '"' || rest[0] == '\'') {
		rest = rest[1:]
	}
	rest = bytes.TrimLeft(rest, " \t\r")
	return len(rest) > 0 && (rest[0] == ':' || rest[0] == '=')
}

// textFollows reports whether a quoted text in JSON has a string or null as its
// value, or no value because it is not a name.
func textFollows(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r")
	if len(rest) == 0 || rest[0] != ':' {
		return true
	}
	rest = bytes.TrimLeft(rest[1:], " \t\r")
	return len(rest) > 0 && (rest[0] == '"' || rest[0] == 'n')
}
