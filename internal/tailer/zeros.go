package tailer

import (
	"bytes"

	"github.com/meterlog/meterlog/internal/logfile"
)

// skipBlanks moves the position over the blanks at it, which are the first of
// the n bytes in the buffer. While nothing follows them they may be room that is
// still to be written to, and stay.
func (t *Tailer) skipBlanks(s *stream, n, blank int) error {
	from := s.Offset
	if blank == len(t.buffer) && s.arch == nil {
		var err error
		from = max(s.blankTo, from+int64(blank))
		if n, err = s.read(t.buffer, from); err != nil {
			return err
		}
		blank = n - len(bytes.TrimLeft(t.buffer[:n], "\x00"))
	}
	end := from + int64(blank)
	s.readTo, s.blankTo = from+int64(n), end
	more := n == len(t.buffer)
	if blank == n && (!more || s.arch == nil) && !(s.ending && !more && t.atEnd(s)) {
		if more {
			if info, err := s.file.Stat(); err == nil {
				s.blankTo = logfile.NextData(s.file, end, info.Size())
			}
			t.enqueue(s)
		}
		return nil
	}
	if s.arch != nil {
		s.consume(t.buffer[:blank])
	} else if err := s.jump(s.file, end); err != nil {
		return err
	}
	if s.readTo = from + int64(n); s.ending && s.Offset == s.readTo && !more {
		t.finish(s)
		return nil
	}
	t.enqueue(s)
	return nil
}
