package rules

import "strings"

// Problem is one mistake in a configuration.
type Problem struct {
	File         string
	Line, Column int // from 1; 0 where the problem has no place in the file
	Message      string
	Excerpt      string // the line of the file and a caret below its place; may be empty
	Hint         string // what to do about it; may be empty
}

func (p Problem) String() string { return p.Message }

// Problems is every mistake of a configuration, in the order of the file.
type Problems []Problem

func (ps Problems) Error() string {
	s := make([]string, len(ps))
	for i, p := range ps {
		s[i] = p.String()
	}
	return strings.Join(s, "\n")
}
