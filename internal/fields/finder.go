package fields

// Finder finds in the lines of a reader the fields that a tree wants. It belongs to
// one goroutine.
type Finder struct {
	reader  Reader
	tree    *Tree
	slots   []int // by group of the pattern: the slot of its field, or -1
	places  []int // of the groups
	scanner jsonScanner
	shapes  shapes // of lines of JSON or logfmt
}

// Finder returns a finder for the fields that the tree wants.
func (r Reader) Finder(tree *Tree) *Finder {
	f := &Finder{reader: r, tree: tree}
	switch r.Format {
	case "json":
		f.shapes.value = jsonScalar
	case "logfmt":
		f.shapes.value = logfmtValue
	}
	if r.Pattern == nil {
		return f
	}
	for _, name := range r.Pattern.names {
		slot := -1
		if n := tree.child([]byte(name)); n != nil && name != "" {
			slot = n.slot
		}
		f.slots = append(f.slots, slot)
	}
	f.places = make([]int, 0, len(r.Pattern.none))
	return f
}

// Find notes in found the places of the fields that the tree wants. It reports
// whether the line is of the format. If not, it notes nothing.
func (f *Finder) Find(line []byte, found []Span) bool {
	skip, ok := f.reader.Skip(line)
	if !ok {
		return false
	}
	ok = f.find(line[skip:], found)
	if skip > 0 {
		f.tree.shift(found, skip)
	}
	return ok
}

func (f *Finder) find(line []byte, found []Span) bool {
	switch f.reader.Format {
	case "json":
		if f.shapes.find(line, found) {
			return true
		}
		f.scanner = jsonScanner{text: line, found: found}
		if !f.scanner.fields(f.tree) {
			f.tree.forget(found)
			return false
		}
		if f.shapes.learns() {
			f.shapes.learn(line, jsonScalars(line), f.tree, found)
		}
	case "logfmt":
		if f.shapes.find(line, found) {
			return true
		}
		scanLogfmt(line, func(key []byte, value, _ Span) {
			if n := f.tree.child(key); n != nil && n.slot >= 0 && len(key) > 0 {
				found[n.slot] = value
			}
		})
		if f.shapes.learns() {
			f.shapes.learn(line, logfmtValues(line), f.tree, found)
		}
	case "regexp":
		match := f.reader.Pattern.Find(line, f.places)
		if match == nil {
			return false
		}
		for group, slot := range f.slots {
			if slot >= 0 && match[2*group] >= 0 {
				found[slot] = Span{match[2*group], match[2*group+1], 'v', true}
			}
		}
	}
	return true
}
