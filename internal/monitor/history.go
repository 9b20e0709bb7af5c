package monitor

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// History is what the files of a source held before the source's first scan.
type History struct {
	Source  *rules.Source
	Files   int
	Bytes   int64  // as they are on disk
	Example string // the path of one of the files
}

// FindHistory returns the history of the sources that have a pattern without a
// first scan yet: at a first start, or after a reload that brought the pattern.
// It leaves out files that are followed already.
func FindHistory(conf *config.Config, known []meter.Generation, globs map[string]time.Time) (all []History) {
	followed, roots := make(map[[2]uint64]bool), conf.Roots()
	for _, g := range known {
		if g.Ino != 0 {
			followed[[2]uint64{g.Dev, g.Ino}] = true
		}
	}
	for _, s := range conf.Sources {
		fresh := slices.DeleteFunc(slices.Clone(s.Paths), func(pattern string) bool { _, scanned := globs[pattern]; return scanned })
		h := History{Source: s}
		paths, _ := glob.Set{Paths: fresh, Exclude: s.Exclude}.Files() // others say what cannot be read
		for _, path := range paths {
			info, err := logfile.Stat(path, roots.Of(path))
			if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
				continue
			}
			if inode, ok := info.Sys().(*syscall.Stat_t); ok && followed[[2]uint64{inode.Dev, inode.Ino}] {
				continue
			}
			if h.Files == 0 {
				h.Example = path
			}
			h.Files++
			h.Bytes += info.Size()
		}
		if h.Files > 0 {
			all = append(all, h)
		}
	}
	return all
}

// Fate returns what becomes of the lines.
func (h History) Fate() string {
	switch {
	case h.Source.StartAt == "end":
		return "left out, since the source has `start_at: end`"
	case h.Source.LateRead:
		return "counted at their own times, or as usage of now if they are over 55 minutes old; `start_at: end` at the source would leave them out"
	case h.Source.Timed():
		return "counted at their own times; the API refuses what is older than an hour"
	}
	return "counted as usage of now; `start_at: end` at the source would leave them out"
}

// Anomaly returns how the ledger keeps the history.
func (h History) Anomaly() *meter.Anomaly {
	return &meter.Anomaly{Count: int64(h.Files), Bytes: h.Bytes, Example: fmt.Sprintf("%s; its lines are %s", h.Example, h.Fate())}
}
