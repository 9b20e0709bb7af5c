package logfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/meterlog/meterlog/internal/meter"
)

// A trail finds, after a power failure, the last line that a file still holds where it
// was read. Its first eight bytes are the offset of its first line, with trailForm set.
// The length and a hash of each line up to the position follow.
// A line that differs has the hash of another once in 2^32.
const (
	TrailBytes = 64 << 10 // the most bytes before the position that a trail covers
	trailMost  = 2048     // the most lines of a trail
	trailForm  = 1 << 63  // tells a trail with lengths from the older form without, which is ignored
	trailLine  = 5        // bytes that a line takes in a trail, at least
)

var trailTable = crc32.MakeTable(crc32.Castagnoli)

func TrailHash(line []byte) uint32 { return crc32.Update(uint32(len(line)), trailTable, line) }

// ReadLine is a line of a trail.
type ReadLine struct {
	Start, End int64 // where it was read
	Hash       uint32
}

// LeaveTrail returns the trail of a plain file up to the offset. It returns nil if all
// lines are too long for it. buf has room for trailBytes.
func LeaveTrail(f io.ReaderAt, offset int64, buf []byte) ([]byte, error) {
	from := max(0, offset-TrailBytes)
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
		trail = binary.LittleEndian.AppendUint32(trail, TrailHash(buf[:end]))
		buf = buf[end:]
	}
	return trail, nil
}

// TrailLines returns the lines of a trail, in their order.
func TrailLines(trail []byte) []ReadLine {
	if len(trail) < 8 || trail[7]&0x80 == 0 {
		return nil
	}
	at := int64(binary.LittleEndian.Uint64(trail) &^ trailForm)
	lines := make([]ReadLine, 0, (len(trail)-8)/trailLine)
	for trail = trail[8:]; len(trail) > 0; {
		length, n := binary.Uvarint(trail)
		if n <= 0 || length > TrailBytes || len(trail) < n+4 {
			return nil
		}
		lines = append(lines, ReadLine{at, at + int64(length), binary.LittleEndian.Uint32(trail[n:])})
		at += int64(length)
		trail = trail[n+4:]
	}
	return lines
}

// Standing walks back through the lines of a trail. It returns the end of the last
// line that the file still holds where it was read, and the number of such lines.
func Standing(lines []ReadLine, f io.ReaderAt, size int64) (end int64, count int, err error) {
	if len(lines) == 0 || size <= lines[0].Start {
		return 0, 0, nil
	}
	from := lines[0].Start
	text, err := ReadAt(f, from, int(min(size, lines[len(lines)-1].End)-from))
	if err != nil {
		return 0, 0, err
	}
	for _, line := range slices.Backward(lines) {
		if line.End-from > int64(len(text)) || TrailHash(text[line.Start-from:line.End-from]) != line.Hash {
			continue
		}
		end = max(end, line.End)
		count++
	}
	return end, count, nil
}

// LeastRun is how many lines must agree for a file to be known by them.
const LeastRun = 3

// mostSkipped is how many bytes of a file are searched for the end of a trail.
const mostSkipped = 32 << 20

// RunIn looks for the last lines of a trail elsewhere in the file, whose beginning
// may have been cut off. It returns the offset behind them; 0 where the file does
// not have them. It has them if the run goes back to the file's first whole line or
// to the trail's first, and if its lines are not all alike.
func RunIn(lines []ReadLine, f io.Reader) (behind int64, err error) {
	if len(lines) < LeastRun {
		return 0, nil
	}
	var hashes []uint32
	reader := bufio.NewReaderSize(io.LimitReader(f, mostSkipped), TrailBytes)
	for at := int64(0); ; {
		line, err := reader.ReadSlice('\n')
		at += int64(len(line))
		if errors.Is(err, bufio.ErrBufferFull) {
			hashes = append(hashes, 0)
			continue
		} else if errors.Is(err, io.EOF) || errors.Is(err, ErrDamaged) {
			return behind, nil
		} else if err != nil {
			return 0, err
		}
		hashes = append(hashes, TrailHash(line))
		n := 0
		for n < min(len(lines), len(hashes)) && hashes[len(hashes)-1-n] == lines[len(lines)-1-n].Hash {
			n++
		}
		different := slices.ContainsFunc(lines[len(lines)-n:], func(l ReadLine) bool { return l.Hash != lines[len(lines)-1].Hash })
		fromZero := n == len(lines) && lines[0].Start == 0 // then its beginning is there
		if n >= LeastRun && different && !fromZero && (n == len(lines) || len(hashes)-n <= 1) {
			behind = at
		}
	}
}

// lastLineHolds reports whether the file still holds the last line of a trail where
// it was read, as the last whole line before the offset.
func lastLineHolds(trail []byte, f io.ReaderAt, offset int64) (bool, error) {
	lines := TrailLines(trail)
	if len(lines) == 0 {
		return true, nil
	}
	last := lines[len(lines)-1]
	text, err := ReadAt(f, last.Start, int(min(offset, last.End+TrailBytes)-last.Start))
	line := text[:min(int64(len(text)), last.End-last.Start)]
	return err == nil && TrailHash(line) == last.Hash && bytes.IndexByte(text[len(line):], '\n') < 0, err
}

// BehindCut returns where to go on in a cut file. Up to the offset, a line's beginning,
// the file is as it was read. If NULs follow before the next whole line, the bytes
// before them were counted with a lost line. The same is true if no line follows.
// Otherwise the rest of the lost line and the next line are one.
func BehindCut(f io.ReaderAt, from, size int64) (at int64, err error) {
	at = from
	buf := make([]byte, TrailBytes)
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
		if IsBlankData(piece) {
			pos = max(pos, dataAfter(f, pos, size)-1)
		}
		pos += int64(max(1, n-1)) // NULs may cross the border
		if n == 1 {
			break
		}
	}
	if at == from {
		at = size
	}
	return at, nil
}

// NextNewline returns the offset behind the first newline from the offset on, or size
// without one.
func NextNewline(f io.ReaderAt, from, size int64) (int64, error) {
	buf := make([]byte, TrailBytes)
	for from < size {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-from)], from)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		if n == 0 {
			return 0, err
		}
		from += int64(n)
		if IsBlankData(buf[:n]) {
			from = dataAfter(f, from, size)
		}
	}
	return size, nil
}

func CommonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func EndsBlank(f io.ReaderAt, size int64) (bool, error) {
	last, err := ReadAt(f, max(0, size-2), 2)
	return Blanks(last) == 2, err
}

// LastNewline returns the offset behind the last newline of the file's first size
// bytes, or 0 without one. If the last line is too long, it returns the size.
func LastNewline(f io.ReaderAt, size int64) (int64, error) {
	const step = 64 << 10
	for end := size; end > 0; end -= min(end, step) {
		if size-end > meter.MaxLine {
			return size, nil
		}
		from := max(0, end-step)
		buf, err := ReadAt(f, from, int(end-from))
		if err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
	}
	return 0, nil
}

// dataAfter returns the offset of the next data after zeros, or the size.
func dataAfter(f io.ReaderAt, offset, size int64) int64 {
	file, ok := f.(File)
	if !ok {
		return offset
	}
	return NextData(file, offset, size)
}

// NextData returns the offset of the next data from the offset on, or the size. It
// returns the offset itself if the file system does not tell.
func NextData(f File, offset, size int64) int64 {
	hole := holeAt(f, offset)
	return max(offset, min(size, offset+min(hole, size)))
}
