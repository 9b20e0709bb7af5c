package fields

import (
	"regexp"
	"strconv"
)

// Step is one part of a field's path: a key of a map, or, where Key is "" and
// Index ≥ 0, an index of an array.
type Step struct {
	Key   string
	Index int // -1 with a key
}

// PathText is a path as an expression would write it.
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

// Lookup is the value at a path, nil where there is none.
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
