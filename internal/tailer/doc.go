// Package tailer follows log files exactly: every complete line that is
// appended to a followed file is handed out once, in blocks, over rotations
// and restarts.
//
// # How it knows a file
//
// A name is only a hint. The tailer follows generations ([meter.Generation]). A
// generation is one byte stream that once had the name. Its device and inode and its
// content identify it: the first bytes (the head) and the bytes just before the
// position (the mark). If its inode is gone or has other content, the tailer looks
// for head and mark among the rotated forms of the name.
//
// The read primitive reads the data first and the mark after it. If the mark is
// still the same, nothing before the data was replaced.
//
// # The life of a generation
//
//	(found) → live → rotated → done → (forgotten)
//	            ↓       ↓
//	           lost → rotated, or gap
//
// live: its path leads to it. rotated: its path leads elsewhere. The tailer keeps the
// descriptor and reads until the file has been quiet for a while. lost: the file was
// truncated or is gone, and the tailer looks for a copy. done: it was read to its end.
// It is remembered, so that its content is known under another name. gap: it ended
// before it was read, and the loss is counted. Generations that are done or a gap are
// forgotten a week after the last file with their content is gone.
//
// # Who may use it
//
// A Tailer starts no goroutine that reads files. One goroutine, the meter loop, calls
// all of it. [Tailer.Next] returns the next block, [Tailer.Take] what changed since its
// last call, and [Tailer.Survey] the position in each file. [Tailer.Wait] sleeps until
// there may be more. [Tailer.Handover] gives the open files to the Tailer of another
// configuration.
//
// # What cannot be read
//
// The tailer reports a file, a folder or a pattern once when it cannot read it, and
// again when it can. Until then it concludes nothing: it takes no file for rotated,
// gone or new because it could not see another. It tells damage of a compressed file
// from an error of the disk: damage passes only if somebody still writes to the file.
package tailer
