package fields

// Tree is a point on the way to the fields that rules want.
type Tree struct {
	slot     int // of the value at this point, or -1
	keys     []string
	children []*Tree // by keys
	indexes  []int
	elements []*Tree // by indexes
}

// NewTree returns a tree that wants nothing yet.
func NewTree() *Tree { return &Tree{slot: -1} }

// Add makes the tree want the value at a path.
func (n *Tree) Add(path []Step, slot int) {
	if len(path) == 0 {
		n.slot = slot
		return
	}
	var next *Tree
	if s := path[0]; s.Index >= 0 {
		if next = n.element(s.Index); next == nil {
			next = NewTree()
			n.indexes, n.elements = append(n.indexes, s.Index), append(n.elements, next)
		}
	} else if next = n.child([]byte(s.Key)); next == nil {
		next = NewTree()
		n.keys, n.children = append(n.keys, s.Key), append(n.children, next)
	}
	next.Add(path[1:], slot)
}

func (n *Tree) child(key []byte) *Tree {
	for i, k := range n.keys {
		if k == string(key) {
			return n.children[i]
		}
	}
	return nil
}

func (n *Tree) element(index int) *Tree {
	for i, x := range n.indexes {
		if x == index {
			return n.elements[i]
		}
	}
	return nil
}

// forget drops what was found below n.
func (n *Tree) forget(found []Span) {
	if n.slot >= 0 {
		found[n.slot] = Span{}
	}
	for _, c := range n.children {
		c.forget(found)
	}
	for _, c := range n.elements {
		c.forget(found)
	}
}

// shift moves the spans found below n by a number of bytes.
func (n *Tree) shift(found []Span, bytes int) {
	if n.slot >= 0 && found[n.slot].Kind != 0 {
		found[n.slot].From += bytes
		found[n.slot].To += bytes
	}
	for _, c := range n.children {
		c.shift(found, bytes)
	}
	for _, c := range n.elements {
		c.shift(found, bytes)
	}
}
