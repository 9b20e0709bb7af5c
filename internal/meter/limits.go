package meter

import "time"

// UsableFor is how old usage may be when the API takes it. The API gives the
// reason EXPIRED to what is "older than one hour".
const UsableFor = time.Hour

// MaxLine is the longest line that is read, in bytes. Longer lines are counted
// as anomalies and skipped.
const MaxLine = 1 << 20

// LateAfter is how old an event may be when it is read to count with its own time,
// if its source has `late: read`. Five minutes are left to deliver it.
const LateAfter = 55 * time.Minute

// LongestWindow is the longest stretch of time that a record may sum.
const LongestWindow = 30 * time.Minute
