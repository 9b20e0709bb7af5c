package program

import (
	"slices"
	"strconv"

	"github.com/meterlog/meterlog/internal/fields"
)

// Slots gives each field path that expressions name a variable of the
// environment, so that a line's other fields need never be looked at.
type Slots struct {
	Paths [][]fields.Step
	index map[string]int // by variable

	EntryFields []string // of journal entries, that expressions name by constants
	EntryAll    bool     // expressions may use any field of entries
}

// Variable returns a slot's name in the environment. It is short, so that it is found
// fast, and differs from every identifier.
func Variable(slot int) string { return strconv.Itoa(slot) }

// Enter returns the index of a path, which it enters if it is new.
func (t *Slots) Enter(path []fields.Step) int {
	for i, p := range t.Paths {
		if slices.Equal(p, path) {
			return i
		}
	}
	if t.index == nil {
		t.index = map[string]int{}
	}
	slot := len(t.Paths)
	t.index[Variable(slot)] = slot
	t.Paths = append(t.Paths, slices.Clone(path))
	return slot
}

// Of returns the slot of a variable. It reports false for another name.
func (t *Slots) Of(name string) (slot int, isField bool) {
	slot, isField = t.index[name]
	return slot, isField
}
