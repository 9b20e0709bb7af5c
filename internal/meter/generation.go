package meter

// Generation is one logical byte stream that once had a followed name. Its inode
// and its content identify it; a name is only a hint.
//
// A source without files has generations, too. Their Path is the name of the
// source's stream, such as clock:uptime. Their offsets do not count bytes: the clock's
// offsets are seconds since 1970.
type Generation struct {
	ID         int64  // unique in a ledger, ascending
	Path       string // the name that the application wrote to
	Dev, Ino   uint64 // device and inode that held it last; both 0 if no file holds it
	Offset     int64  // bytes consumed: behind a newline, or the end of a finished file
	Head       []byte // its first bytes, at most HeadSize and at most Offset
	Mark       []byte // the last bytes before Offset, at most MarkSize
	Trail      []byte // identifies a file that lost its end; may be nil
	Compressed bool   // whether the file that Dev and Ino name is compressed; offsets count decompressed bytes
	EOFAt      int64  // its length in bytes when it was found finished; -1 before
	State      GenerationState
	Missed     int64 // bytes known to have been there and lost, in state Gap; of the clock: stretches missed before it

	Size         int64  // of its file at the last look, in bytes
	MTime, CTime int64  // when its file was written to and changed, at the last look: nanoseconds since 1970
	Born         int64  // when its file was made, in nanoseconds since 1970; 0 where the file system does not tell
	Before       int64  // the generation whose file was truncated when this one began, or 0
	Carry        []byte // the beginning of its first line, which that generation ended with

	Left bool // its file is left to another machine, to where it ends: the disk was copied

	Names []string // other names that led to its file: followed paths, and where links ended

	Query string // of a source without files: what chooses its events; "" for a file
}

// FileState is what stat tells of a file. Two equal states mean that nobody wrote to the
// file in between.
type FileState struct {
	Dev, Ino     uint64
	Size         int64
	MTime, CTime int64 // nanoseconds since 1970
}

// Copy says that a file in this state holds what is counted as a
// generation. If the file changes, it says nothing about it any more.
type Copy struct {
	FileState
	Of int64 // the generation's ID; 0 takes an earlier Copy back
}

const (
	HeadSize = 1024 // bytes of a generation's beginning that identify it
	MarkSize = 64   // bytes before the offset that show that nothing before it was replaced
)

// GenerationState is where a generation is in its life.
type GenerationState string

const (
	Live    GenerationState = "live"    // its path leads to it
	Rotated GenerationState = "rotated" // its path leads elsewhere; late writers may still append
	Lost    GenerationState = "lost"    // no file that holds it has been found yet; the search goes on
	Done    GenerationState = "done"    // read to its end; kept so that its content is known again
	Gap     GenerationState = "gap"     // it ended before it was read; the loss is counted

	// Forgotten: done or gap, and no file has its content any more. Only the
	// records that were counted from it need it.
	Forgotten GenerationState = "forgotten"
)
