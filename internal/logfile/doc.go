// Package logfile answers one question: what is this file?
//
// It opens files in folders that belong to somebody else, and refuses everything but
// regular files. It tells files apart by inode and by content, knows
// the names that rotation gives, reads compressed files forward, and finds the
// file that holds what was read earlier ([Disk.Find]).
//
// It keeps nothing between two calls and starts no goroutine. Its values are for
// one goroutine at a time.
package logfile
