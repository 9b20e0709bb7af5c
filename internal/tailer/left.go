package tailer

import (
	"fmt"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// A disk that was copied brings the positions of the first machine along, and lines
// that this machine has not counted yet. The first machine counts them. So the second
// one goes on behind what the files hold when it meets them for the first time.

// leave passes over what the generation's file holds, and counts the bytes as a gap.
func (t *Tailer) leave(s *stream, e entry) error {
	if !s.Left {
		return nil
	}
	if s.arch != nil {
		t.noteLeft(s.Path, s.arch.Length()-s.Offset)
		s.State, s.Left, s.changed = meter.Done, false, true
		s.close()
		return nil
	}
	before := s.Offset
	if end, err := logfile.LastNewline(s.file, e.Size); err != nil {
		return err
	} else if end > before {
		t.takeFromIndex(s)
		err := s.jump(s.file, end)
		t.index(s)
		if err != nil {
			return err
		}
		t.noteLeft(s.Path, end-before)
	}
	s.Left, s.Carry, s.changed = false, nil, true
	return nil
}

// noteLeft counts a gap of bytes that the first machine counts.
func (t *Tailer) noteLeft(path string, bytes int64) {
	if bytes <= 0 {
		return
	}
	t.anomalies.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: path}, bytes,
		fmt.Sprintf("%d bytes are left to the machine that this disk was copied from", bytes))
}

// isLeft reports whether files of the path that no scan has met are left to the
// machine that the disk was copied from.
func (t *Tailer) isLeft(path string) bool {
	for _, source := range t.cfg.Sources {
		for _, pattern := range source.Paths {
			if t.leftGlobs[pattern] && source.follows(path) {
				return true
			}
		}
	}
	return false
}
