package meter

import "time"

// Block is a run of whole lines of one generation, as read from its file.
type Block struct {
	Generation int64     // the generation's ID
	Path       string    // the application's name for the file; expressions see it as `file`
	Sources    []string  // names of the sources that follow this path, in the order of the configuration
	Start      int64     // offset in bytes of Data[0] in the generation
	Data       []byte    // whole lines, each ended by '\n'; only the last line of a finished generation may lack it; the next read reuses the memory
	ReadAt     time.Time // when it was read; also the time of events whose lines tell no time
	Fresh      bool      // whether its lines were written shortly before ReadAt
}

// End returns the offset in bytes just past the block.
func (b Block) End() int64 { return b.Start + int64(len(b.Data)) }
