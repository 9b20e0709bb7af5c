package ledger

// keyFilter tells of most keys that a stretch does not hold them, so that nobody has to
// look for them in the ledger. It has each key of its stretch, and may take others for
// them. It is a list of Bloom filters, each twice as large as the one before.
type keyFilter struct {
	layers []filterLayer
	room   int // for more keys in the last layer
}

// filterLayer is a Bloom filter. The number of its bits is a power of two.
type filterLayer []uint64

const (
	firstRoom  = 8192 // keys of the first layer of a keyFilter
	bitsPerKey = 16   // of a full layer: it takes one of 200 other keys for its own
)

// newFilterLayer returns a layer with room for some keys.
func newFilterLayer(room int) filterLayer {
	words := 1
	for 64*words < bitsPerKey*room {
		words *= 2
	}
	return make(filterLayer, words)
}

// bits returns three bits of a key. hash is the beginning of its hash.
func (l filterLayer) bits(hash uint64) [3]uint64 {
	mask := uint64(len(l))*64 - 1
	return [3]uint64{hash & mask, hash >> 20 & mask, hash >> 40 & mask}
}

func (l filterLayer) has(hash uint64) bool {
	for _, bit := range l.bits(hash) {
		if l[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

func (l filterLayer) add(hash uint64) {
	for _, bit := range l.bits(hash) {
		l[bit/64] |= 1 << (bit % 64)
	}
}

// perhaps reports whether the stretch may hold a key.
func (f *keyFilter) perhaps(hash uint64) bool {
	for i := len(f.layers) - 1; i >= 0; i-- {
		if f.layers[i].has(hash) {
			return true
		}
	}
	return false
}

// add adds a key. It returns how many bytes the filter has grown.
func (f *keyFilter) add(hash uint64) (grown int) {
	if f.room == 0 {
		f.room = firstRoom << len(f.layers)
		f.layers = append(f.layers, newFilterLayer(f.room))
		grown = f.room * bitsPerKey / 8
	}
	f.room--
	f.layers[len(f.layers)-1].add(hash)
	return grown
}

// keyFilters are the filters of stretches of rules with within that this process has
// begun. They are begun with the stretch's row, and get each key that is inserted. A
// key of a transaction that failed stays in them and does no harm.
type keyFilters struct {
	byStretch map[int64]*keyFilter
	bytes     int
}

// mostFilterBytes bounds the filters of a ledger. They are enough for 4 million keys.
const mostFilterBytes = 8 << 20

// begin makes the filter of a stretch that holds no key yet.
func (f *keyFilters) begin(stretch int64) {
	if f.byStretch == nil {
		f.byStretch = make(map[int64]*keyFilter)
	}
	f.byStretch[stretch] = new(keyFilter)
}

// add adds keys of a stretch. If the filters are too large, it drops all of them.
func (f *keyFilters) add(stretch int64, rows []row) {
	filter := f.byStretch[stretch]
	if filter == nil {
		return
	}
	for _, r := range rows {
		f.bytes += filter.add(r.word)
	}
	if f.bytes > mostFilterBytes {
		*f = keyFilters{}
	}
}

// perhaps appends the rows whose keys a stretch may hold.
func (f *keyFilters) perhaps(stretch int64, rows, to []row) []row {
	filter := f.byStretch[stretch]
	if filter == nil {
		return append(to, rows...)
	}
	for _, r := range rows {
		if filter.perhaps(r.word) {
			to = append(to, r)
		}
	}
	return to
}
