// Package tailer follows log files exactly: every complete line that is
// appended to a followed file is handed out once, in blocks, over rotations
// and restarts.
//
// # How it knows a file
//
// A name is only a hint. What is followed is a generation
// ([meter.Generation]): one byte stream that once had the name, known by its
// device and inode and by its content: its first bytes (the head) and the
// bytes just before the position (the mark). A generation whose inode is gone
// or bears other content is looked for by head and mark among the rotated
// forms of its name.
//
// The read primitive reads the data first and the mark after it: where the
// mark still stands, nothing before the data was replaced.
//
// # The life of a generation
//
//	(found) → live → rotated → done → (forgotten)
//	            ↓       ↓
//	           lost → rotated, or gap
//
// live: its path leads to it. rotated: its path leads elsewhere; the
// descriptor is kept and read until it has been quiet for a while. lost: the
// file was truncated or is gone; a copy of it is looked for. done: read to its
// end; it is remembered so that its content is known when it turns up under
// another name. gap: it ended before it was read, which is counted. Both are
// forgotten a week after the last file with their content is gone.
//
// # Who may use it
//
// A Tailer starts no goroutine that reads files; it is pulled: [Tailer.Next]
// gives the next block, [Tailer.Take] what changed since it was last called,
// [Tailer.Wait] sleeps until there may be more, [Tailer.Survey] tells where each
// file stands, [Tailer.Handover] gives the open files to the Tailer of another
// configuration. All are called by one goroutine, the meter loop. [Find] needs no
// Tailer: it looks for what was counted, wherever it is now.
//
// # What cannot be read
//
// A file, a folder or a pattern that cannot be looked at or read is said once,
// and once more when it can; until then nothing is concluded from it: no file is
// taken for rotated, gone or new since another could not be seen. Damage of a
// compressed file is told from an error of the disk: it passes only if somebody
// still writes to the file.
package tailer
