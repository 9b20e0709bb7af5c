package logfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// ErrUndecided says that an archive has used up its step without an answer.
// [Archive.Advance] goes on towards it.
var ErrUndecided = errors.New("not decompressed so far yet")

// The limits of one step of an archive.
const (
	stepBytes = 1 << 20 // read and decompressed
	stepTime  = 25 * time.Millisecond
)

// Archive reads a compressed file. Offsets count decompressed bytes. It reads
// forward: to reach an earlier offset it begins again.
type Archive struct {
	File File
	Head []byte // the first bytes, at most HeadSize, after Begin

	form    string // of the compression, once somebody asked and it could be read
	flow    *flow  // nil before the first read
	rest    []byte
	base    int64 // offset of rest[0]
	ended   error // why nothing follows rest; nil while more may
	begun   bool
	stepped bool // one step was not enough for it
	probes  []probe

	limited bool
	left    int       // bytes of this step
	until   time.Time // the end of this step
}

// probe is a place in the content that somebody asked for.
type probe struct {
	offset int64
	want   int
	found  []byte
	done   bool
}

// mostProbed is how many bytes are remembered for who asks again.
const mostProbed = 4 << 10

// OpenArchive opens a compressed file and reads its beginning, however long that
// takes.
func (d Disk) OpenArchive(name string) (*Archive, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	a := NewArchive(f)
	if err := a.Begin(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// NewArchive returns an archive of an open file, at its beginning.
func NewArchive(f File) *Archive { return &Archive{File: f} }

// Step lets the archive read for another step. An archive that never got one
// reads without limits.
func (a *Archive) Step() { a.limited, a.left, a.until = true, stepBytes, time.Now().Add(stepTime) }

// Begin reads the first bytes. A file that is not whole has a beginning anyway.
func (a *Archive) Begin() error {
	if a.begun {
		return nil
	}
	head := make([]byte, meter.HeadSize)
	n, err := a.ReadAt(head, 0)
	switch {
	case errors.Is(err, ErrUndecided):
		return err
	case err != nil && !errors.Is(err, io.EOF) && n == 0:
		return fmt.Errorf("decompress %s: %w", a.File.Name(), err)
	}
	a.Head, a.begun = head[:n], true
	return nil
}

// ReadAt is io.ReaderAt. It returns io.EOF at the end of the content, an
// ErrDamaged where the content cannot be read on, and ErrUndecided where the step
// is used up.
func (a *Archive) ReadAt(p []byte, offset int64) (int, error) {
	if i := slices.IndexFunc(a.probes, func(q probe) bool { return q.done && q.offset == offset && q.want == len(p) }); i >= 0 {
		n := copy(p, a.probes[i].found)
		if n < len(p) {
			return n, a.ended
		}
		return n, nil
	}
	if offset < a.base {
		a.rewind()
	}
	for {
		a.discard(offset)
		if a.base == offset && len(a.rest) >= len(p) {
			return copy(p, a.rest), nil
		}
		if err := a.pull(); err != nil {
			if errors.Is(err, ErrUndecided) && len(p) <= mostProbed {
				a.ask(offset, len(p))
			}
			if a.discard(offset); a.base < offset {
				return 0, err
			}
			return copy(p, a.rest), err
		}
	}
}

// ask notes a place that the next steps go on to.
func (a *Archive) ask(offset int64, want int) {
	a.stepped = true
	if slices.ContainsFunc(a.probes, func(q probe) bool { return q.offset == offset && q.want == want }) {
		return
	}
	q := probe{offset: offset, want: want}
	if offset >= a.base && offset < a.base+int64(len(a.rest)) {
		q.take(a.rest, a.base)
	}
	a.probes = append(a.probes, q)
}

// take takes what the data at the offset has of the place.
func (q *probe) take(data []byte, offset int64) {
	skip := q.offset + int64(len(q.found)) - offset
	if q.done || skip < 0 || skip >= int64(len(data)) {
		return
	}
	data = data[skip:]
	q.found = append(q.found, data[:min(len(data), q.want-len(q.found))]...)
	q.done = len(q.found) == q.want
}

// Pending reports whether a question to the archive is still open.
func (a *Archive) Pending() bool {
	return slices.ContainsFunc(a.probes, func(q probe) bool { return !q.done })
}

// Stepped reports whether the archive took more than one step. Then its answers are
// worth keeping.
func (a *Archive) Stepped() bool { return a.stepped }

// Advance goes on towards the open question, for one step.
func (a *Archive) Advance() {
	for a.Pending() {
		next := int64(-1)
		for _, q := range a.probes {
			if at := q.offset + int64(len(q.found)); !q.done && (next < 0 || at < next) {
				next = at
			}
		}
		if next < a.base {
			a.rewind()
		}
		a.discard(next)
		if a.pull() != nil {
			return
		}
	}
}

// discard forgets what comes before the offset.
func (a *Archive) discard(offset int64) {
	n := min(offset-a.base, int64(len(a.rest)))
	a.rest = append(a.rest[:0], a.rest[n:]...)
	a.base += n
}

// pull decompresses a little more. It returns why it cannot.
func (a *Archive) pull() error {
	switch {
	case a.ended != nil:
		a.conclude()
		return a.ended
	case a.limited && (a.left <= 0 || !time.Now().Before(a.until)):
		return ErrUndecided
	case a.flow == nil:
		a.flow = newFlow(a.File)
	}
	c, ok := a.flow.next()
	if !ok {
		c.err = errStopped
	}
	for i := range a.probes {
		a.probes[i].take(c.data, a.base+int64(len(a.rest)))
	}
	a.rest = append(a.rest, c.data...)
	a.left -= len(c.data) + c.taken
	if c.err != nil {
		a.ended = c.err
		a.conclude()
	}
	return nil
}

// conclude answers questions about offsets behind the end.
func (a *Archive) conclude() {
	for i := range a.probes {
		a.probes[i].done = true
	}
}

func (a *Archive) rewind() {
	a.stop()
	a.rest, a.base, a.ended = a.rest[:0], 0, nil
	for i := range a.probes {
		if !a.probes[i].done {
			a.probes[i].found = nil
		}
	}
}

func (a *Archive) stop() {
	if a.flow != nil {
		a.flow.stop()
		a.flow = nil
	}
}

// Holds compares the content with a generation, as Compare does for a plain file.
func (a *Archive) Holds(g *meter.Generation) (Match, error) {
	if g.Offset == 0 && g.Compressed && len(a.Head) > 0 && bytes.Equal(a.Head, g.Head) {
		return Same, nil // it was there before, and is known by its beginning alone
	}
	if g.Offset == 0 || !BeginsAlike(a.Head, g.Head) {
		return Other, nil
	}
	mark := make([]byte, len(g.Mark))
	n, err := a.ReadAt(mark, g.Offset-int64(len(mark)))
	switch {
	case errors.Is(err, ErrUndecided):
		return Unread, err
	case n == len(mark):
		return compareMark(mark, g.Mark), nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, ErrDamaged):
		return Shorter, nil
	}
	return Unread, err
}

// Length is how long the content is by what the file says of it, or at least
// how long the file is. Concatenated gzip members say less than they hold.
func (a *Archive) Length() int64 {
	info, err := a.File.Stat()
	if err != nil {
		return 0
	}
	trailer, _ := a.trailer(info.Size())
	return max(info.Size(), int64(trailer))
}

// EndsAt reports whether the content has this length in bytes, by what the format
// says of it: gzip keeps the length modulo 2^32 in its last bytes.
func (a *Archive) EndsAt(length int64) bool {
	info, err := a.File.Stat()
	if err != nil {
		return false
	}
	trailer, ok := a.trailer(info.Size())
	return ok && trailer == uint32(length)
}

// ContentSize returns how long the content is, by what a gzip file of one member
// says of it: its length modulo 2^32. known is false for other formats.
func (a *Archive) ContentSize() (size int64, known bool) {
	info, err := a.File.Stat()
	if err != nil {
		return 0, false
	}
	trailer, known := a.trailer(info.Size())
	return int64(trailer), known
}

// Reaches reports whether the content has at least this length in bytes. Until that
// is known, the error is ErrUndecided.
func (a *Archive) Reaches(length int64) (bool, error) {
	n, err := a.ReadAt(make([]byte, 1), length-1)
	if errors.Is(err, ErrUndecided) {
		return false, err
	}
	return n > 0, nil
}

// trailer returns the last four bytes of a gzip file of the given size.
func (a *Archive) trailer(size int64) (value uint32, ok bool) {
	var last [4]byte
	if a.form == "" {
		a.form, _ = CompressionOf(a.File)
	}
	if a.form != ".gz" || size < int64(len(last)) {
		return 0, false
	}
	_, err := a.File.ReadAt(last[:], size-int64(len(last)))
	return binary.LittleEndian.Uint32(last[:]), err == nil
}

// Release gives up the file, and ends the archive.
func (a *Archive) Release() File {
	a.stop()
	return a.File
}

// Close ends the archive and closes its file.
func (a *Archive) Close() error { return a.Release().Close() }

// CloseArchive closes an archive, if there is one.
func CloseArchive(a *Archive) {
	if a != nil {
		a.Close()
	}
}
