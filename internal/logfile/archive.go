package logfile

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/meterlog/meterlog/internal/meter"
)

// decompressors open the compressed forms that rotated files take, by the end
// of the name. What they return is closed if it can be.
var decompressors = map[string]func(io.Reader) (io.Reader, error){
	".gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	".bz2": func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil },
	".xz":  func(r io.Reader) (io.Reader, error) { return NewXZReader(r), nil },
	".zst": NewZstdReader,
}

// maxWindow bounds the memory for what a compressed file refers back to, in
// bytes: that of `xz -9` twice, and what zstd takes without being told to.
const maxWindow = 128 << 20

func NewZstdReader(r io.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// Compression returns the ending that says how the file is compressed; "" for
// a plain one.
func Compression(name string) string {
	ext := filepath.Ext(name)
	if _, ok := decompressors[ext]; ok {
		return ext
	}
	return ""
}

// ErrDamaged is returned where a compressed file cannot be decompressed, if
// only since it is not written to its end.
var ErrDamaged = errors.New("damaged or not whole")

// Archive reads a compressed file forward. Offsets count decompressed bytes.
type Archive struct {
	File   File
	source *source
	stream io.Reader
	Head   []byte // the first bytes, at most HeadSize
	rest   []byte // bytes that were read and may be asked for again
	base   int64  // offset of rest[0]
}

// source is a compressed file that remembers why it could not be read, which
// decompressors may not tell.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func (d Disk) OpenArchive(name string) (*Archive, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	return NewArchive(f)
}

// NewArchive reads an open compressed file from its beginning. It closes the
// file when that fails. A file that is not whole has a beginning all the same.
func NewArchive(f File) (*Archive, error) {
	a := &Archive{File: f, source: &source{Reader: f}, Head: make([]byte, meter.HeadSize)}
	_, err := f.Seek(0, io.SeekStart)
	if err == nil {
		a.stream, err = decompressors[Compression(f.Name())](a.source)
		err = a.reason(err)
	}
	n := 0
	if err == nil {
		n, err = a.ReadAt(a.Head, 0)
	} else {
		a.stream = bytes.NewReader(nil)
	}
	a.Head = a.Head[:n]
	if err != nil && !errors.Is(err, io.EOF) && n == 0 {
		a.Close()
		return nil, fmt.Errorf("decompress %s: %w", f.Name(), err)
	}
	return a, nil
}

// reason tells an error of the file from one of its content.
func (a *Archive) reason(err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case a.source.err != nil:
		return a.source.err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// ReadAt is io.ReaderAt, forward only: an offset must not be below that of the
// call before. It returns io.EOF at the end of the content and an errDamaged
// where it cannot be read on.
func (a *Archive) ReadAt(p []byte, offset int64) (int, error) {
	if err := a.discard(offset); err != nil {
		return 0, a.reason(err)
	}
	for len(a.rest) < len(p) {
		room := append(a.rest, make([]byte, len(p)-len(a.rest))...)
		n, err := a.stream.Read(room[len(a.rest):])
		a.rest = room[:len(a.rest)+n]
		if err != nil {
			return copy(p, a.rest), a.reason(err)
		}
	}
	return copy(p, a.rest), nil
}

// discard moves to the offset and forgets what comes before it.
func (a *Archive) discard(offset int64) error {
	n := min(offset-a.base, int64(len(a.rest)))
	a.rest = append(a.rest[:0], a.rest[n:]...)
	a.base += n
	skipped, err := io.CopyN(io.Discard, a.stream, offset-a.base)
	a.base += skipped
	return err
}

// Holds compares the content with a generation, as compare does for a plain
// file. After the verdict same the archive stands before the generation's mark.
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

// EndsAt reports whether the content is so many bytes long, by what the format
// says of it: gzip keeps the length modulo 2^32 in its last bytes.
func (a *Archive) EndsAt(length int64) bool {
	info, err := a.File.Stat()
	if err != nil {
		return false
	}
	trailer, ok := a.trailer(info.Size())
	return ok && trailer == uint32(length)
}

// Reaches reports whether the content is at least so many bytes long. It is
// forward only, as ReadAt is.
func (a *Archive) Reaches(length int64) bool {
	n, _ := a.ReadAt(make([]byte, 1), length-1)
	return n > 0
}

// trailer returns the last four bytes of a gzip file of the given size.
func (a *Archive) trailer(size int64) (value uint32, ok bool) {
	var last [4]byte
	if Compression(a.File.Name()) != ".gz" || size < int64(len(last)) {
		return 0, false
	}
	_, err := a.File.ReadAt(last[:], size-int64(len(last)))
	return binary.LittleEndian.Uint32(last[:]), err == nil
}

// Release gives up the file, and ends the archive.
func (a *Archive) Release() File {
	if c, ok := a.stream.(io.Closer); ok {
		c.Close()
	}
	return a.File
}

func (a *Archive) Close() error { return a.Release().Close() }

func CloseArchive(a *Archive) {
	if a != nil {
		a.Close()
	}
}
