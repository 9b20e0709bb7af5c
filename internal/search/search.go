package search

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Search finds in a block the lines that contain any of a set of literals,
// and which rules want them.
//
// It finds literals by sampling. It reads four bytes of the block at every step, and
// compares a literal if they are one of its grams. Each literal enters as many
// neighbouring grams as a step has bytes, so one of them is always read. If there
// are only a few short literals, it finds each by its rarest byte instead.
type Search struct {
	Always  Set // rules that want every line
	samples []*sampler
	bytes   []*byteSearch
}

// Set is a set of rules by their index in the source's list.
type Set []uint64

func NewSet(rules int) Set { return make(Set, (rules+63)/64) }

func (s Set) Add(i int) { s[i/64] |= 1 << (i % 64) }

// Has reports whether i is a member.
func (s Set) Has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s Set) Union(t Set) {
	for i, w := range t {
		s[i] |= w
	}
}

// Len returns how many members the set has.
func (s Set) Len() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s Set) Empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// Next returns the first member from i on, or -1.
func (s Set) Next(i int) int {
	for w := i / 64; w < len(s); w++ {
		word := s[w]
		if w == i/64 {
			word &= ^uint64(0) << (i % 64)
		}
		if word != 0 {
			return w*64 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// wanted is a literal and the rules that want lines with it.
type wanted struct {
	literal []byte
	form    form
	rules   Set
}

// at reports whether the literal is at an offset.
func (w *wanted) at(data []byte, start int) bool {
	end := start + len(w.literal)
	return start >= 0 && end <= len(data) && string(data[start:end]) == string(w.literal) && w.form.fits(data, start, end)
}

const (
	longSize  = 10 // literals of this length and more are sampled together
	shortSize = 4  // literals of this length and more; the others by shorter grams
	fewShort  = 3  // up to this many short ones are looked for by byte
)

// New makes a search of clauses, one for each of the source's rules.
func New(clauses []*Clause) *Search {
	s := &Search{Always: NewSet(len(clauses))}
	type text struct {
		literal string
		form    form
	}
	byText, escaped := map[text]Set{}, NewSet(len(clauses))
	for i, c := range clauses {
		if c == nil {
			s.Always.Add(i)
			continue
		}
		want := func(t text) {
			if byText[t] == nil {
				byText[t] = NewSet(len(clauses))
			}
			byText[t].Add(i)
		}
		for _, l := range c.Literals {
			want(text{l, anywhere})
		}
		for _, l := range c.Words {
			want(text{l, wordForm(l)})
		}
		for _, l := range c.Names {
			want(text{l, name})
		}
		for _, l := range c.Guards {
			want(text{l, guard})
		}
		if c.Escaped {
			escaped.Add(i)
		}
	}
	var long, short, tiny, single []wanted
	for t, rules := range byText {
		w := wanted{[]byte(t.literal), t.form, rules}
		switch {
		case len(w.literal) >= longSize:
			long = append(long, w)
		case len(w.literal) >= shortSize:
			short = append(short, w)
		case len(w.literal) > 1:
			tiny = append(tiny, w)
		default:
			single = append(single, w)
		}
	}
	if !escaped.Empty() {
		single = append(single, wanted{literal: []byte(`\u`), rules: escaped})
	}
	if len(short) <= fewShort {
		single, short = append(single, short...), nil
	}
	if len(tiny) <= fewShort {
		single, tiny = append(single, tiny...), nil
	}
	for _, set := range [][]wanted{long, short, tiny} {
		if len(set) > 0 {
			s.samples = append(s.samples, newSampler(set))
		}
	}
	for _, w := range single {
		s.bytes = append(s.bytes, newByteSearch(w))
	}
	return s
}

// Begin turns to a block.
func (s *Search) Begin(data []byte) {
	for _, g := range s.samples {
		g.begin()
		g.advance(data)
	}
	for _, b := range s.bytes {
		b.advance(data, 0)
	}
}

// Next returns an offset in the next line with a literal, or len(data).
func (s *Search) Next(data []byte) int {
	at := len(data)
	for _, g := range s.samples {
		at = min(at, g.at)
	}
	for _, b := range s.bytes {
		at = min(at, b.at)
	}
	return at
}

// Take adds the rules that want the line before end, and passes that line.
func (s *Search) Take(data []byte, end int, rules Set) {
	for _, g := range s.samples {
		for g.at < end {
			for _, e := range g.found {
				rules.Union(g.literals[e].rules)
			}
			g.advance(data)
		}
	}
	for _, b := range s.bytes {
		if b.at < end {
			rules.Union(b.rules)
			b.advance(data, end)
		}
	}
}

// byteSearch finds a literal by its rarest byte.
type byteSearch struct {
	wanted
	Literal
	at int // where the literal was found, or len(data)
}

func newByteSearch(w wanted) *byteSearch {
	return &byteSearch{wanted: w, Literal: NewLiteral(string(w.literal))}
}

// advance finds the literal at from or behind it.
func (b *byteSearch) advance(data []byte, from int) {
	for b.at = from; b.at < len(data); b.at++ {
		i := b.Index(data[b.at:])
		if i < 0 {
			break
		}
		if b.at += i; b.form.fits(data, b.at, b.at+len(b.literal)) {
			return
		}
	}
	b.at = len(data)
}

// sampler looks for many literals at once.
type sampler struct {
	literals []wanted
	step     int
	size     int                 // of the grams in bytes: 4, or the length of the shortest literal
	mask     uint32              // of a gram in four bytes
	bitmap   [hashes / 64]uint64 // of the hashes of all entered grams
	quads    *[quadHashes]uint8  // by the first bits of a hash: 1 if an entered gram has it; nil if there are many
	heads    [headSize]int32     // by hash: the first of the entries, from 1
	entries  []gramEntry

	pos   int   // next sample
	at    int   // where a literal was found
	found []int // the literals found there
}

// gramEntry is one gram of a literal.
type gramEntry struct {
	gram    uint32
	rare    uint32 // another gram of the literal, which few others have
	rareAt  int32  // its offset from the gram
	literal int32
	offset  int32 // of the gram in the literal
	next    int32 // entry of the same hash, from 1; 0 for none
}

const (
	hashBits = 16
	hashes   = 1 << hashBits
	headBits = 11
	headSize = 1 << headBits

	quadStep   = 7 // the step with which skip reads
	quadBits   = 14
	quadHashes = 1 << quadBits
	mostQuads  = 1024 // grams; with more, skip finds too much
)

func gramHash(gram uint32) uint32 { return gram * 0x9E3779B1 >> (32 - hashBits) }

func newSampler(literals []wanted) *sampler {
	shortest := len(literals[0].literal)
	for _, w := range literals {
		shortest = min(shortest, len(w.literal))
	}
	g := &sampler{literals: literals, size: min(shortest, 4)}
	if shortest == 4 || shortest == 5 { // shorter grams double the step, or nearly
		g.size = 3
	}
	g.step = shortest - g.size + 1
	if g.step >= quadStep && g.step < 2*quadStep && quadStep*len(literals) <= mostQuads {
		g.step, g.quads = quadStep, new([quadHashes]uint8)
	}
	g.mask = 1<<(8*g.size) - 1
	sharing := g.sharing()
	for i, w := range literals {
		costs := g.costs(w.literal, sharing)
		from, rareAt := cheapest(costs, g.step), cheapest(costs, 1)
		for offset := from; offset < from+g.step; offset++ {
			gram := g.gram(w.literal, offset)
			h := gramHash(gram)
			g.bitmap[h/64] |= 1 << (h % 64)
			if g.quads != nil {
				g.quads[h>>(hashBits-quadBits)] = 1
			}
			head := &g.heads[h>>(hashBits-headBits)]
			g.entries = append(g.entries, gramEntry{gram, g.gram(w.literal, rareAt), int32(rareAt - offset), int32(i), int32(offset), *head})
			*head = int32(len(g.entries))
		}
	}
	return g
}

// sharing returns how many literals have each gram.
func (g *sampler) sharing() map[uint32]int {
	sharing := map[uint32]int{}
	for _, w := range g.literals {
		for at := range len(w.literal) - g.size + 1 {
			sharing[g.gram(w.literal, at)]++
		}
	}
	return sharing
}

// costs returns what each gram of a literal costs. It costs time where a line has it,
// for every literal that it may belong to.
func (g *sampler) costs(literal []byte, sharing map[uint32]int) []float64 {
	costs := make([]float64, len(literal)-g.size+1)
	for at := range costs {
		costs[at] = float64(1+sharing[g.gram(literal, at)]) * math.Exp2(-Rarity(string(literal[at:at+g.size])))
	}
	return costs
}

// cheapest returns the offset of n neighbours that cost least together.
func cheapest(costs []float64, n int) int {
	best, least := 0, math.Inf(1)
	for from := range len(costs) - n + 1 {
		sum := 0.0
		for _, c := range costs[from : from+n] {
			sum += c
		}
		if sum < least {
			best, least = from, sum
		}
	}
	return best
}

func (g *sampler) begin() { g.pos = 0 }

// gram returns the gram at an offset of a text.
func (g *sampler) gram(text []byte, offset int) uint32 {
	if offset <= len(text)-4 {
		return binary.LittleEndian.Uint32(text[offset:]) & g.mask
	}
	var padded [4]byte
	copy(padded[:], text[offset:])
	return binary.LittleEndian.Uint32(padded[:]) & g.mask
}

// advance goes on to the next sample that finds a literal.
func (g *sampler) advance(data []byte) {
	pos, step, mask := g.pos, g.step, g.mask
	for pos <= len(data)-4 {
		if g.quads != nil {
			if pos = g.skip(data, pos); pos > len(data)-4 {
				break
			}
		}
		gram := binary.LittleEndian.Uint32(data[pos:]) & mask
		h := gramHash(gram)
		if g.bitmap[h/64%uint32(len(g.bitmap))]&(1<<(h%64)) != 0 && g.confirm(data, pos, gram, h) {
			g.at, g.pos = pos, pos+step
			return
		}
		pos += step
	}
	for ; pos <= len(data)-g.size; pos += step { // short grams at the end
		if gram := g.gram(data, pos); g.confirm(data, pos, gram, gramHash(gram)) {
			g.at, g.pos = pos, pos+step
			return
		}
	}
	g.at, g.pos = len(data), pos
}

// skip passes samples that find nothing, four at a time. With a step that the compiler
// knows, that takes half the time.
func (g *sampler) skip(data []byte, pos int) int {
	const shift = hashBits - quadBits
	for ; pos <= len(data)-4*quadStep; pos += 4 * quadStep {
		quad := (*[4 * quadStep]byte)(data[pos:])
		a := gramHash(binary.LittleEndian.Uint32(quad[:])) >> shift
		b := gramHash(binary.LittleEndian.Uint32(quad[quadStep:])) >> shift
		c := gramHash(binary.LittleEndian.Uint32(quad[2*quadStep:])) >> shift
		d := gramHash(binary.LittleEndian.Uint32(quad[3*quadStep:])) >> shift
		if g.quads[a]|g.quads[b]|g.quads[c]|g.quads[d] != 0 {
			break
		}
	}
	return pos
}

// confirm finds the literals that have the gram at pos.
func (g *sampler) confirm(data []byte, pos int, gram, hash uint32) bool {
	g.found = g.found[:0]
	for i := g.heads[hash>>(hashBits-headBits)]; i > 0; {
		e := &g.entries[i-1]
		i = e.next
		rareAt := pos + int(e.rareAt)
		if e.gram != gram || rareAt < 0 || rareAt > len(data)-g.size || g.gram(data, rareAt) != e.rare {
			continue
		}
		if g.literals[e.literal].at(data, pos-int(e.offset)) {
			g.found = append(g.found, int(e.literal))
		}
	}
	return len(g.found) > 0
}
