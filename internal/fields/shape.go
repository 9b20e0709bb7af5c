package fields

import "encoding/binary"

// shapes finds the values of a line by the lines before it. Most lines of a log
// have the same keys in the same order, so they differ in their values alone. A
// shape is the text before, between and behind the values of one line. If another
// line has the same text, with a value at each of the same places, then that line is
// of the format too. Its values belong to the same keys.
//
// A shape is a chain of texts. Shapes that begin alike share their first texts.
type shapes struct {
	value func(line []byte, at int) (v Span, end int) // reads one value; end is -1 without a right value
	first *shape
	size  int // bytes of all texts
	count int // texts
	seen  int // lines of an unknown shape since the shapes were last forgotten
}

// shape is a text of a line.
type shape struct {
	text  string
	head  uint64 // the first bytes of text
	mask  uint64 // of the bytes that head has
	tail  uint64 // the last eight bytes of text, if it has as many
	last  bool   // the line ends behind the text; otherwise a value follows
	slot  int    // the value's slot, or -1
	next  *shape // the text behind the value
	other *shape // another text for the same place
}

// find notes the places of a line's values. It reports whether the line has a known
// shape. If not, it has noted the values of the line's beginning at most.
func (s *shapes) find(line []byte, found []Span) bool {
	at := 0
	for n := s.first; n != nil; {
		if !n.begins(line[at:]) {
			n = n.other
			continue
		}
		end := at + len(n.text)
		if n.last {
			if end == len(line) {
				return true
			}
			n = n.other
			continue
		}
		v, end := s.value(line, end)
		if end < 0 {
			n = n.other
			continue
		}
		if n.slot >= 0 {
			found[n.slot] = v
		}
		at, n = end, n.next
	}
	return false
}

// begins reports whether a rest of a line begins with the text. For most texts it
// compares two words of eight bytes.
func (n *shape) begins(rest []byte) bool {
	size := len(n.text)
	if len(rest) < size {
		return false
	}
	if len(rest) < wordBytes {
		return string(rest[:size]) == n.text
	}
	if (binary.LittleEndian.Uint64(rest)^n.head)&n.mask != 0 {
		return false
	}
	if size <= wordBytes {
		return true
	}
	return binary.LittleEndian.Uint64(rest[size-wordBytes:]) == n.tail && (size <= 2*wordBytes || string(rest[:size]) == n.text)
}

// newShape returns a text with its first and its last bytes.
func newShape(text string) *shape {
	n := &shape{text: text, slot: -1}
	var first [wordBytes]byte
	size := copy(first[:], text)
	n.head, n.mask = binary.LittleEndian.Uint64(first[:]), ^uint64(0)>>(64-8*size)
	if size == wordBytes {
		n.tail = binary.LittleEndian.Uint64([]byte(text[len(text)-wordBytes:]))
	}
	return n
}

// Bounds of what is learned. A line of an unknown shape costs as much as it
// would without shapes, except for one line in learnEvery.
const (
	learnEvery  = 16
	forgetAfter = 1 << 12 // lines of an unknown shape
	maxTexts    = 1 << 10
	maxTextSize = 1 << 16
	maxOthers   = 8 // texts at one place
)

// learns reports whether a line of an unknown shape should be learned. After
// many such lines the log has changed, and the shapes begin from nothing.
func (s *shapes) learns() bool {
	if s.seen++; s.seen > forgetAfter {
		*s = shapes{value: s.value, seen: 1}
	}
	return s.seen%learnEvery == 1
}

// learn adds the shape of a line. The values are all of the line, in order, with
// their quotes. What was found tells which of them have a slot.
func (s *shapes) learn(line []byte, values []Span, t *Tree, found []Span) {
	if s.count+len(values) >= maxTexts || s.size+len(line) > maxTextSize {
		return
	}
	slots := make([]int, len(values))
	for i := range slots {
		slots[i] = -1
	}
	if !t.assign(values, found, slots) {
		return
	}
	at, place := 0, &s.first
	for i := 0; i <= len(values); i++ {
		end := len(line)
		if i < len(values) {
			end = values[i].From
		}
		n := newShape(string(line[at:end]))
		if n.last = i == len(values); !n.last {
			n.slot, at = slots[i], values[i].To
		}
		if place = n.enter(place); place == nil {
			return
		}
		if *place == n {
			s.count, s.size = s.count+1, s.size+len(n.text)
		}
		place = &(*place).next
	}
}

// enter puts n at a place, behind the other texts there, and returns the new place.
// If the place has an equal text already, it returns the place of that one. It
// returns nil if the place has too many texts.
func (n *shape) enter(place **shape) **shape {
	for range maxOthers {
		switch other := *place; {
		case other == nil:
			*place = n
			return place
		case other.text == n.text && other.slot == n.slot:
			return place
		}
		place = &(*place).other
	}
	return nil
}

// assign notes, for each value, the slot below n that it was found for. It reports
// whether each found slot is one of the values.
func (n *Tree) assign(values, found []Span, slots []int) bool {
	if n.slot >= 0 && found[n.slot].Kind != 0 {
		i := 0
		for i < len(values) && !values[i].holds(found[n.slot]) {
			i++
		}
		if i == len(values) {
			return false
		}
		slots[i] = n.slot
	}
	for _, c := range n.children {
		if !c.assign(values, found, slots) {
			return false
		}
	}
	for _, c := range n.elements {
		if !c.assign(values, found, slots) {
			return false
		}
	}
	return true
}

// holds reports whether v, with its quotes, is the value w.
func (v Span) holds(w Span) bool { return v.From <= w.From && w.To <= v.To }
