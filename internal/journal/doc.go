// Package journal reads the sources that are not files: the clock, for products
// that are sold by the hour.
//
// Like the tailer, a [Clock] hands out blocks by Next and the positions behind
// them by Take. One goroutine calls both, and commits the positions together with
// the counts of the blocks.
package journal
