// Package search finds literals in blocks of lines. A [Clause] says what a line
// must contain for a condition to be true or to fail. A [Search] finds the lines
// of a block that contain what any of its clauses requires.
//
// A Search belongs to one goroutine.
package search
