package tailer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// A trail finds, after a power failure, the last line that a file still holds
// where it was read. It has the offset at which its lines begin, in eight bytes
// with trailForm set, and of each line up to the position its length and a hash.
// A line that differs has the hash of another once in 2^32.
const (
	trailBytes = 64 << 10 // a trail covers at most so many bytes before the position
	trailMost  = 2048     // a trail has at most so many lines
	trailForm  = 1 << 63  // tells a trail with lengths from the older form without, which is ignored
	trailLine  = 5        // bytes that a line takes in a trail, at least
)

var trailTable = crc32.MakeTable(crc32.Castagnoli)

func trailHash(line []byte) uint32 { return crc32.Update(uint32(len(line)), trailTable, line) }

// readLine is a line of a trail.
type readLine struct {
	start, end int64 // where it was read
	hash       uint32
}

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
	for ; n > trailMost; n-- {
		begin := bytes.IndexByte(buf, '\n') + 1
		from, buf = from+int64(begin), buf[begin:]
	}
	if n == 0 {
		return nil, nil
	}
	trail := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+(trailLine+1)*n), uint64(from)|trailForm)
	for range n {
		end := bytes.IndexByte(buf, '\n') + 1
		trail = binary.AppendUvarint(trail, uint64(end))
		trail = binary.LittleEndian.AppendUint32(trail, trailHash(buf[:end]))
		buf = buf[end:]
	}
	return trail, nil
}

// trailLines returns the lines of a trail, in their order.
func trailLines(trail []byte) []readLine {
	if len(trail) < 8 || trail[7]&0x80 == 0 {
		return nil
	}
	at := int64(binary.LittleEndian.Uint64(trail) &^ trailForm)
	lines := make([]readLine, 0, (len(trail)-8)/trailLine)
	for trail = trail[8:]; len(trail) > 0; {
		length, n := binary.Uvarint(trail)
		if n <= 0 || length > trailBytes || len(trail) < n+4 {
			return nil
		}
		lines = append(lines, readLine{at, at + int64(length), binary.LittleEndian.Uint32(trail[n:])})
		at += int64(length)
		trail = trail[n+4:]
	}
	return lines
}

// standing walks back through the lines of a trail. It returns the end of the last
// one that the file holds where it was read, and how many the file holds so.
func standing(lines []readLine, f io.ReaderAt, size int64) (end int64, count int, err error) {
	if len(lines) == 0 || size <= lines[0].start {
		return 0, 0, nil
	}
	from := lines[0].start
	text, err := readAt(f, from, int(min(size, lines[len(lines)-1].end)-from))
	if err != nil {
		return 0, 0, err
	}
	for _, line := range slices.Backward(lines) {
		if line.end-from > int64(len(text)) || trailHash(text[line.start-from:line.end-from]) != line.hash {
			continue
		}
		end = max(end, line.end)
		count++
	}
	return end, count, nil
}

// leastRun is how many lines must agree for a file to be known by them.
const leastRun = 3

// mostSkipped is how many bytes of a file are searched for the end of a trail.
const mostSkipped = 32 << 20

// runIn looks for the last lines of a trail elsewhere in the file, whose beginning
// may have been cut off. It returns the offset behind them; 0 where the file does
// not have them. It has them if the run goes back to the file's first whole line or
// to the trail's first, and if its lines are not all alike.
func runIn(lines []readLine, f io.ReaderAt, size int64) (behind int64, err error) {
	if len(lines) < leastRun {
		return 0, nil
	}
	var hashes []uint32
	reader := bufio.NewReaderSize(io.NewSectionReader(f, 0, min(size, mostSkipped)), trailBytes)
	for at := int64(0); ; {
		line, err := reader.ReadSlice('\n')
		at += int64(len(line))
		if errors.Is(err, bufio.ErrBufferFull) {
			hashes = append(hashes, 0)
			continue
		} else if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		} else if err != nil {
			return behind, nil
		}
		hashes = append(hashes, trailHash(line))
		n := 0
		for n < min(len(lines), len(hashes)) && hashes[len(hashes)-1-n] == lines[len(lines)-1-n].hash {
			n++
		}
		different := slices.ContainsFunc(lines[len(lines)-n:], func(l readLine) bool { return l.hash != lines[len(lines)-1].hash })
		if n >= leastRun && different && (n == len(lines) || len(hashes)-n <= 1) {
			behind = at
		}
	}
}

// lastLineStands reports whether the last line of a trail stands in the file where
// it did, as the last whole line before the offset.
func lastLineStands(trail []byte, f io.ReaderAt, offset int64) (bool, error) {
	lines := trailLines(trail)
	if len(lines) == 0 {
		return true, nil
	}
	last := lines[len(lines)-1]
	text, err := readAt(f, last.start, int(min(offset, last.end+trailBytes)-last.start))
	line := text[:min(int64(len(text)), last.end-last.start)]
	return err == nil && trailHash(line) == last.hash && bytes.IndexByte(text[len(line):], '\n') < 0, err
}

// lastTrail returns the newest trail that there is of a stream.
func (t *Tailer) lastTrail(s *stream) []byte {
	switch {
	case s.Trail != nil:
		return s.Trail
	case s.file != nil && s.Offset > 0:
		return t.trailOf(s)
	case s.pastAt == s.Offset:
		return s.past
	}
	return nil
}

// trailOf returns the stream's trail as it is to be committed: that of its open
// file, or the last one that was left. What was read to its end or is compressed
// has none.
func (t *Tailer) trailOf(s *stream) []byte {
	if s.Compressed || s.State == meter.Done && s.EOFAt == s.Offset && s.lostAt.IsZero() {
		return nil
	}
	if s.file == nil {
		return t.lastTrail(s)
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
	lines := trailLines(s.Trail)
	if s.Trail == nil {
		lines = trailLines(s.past)
	}
	end, count, err := standing(lines, f, size)
	if err != nil {
		return c, false, err
	}
	start := int64(0)
	if len(lines) > 0 {
		start = lines[0].start
	}
	switch {
	case count > 0 && int64(stands) >= min(start, int64(len(s.Head))) || count >= leastRun:
	case stands < len(s.Head) || int64(len(s.Head)) == s.Offset || start == 0 && len(lines) > 0:
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
