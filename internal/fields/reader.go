package fields

// Reader finds fields in the lines of one format.
type Reader struct {
	Format  string   // text, json, logfmt or regexp
	Pattern *Pattern // of format regexp
}

// Find notes in found where the line has the fields that the tree asks for. It
// reports whether the line is of the format; otherwise it notes nothing.
func (r Reader) Find(line []byte, tree *Tree, found []Span) bool {
	switch r.Format {
	case "json":
		s := jsonScanner{text: line, found: found}
		if !s.fields(tree) {
			tree.forget(found)
			return false
		}
	case "logfmt":
		scanLogfmt(line, func(key []byte, from, to int, escaped bool) {
			if n := tree.child(key); n != nil && n.slot >= 0 {
				found[n.slot] = Span{from, to, 'v', !escaped}
			}
		})
	case "regexp":
		match := r.Pattern.Find(line, nil)
		for i, name := range r.Pattern.names {
			if n := tree.child([]byte(name)); match != nil && name != "" && n != nil && n.slot >= 0 && match[2*i] >= 0 {
				found[n.slot] = Span{match[2*i], match[2*i+1], 'v', true}
			}
		}
		return match != nil
	}
	return true
}

// Map returns all fields of a line. The map is empty if the line is not of the
// format.
func (r Reader) Map(line []byte) map[string]any {
	switch r.Format {
	case "json":
		if v, err := DecodeJSON(line); err == nil {
			if object, ok := v.(map[string]any); ok {
				return object
			}
		}
	case "logfmt":
		fields := map[string]any{}
		scanLogfmt(line, func(key []byte, from, to int, escaped bool) {
			value := line[from:to]
			if escaped {
				value = unescape(nil, value)
			}
			fields[string(key)] = string(value)
		})
		return fields
	case "regexp":
		fields := map[string]any{}
		if m := r.Pattern.re.FindSubmatchIndex(line); m != nil {
			for i, name := range r.Pattern.names {
				if name != "" && m[2*i] >= 0 {
					fields[name] = string(line[m[2*i]:m[2*i+1]])
				}
			}
		}
		return fields
	}
	return map[string]any{}
}
