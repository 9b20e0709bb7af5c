package tailer

import "github.com/meterlog/meterlog/internal/glob"

// Source is a set of files that share rules.
type Source struct {
	Name    string
	Paths   []string // glob patterns; ** crosses folders
	Exclude []string // glob patterns, of the whole path or, without a slash, of the last element
	AtEnd   bool     // files found at the first start are read from their end
}

func (s Source) files() glob.Set { return glob.Set{Paths: s.Paths, Exclude: s.Exclude} }

// follows reports whether the source's patterns choose the path.
func (s Source) follows(path string) bool { return s.files().Covers(path) }
