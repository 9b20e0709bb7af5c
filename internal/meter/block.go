package meter

import "time"

// Block is a run of whole lines of one generation, as read from its file.
type Block struct {
	Generation int64     // the generation's ID
	Path       string    // the application's name for the file; expressions see it as `file`
	Sources    []string  // names of the sources that follow this path, in the order of the configuration
	Names      []string  // how each of Sources calls the file; nil where all call it Path
	Start      int64     // offset in bytes of Data[0] in the generation
	Data       []byte    // whole lines, each ended by '\n'; only the last line of a finished generation may lack it; the next read reuses the memory
	ReadAt     time.Time // when it was read; also the time of events whose lines tell no time
	Fresh      bool      // whether its lines were written shortly before ReadAt
	Events     []Event   // of a source without files: one for each text in Data, in order; nil for a file
}

// Event says where an event of a source without files is in its generation.
type Event struct {
	End      int   // offset in Data just past the event's text and a newline; the text may hold more newlines
	From, To int64 // its range in the generation

	At    time.Time      // its own time; zero if its source's timestamp tells the time, or nothing does
	Entry map[string]any // expressions see it as `entry`; may be nil
}

// End returns the offset in bytes just past the block.
func (b Block) End() int64 { return b.Start + int64(len(b.Data)) }
