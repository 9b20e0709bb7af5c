package tailer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// A trail holds what is needed to find, after a power failure, up to which line
// a file still is what was read of it: the offset at which it begins, in eight
// bytes, and a hash of each line from there to the position, in four. A line
// that differs has the hash of another once in 2^32.
const (
	trailBytes = 64 << 10 // before the position, that a trail covers at most
	trailLines = 2048     // of which it has hashes, at most: 8 KiB
)

var trailTable = crc32.MakeTable(crc32.Castagnoli)

func trailHash(line []byte) uint32 { return crc32.Update(uint32(len(line)), trailTable, line) }

// leaveTrail returns the trail of a plain file up to the offset; nil where no
// line is short enough to be in it. buf has room for trailBytes.
func leaveTrail(f io.ReaderAt, offset int64, buf []byte) ([]byte, error) {
	from := max(0, offset-trailBytes)
	buf = buf[:offset-from]
	if _, err := f.ReadAt(buf, from); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if from > 0 {
		begin := bytes.IndexByte(buf, '\n') + 1
		from, buf = from+int64(begin), buf[begin:]
	}
	n := bytes.Count(buf, []byte{'\n'})
	for ; n > trailLines; n-- {
		begin := bytes.IndexByte(buf, '\n') + 1
		from, buf = from+int64(begin), buf[begin:]
	}
	if n == 0 {
		return nil, nil
	}
	trail := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+4*n), uint64(from))
	for range n {
		end := bytes.IndexByte(buf, '\n') + 1
		trail = binary.LittleEndian.AppendUint32(trail, trailHash(buf[:end]))
		buf = buf[end:]
	}
	return trail, nil
}

// followTrail returns where the trail begins and up to where its lines stand in
// the file.
func followTrail(trail []byte, f io.ReaderAt, size int64) (start, end int64, err error) {
	if len(trail) < 8 {
		return 0, 0, nil
	}
	start = int64(binary.LittleEndian.Uint64(trail))
	end = start
	lines := bufio.NewReaderSize(io.NewSectionReader(f, start, max(0, size-start)), trailBytes)
	for trail = trail[8:]; len(trail) >= 4; trail = trail[4:] {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
			break
		} else if err != nil {
			return start, start, err
		}
		if trailHash(line) != binary.LittleEndian.Uint32(trail) {
			break
		}
		end += int64(len(line))
	}
	return start, end, nil
}

// lastLineStands reports whether the last line of a trail stands in the file where
// it did: the last that is whole before the offset.
func lastLineStands(trail []byte, f io.ReaderAt, offset int64) (bool, error) {
	if len(trail) < 12 {
		return true, nil
	}
	start := int64(binary.LittleEndian.Uint64(trail))
	want := binary.LittleEndian.Uint32(trail[len(trail)-4:])
	for n := int64(4 << 10); ; n *= 2 { // most lines are short
		from := max(start, offset-n)
		buf, err := readAt(f, from, int(offset-from))
		if err != nil {
			return false, err
		}
		end := bytes.LastIndexByte(buf, '\n') + 1
		begin := bytes.LastIndexByte(buf[:max(0, end-1)], '\n') + 1
		if begin > 0 || from == start {
			return trailHash(buf[begin:end]) == want, nil
		}
	}
}

// trailOf returns the stream's trail as it is to be committed: that of its open
// file, or the one that it came with where nothing was read since. What is
// finished, lost or compressed has none.
func (t *Tailer) trailOf(s *stream) []byte {
	if s.Compressed || s.State != meter.Live && s.State != meter.Rotated {
		return nil
	}
	if s.file == nil {
		return s.Trail
	}
	if t.trail == nil {
		t.trail = make([]byte, trailBytes)
	}
	trail, err := leaveTrail(s.file, s.Offset, t.trail)
	if err != nil || s.verify() != nil { // the next read finds out
		return nil
	}
	return trail
}

// cut is what a power failure left of a file: a part of what was read of it,
// perhaps NULs, and what was written since.
type cut struct {
	at    int64 // where to go on
	exact bool  // nothing from there on was read, and nothing before it is unread
}

// cutOf tells where to go on in the stream's file, which does not hold all that
// was read; found is false where it holds no line of it, and is another file.
func (s *stream) cutOf(f io.ReaderAt, size int64, v verdict) (c cut, found bool, err error) {
	head, err := readAt(f, 0, int(min(size, int64(len(s.Head)))))
	if err != nil {
		return c, false, err
	}
	stands := commonPrefix(head, s.Head)
	start, end, err := followTrail(s.Trail, f, size)
	if err != nil {
		return c, false, err
	}
	switch {
	case end > start && int64(stands) >= min(start, int64(len(s.Head))):
	case stands < len(s.Head) || int64(len(s.Head)) == s.Offset || start == 0 && len(s.Trail) > 0:
		end = int64(bytes.LastIndexByte(s.Head[:stands], '\n') + 1)
	default: // it was cut behind the head and before the trail
		return s.cutBeforeTrail(f, size, v)
	}
	c.exact = true
	if c.at, err = behindCut(f, end, size); err != nil || end > 0 {
		return c, true, err
	}
	next, err := readAt(f, int64(stands), 1)
	return c, stands > 0 && isBlankData(next), err
}

// cutBeforeTrail is cutOf for a file of which so much was lost that nobody
// knows where. All behind the position is new; what may be new before it is
// missed rather than what was counted counted again.
func (s *stream) cutBeforeTrail(f io.ReaderAt, size int64, v verdict) (cut, bool, error) {
	if size >= s.Offset {
		if v == blanked { // so all that was written since is behind the position
			return cut{s.Offset, true}, true, nil
		}
		last, err := readAt(f, s.Offset-1, 1)
		if err != nil || string(last) == "\n" {
			return cut{at: s.Offset}, true, err
		}
		next, err := nextNewline(f, s.Offset, size)
		return cut{at: next}, true, err
	}
	blank, err := endsBlank(f, size)
	return cut{size, blank}, true, err
}

// behindCut returns where to go on in a file that is what was read up to the
// offset, a line's beginning. If NULs follow before the next line is whole, what
// is before them was counted with a line that is lost; so was what is there
// where no line follows. Else the rest of the lost line and the next are one.
func behindCut(f io.ReaderAt, from, size int64) (at int64, err error) {
	at = from
	buf := make([]byte, trailBytes)
	for pos := from; pos < size; {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-pos)], pos)
		if n == 0 {
			return at, err
		}
		piece := buf[:n]
		end := bytes.IndexByte(piece, '\n')
		if end >= 0 {
			piece = piece[:end]
		}
		if i := bytes.LastIndex(piece, []byte("\x00\x00")); i >= 0 {
			at = pos + int64(i) + 2
		}
		if end >= 0 {
			return at, nil
		}
		pos += int64(max(1, n-1)) // NULs may lie across
		if n == 1 {
			break
		}
	}
	if at == from {
		at = size
	}
	return at, nil
}

// nextNewline returns the offset behind the first newline from the offset on;
// size where there is none.
func nextNewline(f io.ReaderAt, from, size int64) (int64, error) {
	buf := make([]byte, trailBytes)
	for from < size {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-from)], from)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		if n == 0 {
			return 0, err
		}
		from += int64(n)
	}
	return size, nil
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// rejoinCut goes on with a generation in its file, of which a power failure took
// the end, and reports whether it was that. It takes over the file, then.
func (t *Tailer) rejoinCut(s *stream, e entry, f file, v verdict, entries []entry, now time.Time) bool {
	if f == nil || s.Offset == 0 || v == same || v == unread || !t.mayHaveLostPower(s, e) {
		return false
	}
	c, found, err := s.cutOf(f, e.size, v)
	if err == nil && found && s.finished() {
		found, err = endsBlank(f, e.size) // else it is a copy, or another file
		c.at = e.size
	}
	if err == nil && !found {
		return false
	}
	held, unsure := false, false
	if err == nil {
		held, unsure = t.heldElsewhere(s, e, entries)
	}
	if err == nil && !held && !unsure {
		err = s.jump(f, c.at)
	}
	if err != nil {
		t.fail(e.name, err)
	}
	if err != nil || held || unsure {
		f.Close()
		if held {
			t.part(s, e, now)
		}
		return true
	}
	t.cfg.Log.Warn("the end of what was read of a file is gone, as after a power failure: going on behind it", "path", e.name, "offset", c.at)
	if !s.finished() {
		s.EOFAt = -1
		if !c.exact {
			t.anomalies.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: s.Path}, 0,
				fmt.Sprintf("%s lost more of its end than can be found out: reading goes on at offset %d, and what was written since then before it may be missed", e.name, c.at))
		}
	}
	t.bind(s, e, f, nil, now)
	return true
}

func endsBlank(f io.ReaderAt, size int64) (bool, error) {
	last, err := readAt(f, max(0, size-2), 2)
	return blanks(last) == 2, err
}
