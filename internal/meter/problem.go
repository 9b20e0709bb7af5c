package meter

import "time"

// Problem is something that is wrong at present, for the operator. The codes
// are published: `status` and the metrics show them.
type Problem struct {
	Code    string    // the kind of trouble, in lower case with underscores
	Subject string    // path, SKU or the like that it is about; "" where it needs none
	Message string    // what is wrong
	Hint    string    // what to do about it
	Since   time.Time // UTC; zero where unknown
}

// notes are the codes of what an operator should know but need not act on.
var notes = map[string]bool{"rule_never_matched": true, "rule_quiet": true, string(History): true, string(StretchMissed): true, string(LateEvent): true, string(Foreign): true}

// IsNote reports whether a problem of this code needs nobody to act.
func IsNote(code string) bool { return notes[code] }

// Note reports whether the problem needs nobody to act.
func (p Problem) Note() bool { return IsNote(p.Code) }
