package meter

import (
	"encoding/binary"
	"time"
)

// KeyHash is 128 bits of a hash of a rule and a key. Its secret is the ledger's.
type KeyHash [16]byte

// Word returns the first 64 of the bits.
func (h *KeyHash) Word() uint64 { return binary.BigEndian.Uint64(h[:]) }

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
func (r *KeyRef) Repeats(stretch, at int64) bool { return r.repeats(stretch*1000 + at) }

// repeats does what Repeats does, for a time in milliseconds.
func (r *KeyRef) repeats(counted int64) bool {
	apart := r.time() - counted
	if r.Once.Within == 0 {
		return apart == 0
	}
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
	next []uint8 // of each set: the key that the next one replaces
}

// recentSets is the number of sets: with recentWays keys each, 262,144 keys in
// 6 MiB.
const (
	recentSets = 1 << 15
	recentWays = 8
)

type recentSet [recentWays]recentKey

// recentKey is a counted key and its time. The zero value is unused.
type recentKey struct {
	hash KeyHash
	at   int64 // its time, in milliseconds, plus 1
}

func setOf(hash *KeyHash) int { return int(hash.Word() % recentSets) }

// Repeats reports whether a line is known to be a repeat.
func (c *RecentKeys) Repeats(r *KeyRef) bool {
	if c == nil || c.sets == nil {
		return false
	}
	set := &c.sets[setOf(&r.Hash)]
	for i := range set {
		if k := &set[i]; k.hash == r.Hash && k.at != 0 && r.repeats(k.at-1) {
			return true
		}
	}
	return false
}

// Add remembers a key that the ledger holds.
func (c *RecentKeys) Add(r *KeyRef) {
	if c.sets == nil {
		c.sets, c.next = make([]recentSet, recentSets), make([]uint8, recentSets)
	}
	if c.Repeats(r) {
		return
	}
	i := setOf(&r.Hash)
	c.sets[i][c.next[i]] = recentKey{r.Hash, r.time() + 1}
	c.next[i] = (c.next[i] + 1) % recentWays
}
