package meter

import "time"

// Window is a UTC-aligned stretch of time over which usage is summed: from
// Start, included, to End, excluded, both in Unix seconds.
type Window struct {
	Start, End int64
}

// WindowAt returns the window of the given length, in whole seconds, that
// holds t. Windows are aligned to the Unix epoch. If the length divides an
// hour, a window begins with each hour.
func WindowAt(t time.Time, length time.Duration) Window {
	seconds := int64(length / time.Second)
	unix := t.Unix()
	start := unix - unix%seconds
	if unix%seconds < 0 {
		start -= seconds
	}
	return Window{Start: start, End: start + seconds}
}

// StartTime returns the beginning of the window in UTC.
func (w Window) StartTime() time.Time { return time.Unix(w.Start, 0).UTC() }

// EndTime returns the first instant after the window, in UTC.
func (w Window) EndTime() time.Time { return time.Unix(w.End, 0).UTC() }
