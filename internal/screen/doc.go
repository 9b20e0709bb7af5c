// Package screen writes for people. It knows tables, wrapped texts, sizes and
// times, and how wide a terminal is.
//
// A [Guard] is before standard output and standard error. What others wrote
// passes through it, so it writes control characters as escapes. If the journal
// reads the output, the guard gives each line a priority.
//
// Nothing in it is safe for concurrent use.
package screen
