package meter

import "time"

// Block is a run of whole lines of one generation, as read from its file.
type Block struct {
	Generation int64     // the generation's ID
	Path       string    // the name under which the application wrote the file: what expressions see as `file`
	Sources    []string  // names of the sources that follow this path, in the order of the configuration
	Start      int64     // offset in bytes of Data[0] in the generation
	Data       []byte    // whole lines, each ended by '\n' but perhaps the last of a finished generation; the reader reuses the memory at its next read
	ReadAt     time.Time // when it was read: the time of events that bear none of their own
}

// End is the offset in bytes just behind the block.
func (b Block) End() int64 { return b.Start + int64(len(b.Data)) }
