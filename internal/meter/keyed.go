package meter

// Keyed is a line with a key. It counts if it is the first of its key.
type Keyed struct {
	CountKey
	KeyRef
	Amount, Start, End int64
	Time               int64 // when the event counts, in seconds since 1970
}

// KeyedLines are lines with keys in the order of their reading. The zero value is
// empty. A line takes 64 bytes, and no line moves when more come.
type KeyedLines struct {
	Groups []KeyGroup // each is there once
	chunks [][]KeyedLine
	n      int

	group map[KeyGroup]int32 // where each is in Groups
	table []int32            // lines by hash, plus 1; 0 is empty. Its length is a power of two
}

// KeyGroup is what lines with keys have in common.
type KeyGroup struct {
	CountKey
	Once    *Once
	Stretch Window
}

// KeyedLine is what a line with a key has for itself.
type KeyedLine struct {
	Hash               KeyHash
	At                 int64 // as in KeyRef
	Amount, Start, End int64
	Time               int64
	Group              int32  // in Groups
	Repeats            uint32 // later lines of the same key, if it counts once in each stretch
}

// chunk is how many lines are in a chunk.
const chunk = 1024

// Len returns the number of lines.
func (l *KeyedLines) Len() int { return l.n }

// Line returns a line.
func (l *KeyedLines) Line(i int) *KeyedLine { return &l.chunks[i/chunk][i%chunk] }

// Group returns the group of a line.
func (l *KeyedLines) Group(i int) *KeyGroup { return &l.Groups[l.Line(i).Group] }

// Ref returns the key of a line.
func (l *KeyedLines) Ref(line int) KeyRef {
	k, g := l.Line(line), l.Group(line)
	return KeyRef{Once: g.Once, Hash: k.Hash, Stretch: g.Stretch, At: k.At}
}

// add adds a line.
func (l *KeyedLines) add(k Keyed) {
	group := l.groupOf(&k)
	if l.n == chunk*len(l.chunks) {
		l.chunks = append(l.chunks, make([]KeyedLine, chunk))
	}
	l.n++
	*l.Line(l.n - 1) = KeyedLine{k.Hash, k.At, k.Amount, k.Start, k.End, k.Time, group, 0}
	if 2*l.n <= len(l.table) {
		l.put(l.n - 1)
		return
	}
	l.table = make([]int32, max(chunk, 2*len(l.table)))
	for i := range l.n {
		l.put(i)
	}
}

// put puts a line into the table.
func (l *KeyedLines) put(i int) {
	l.table[l.place(&l.Line(i).Hash, l.Group(i).Stretch.Start)] = int32(i + 1)
}

// groupOf returns the place of the line's group in Groups. Lines in a row are often
// of one.
func (l *KeyedLines) groupOf(k *Keyed) int32 {
	g := KeyGroup{k.CountKey, k.Once, k.Stretch}
	if l.n > 0 && *l.Group(l.n - 1) == g {
		return l.Line(l.n - 1).Group
	}
	i, known := l.group[g]
	if !known {
		if l.group == nil {
			l.group = make(map[KeyGroup]int32)
		}
		i = int32(len(l.Groups))
		l.Groups = append(l.Groups, g)
		l.group[g] = i
	}
	return i
}

// repeat reports whether one of the lines has the key in the same stretch, and counts
// a repeat of it then.
func (l *KeyedLines) repeat(r *KeyRef) bool {
	if len(l.table) == 0 {
		return false
	}
	line := l.table[l.place(&r.Hash, r.Stretch.Start)]
	if line == 0 {
		return false
	}
	l.Line(int(line)-1).Repeats++
	return true
}

// place returns where in table a line with this key and stretch is, or would be.
func (l *KeyedLines) place(hash *KeyHash, stretch int64) int {
	mask := len(l.table) - 1
	for i := int(hash.Word()>>32) & mask; ; i = (i + 1) & mask {
		if l.table[i] == 0 {
			return i
		}
		if line := int(l.table[i]) - 1; l.Line(line).Hash == *hash && l.Group(line).Stretch.Start == stretch {
			return i
		}
	}
}

// reset removes all lines and keeps the memory.
func (l *KeyedLines) reset() {
	l.Groups, l.n = l.Groups[:0], 0
	clear(l.group)
	clear(l.table)
}
