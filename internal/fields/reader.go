package fields

import (
	"regexp"
	"strings"
)

// Reader finds fields in the lines of one format.
type Reader struct {
	Format  string         // text, json, logfmt or regexp
	Pattern *Pattern       // of format regexp
	Prefix  *regexp.Regexp // matches, at the line's beginning, what comes before the part that Format reads; may be nil
}

// Skip returns how many bytes the prefix of a line has. It reports whether the
// line has one, if the reader asks for it.
func (r Reader) Skip(line []byte) (skip int, ok bool) {
	if r.Prefix == nil {
		return 0, true
	}
	at := r.Prefix.FindIndex(line)
	if at == nil || at[0] != 0 {
		return 0, false
	}
	return at[1], true
}

// Strict reports whether a line that has the prefix can still be of another
// format.
func (r Reader) Strict() bool { return r.Format == "json" || r.Format == "regexp" }

// Map returns all fields of a line, or nil if the line is not of the format.
func (r Reader) Map(line []byte) map[string]any {
	skip, ok := r.Skip(line)
	if !ok {
		return nil
	}
	line = line[skip:]
	switch r.Format {
	case "json":
		if v, err := DecodeJSON(line); err == nil {
			if object, ok := v.(map[string]any); ok {
				return object
			}
		}
		return nil
	case "logfmt":
		fields := map[string]any{}
		scanLogfmt(line, func(key []byte, value, _ Span) {
			if len(key) > 0 {
				fields[string(key)] = strings.Clone(value.Value(line).(string))
			}
		})
		return fields
	case "regexp":
		m := r.Pattern.re.FindSubmatchIndex(line)
		if m == nil {
			return nil
		}
		fields := map[string]any{}
		for i, name := range r.Pattern.names {
			if name != "" && m[2*i] >= 0 {
				fields[name] = string(line[m[2*i]:m[2*i+1]])
			}
		}
		return fields
	}
	return map[string]any{}
}

// Mismatch returns why a line is not of the format. Find has reported false for the
// line.
func (r Reader) Mismatch(line []byte) string {
	if _, ok := r.Skip(line); !ok {
		return "the line does not begin with the prefix of its source"
	}
	if r.Format == "regexp" {
		return "the pattern of its source does not match the line"
	}
	return "the line is not one JSON object"
}
