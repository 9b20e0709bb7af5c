package meter

import "time"

// KeyHash is 128 bits of a hash of a rule and a key. Its secret is the ledger's.
type KeyHash [16]byte

// Once says what a rule with `once` remembers. A rule with another Form remembers
// other keys.
type Once struct {
	Rule   string
	Form   string        // the key and the stretch in the configuration's words
	Within time.Duration // how long after it was counted a key counts again; 0: once in each stretch
}

// KeyRef names a key where an event has it.
type KeyRef struct {
	Once    *Once
	Hash    KeyHash
	Stretch Window // keys are remembered under it
	At      int64  // with Within: the event's time in milliseconds since the stretch began; otherwise 0
}

// Keyed is a line with a key. It counts if it is the first of its key.
type Keyed struct {
	CountKey
	KeyRef
	Amount, Start, End int64
	Time               int64 // when the event counts, in seconds since 1970
}

// StretchWithin returns the stretch of an event for a rule with within, in whole
// seconds, and the event's milliseconds in it. Two keys that are less than within apart
// are in one stretch or in two neighbours.
func StretchWithin(at time.Time, within time.Duration) (stretch Window, ms int64) {
	stretch = WindowAt(at, max(within, time.Hour))
	return stretch, at.UnixMilli() - stretch.Start*1000
}

// time returns the time of the event in milliseconds.
func (r *KeyRef) time() int64 { return r.Stretch.Start*1000 + r.At }

// Neighbours returns the starts of the stretches that can hold a key which makes
// this one a repeat.
func (r *KeyRef) Neighbours() []int64 {
	if r.Once.Within == 0 {
		return []int64{r.Stretch.Start}
	}
	length := r.Stretch.End - r.Stretch.Start
	return []int64{r.Stretch.Start - length, r.Stretch.Start, r.Stretch.Start + length}
}

// Repeats reports whether a line is a repeat of a counted one of the same rule
// and key.
func (r *KeyRef) Repeats(stretch, at int64) bool {
	if r.Once.Within == 0 {
		return stretch == r.Stretch.Start
	}
	apart := r.time() - (stretch*1000 + at)
	return max(apart, -apart) < r.Once.Within.Milliseconds()
}

// Keys remembers counted keys in memory. The zero value is empty. It belongs to
// one goroutine.
type Keys struct {
	counted map[keyAt][]int64 // times within the stretch
}

type keyAt struct {
	hash    KeyHash
	stretch int64
}

// Add remembers a counted key.
func (k *Keys) Add(hash KeyHash, stretch, at int64) {
	if k.counted == nil {
		k.counted = make(map[keyAt][]int64)
	}
	place := keyAt{hash, stretch}
	k.counted[place] = append(k.counted[place], at)
}

// First reports whether a line counts, and remembers its key then.
func (k *Keys) First(r *KeyRef) bool {
	for _, stretch := range r.Neighbours() {
		for _, at := range k.counted[keyAt{r.Hash, stretch}] {
			if r.Repeats(stretch, at) {
				return false
			}
		}
	}
	k.Add(r.Hash, r.Stretch.Start, r.At)
	return true
}

// RecentKeys is a cache of keys that the ledger holds. It forgets whenever it
// likes. It belongs to one goroutine.
type RecentKeys struct {
	sets []recentSet
}

// recentSets is the number of sets: with recentWays keys each, 262,144 keys in
// 8 MiB.
const (
	recentSets = 1 << 15
	recentWays = 8
)

type recentSet struct {
	keys [recentWays]recentKey
	next byte // the key that the next one replaces
}

// recentKey is a counted key, with its time in the stretch. The zero value is unused.
type recentKey struct {
	hash    KeyHash
	stretch int64
	after   int64 // at + 1
}

func (c *RecentKeys) set(hash *KeyHash) *recentSet {
	i := uint32(hash[0]) | uint32(hash[1])<<8
	return &c.sets[i&(recentSets-1)]
}

// Repeats reports whether a line is known to be a repeat.
func (c *RecentKeys) Repeats(r *KeyRef) bool {
	if c == nil || c.sets == nil {
		return false
	}
	set := c.set(&r.Hash)
	for i := range set.keys {
		if k := &set.keys[i]; k.after > 0 && k.hash == r.Hash && r.Repeats(k.stretch, k.after-1) {
			return true
		}
	}
	return false
}

// Add remembers a key that the ledger holds.
func (c *RecentKeys) Add(r *KeyRef) {
	if c.sets == nil {
		c.sets = make([]recentSet, recentSets)
	}
	set := c.set(&r.Hash)
	for i := range set.keys {
		if k := &set.keys[i]; k.after > 0 && k.hash == r.Hash && r.Repeats(k.stretch, k.after-1) {
			return
		}
	}
	set.keys[set.next] = recentKey{r.Hash, r.Stretch.Start, r.At + 1}
	set.next = (set.next + 1) % recentWays
}
