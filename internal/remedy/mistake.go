// Package remedy says what is wrong with an expression or a value of the configuration,
// and what was meant: in words for people who know other languages. It also names the
// closest word to one that is not known. It keeps no state, and may be called from
// several goroutines.
package remedy

// Mistake is what is wrong with an expression, and where.
type Mistake struct {
	Offset  int    // in characters
	Message string // one line
	Hint    string // what to do about it; may be empty
}
