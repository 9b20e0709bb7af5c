package fields

import (
	"bytes"
	"strconv"
	"time"
)

// Entry is an entry of the systemd journal, as journalctl prints it with
// --output=json --all.
type Entry struct {
	Cursor  string         // its place in the journal; "" if it has none
	At      time.Time      // when the message was sent, or else received; zero if unknown
	Written time.Time      // when the journal received it; zero if it does not tell
	Message []byte         // may hold newlines and any other bytes
	Fields  map[string]any // all fields: texts, and lists of texts for fields that come several times
}

// ParseEntry reads an entry. It reports false for any other text.
func ParseEntry(text []byte) (e Entry, ok bool) {
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' || !bytes.Contains(text, []byte(`"__REALTIME_TIMESTAMP"`)) {
		return e, false
	}
	value, err := DecodeJSON(text)
	if err != nil {
		return e, false
	}
	e.Fields, _ = value.(map[string]any)
	for name, v := range e.Fields {
		e.Fields[name] = journalValue(v)
	}
	e.Cursor = first(e.Fields["__CURSOR"])
	e.Message = []byte(first(e.Fields["MESSAGE"]))
	e.Written = microseconds(first(e.Fields["__REALTIME_TIMESTAMP"]))
	if e.At = microseconds(first(e.Fields["_SOURCE_REALTIME_TIMESTAMP"])); e.At.IsZero() {
		e.At = e.Written
	}
	return e, !e.Written.IsZero()
}

// journalValue returns a field's text, or the texts of a field that comes several
// times. The journal prints text with unusual bytes as a list of numbers.
func journalValue(v any) any {
	list, isList := v.([]any)
	if !isList {
		return v
	}
	text := make([]byte, 0, len(list))
	for _, item := range list {
		n, isByte := item.(int)
		if !isByte {
			for i := range list {
				list[i] = journalValue(list[i])
			}
			return list
		}
		text = append(text, byte(n))
	}
	return string(text)
}

// first returns the text of a field, or the first one of several.
func first(v any) string {
	if list, isList := v.([]any); isList && len(list) > 0 {
		v = list[0]
	}
	text, _ := v.(string)
	return text
}

func microseconds(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.UnixMicro(n)
}
