package meter

import "time"

// Activity tells how long a rule has found nothing, and what is usual for it.
type Activity struct {
	Rule       string
	FirstMatch time.Time     // UTC; zero while the rule has counted no line
	LastMatch  time.Time     // UTC; zero while the rule has counted no line
	Silence    Stretch       // since the last match, or since the rule is watched
	Longest    []LongestOver // of the last days, oldest first
}

// Stretch is a run of input without a match. It counts the bytes of the rule's
// sources, and the time that an agent watched them.
type Stretch struct {
	Bytes int64
	Time  time.Duration
}

// LongestOver holds the longest stretches that ended on one day: the most bytes
// and the most time, perhaps of two stretches.
type LongestOver struct {
	Day time.Time // its midnight, UTC
	Stretch
}

// Max returns the larger of both measures.
func (s Stretch) Max(other Stretch) Stretch {
	return Stretch{max(s.Bytes, other.Bytes), max(s.Time, other.Time)}
}
