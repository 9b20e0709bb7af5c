package fields

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// Step is one part of a field's path: a key of a map, or, where Key is "" and
// Index ≥ 0, an index of an array.
type Step struct {
	Key   string
	Index int // -1 with a key
}

// PathText returns a path as an expression would write it.
func PathText(path []Step) string {
	text := "fields"
	for _, s := range path {
		switch {
		case s.Index >= 0:
			text += "[" + strconv.Itoa(s.Index) + "]"
		case identifier.MatchString(s.Key):
			text += "." + s.Key
		default:
			text += "[" + strconv.Quote(s.Key) + "]"
		}
	}
	return text
}

var identifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// Lookup returns the value at a path, or nil.
func Lookup(v any, path []Step) any {
	for _, s := range path {
		switch base := v.(type) {
		case map[string]any:
			if s.Index >= 0 {
				return nil
			}
			v = base[s.Key]
		case []any:
			if s.Index < 0 || s.Index >= len(base) {
				return nil
			}
			v = base[s.Index]
		default:
			return nil
		}
	}
	return v
}

// ParsePath reads a path as people write it: a.b for a key in an object, ["a.b"]
// for a key with a dot in it, [0] for an element of an array. It reports whether
// the text is a path.
func ParsePath(text string) (path []Step, ok bool) {
	for begin := true; text != ""; begin = false {
		if m := bracketed.FindStringSubmatch(text); m != nil {
			step := Step{Index: -1}
			if m[1] != "" {
				if err := json.Unmarshal([]byte(m[1]), &step.Key); err != nil {
					return nil, false
				}
			} else if index, err := strconv.Atoi(m[2]); err == nil {
				step.Index = index
			}
			path, text = append(path, step), text[len(m[0]):]
			continue
		}
		if !begin {
			if text[0] != '.' {
				return nil, false
			}
			text = text[1:]
		}
		end := strings.IndexAny(text, ".[")
		if end < 0 {
			end = len(text)
		}
		if end == 0 {
			return nil, false
		}
		path, text = append(path, Step{text[:end], -1}), text[end:]
	}
	return path, len(path) > 0
}

// bracketed is a key in quotes, or an index, at the beginning of a text.
var bracketed = regexp.MustCompile(`^\[(?:("(?:[^"\\]|\\.)*")|(\d{1,9}))\]`)
