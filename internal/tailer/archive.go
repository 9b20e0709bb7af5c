package tailer

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
	".xz":  func(r io.Reader) (io.Reader, error) { return newXZReader(r), nil },
	".zst": newZstdReader,
}

// maxWindow bounds the memory for what a compressed file refers back to, in
// bytes: that of `xz -9` twice, and what zstd takes without being told to.
const maxWindow = 128 << 20

func newZstdReader(r io.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// compression returns the ending that says how the file is compressed; "" for
// a plain one.
func compression(name string) string {
	ext := filepath.Ext(name)
	if _, ok := decompressors[ext]; ok {
		return ext
	}
	return ""
}

// errDamaged is returned where a compressed file cannot be decompressed, if
// only since it is not written to its end.
var errDamaged = errors.New("damaged or not whole")

// archive reads a compressed file forward. Offsets count decompressed bytes.
type archive struct {
	file   file
	source *source
	stream io.Reader
	head   []byte // the first bytes, at most HeadSize
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

func (d disk) openArchive(name string) (*archive, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	return newArchive(f)
}

// newArchive reads an open compressed file from its beginning. It closes the
// file when that fails. A file that is not whole has a beginning all the same.
func newArchive(f file) (*archive, error) {
	a := &archive{file: f, source: &source{Reader: f}, head: make([]byte, meter.HeadSize)}
	_, err := f.Seek(0, io.SeekStart)
	if err == nil {
		a.stream, err = decompressors[compression(f.Name())](a.source)
		err = a.reason(err)
	}
	n := 0
	if err == nil {
		n, err = a.ReadAt(a.head, 0)
	} else {
		a.stream = bytes.NewReader(nil)
	}
	a.head = a.head[:n]
	if err != nil && !errors.Is(err, io.EOF) && n == 0 {
		a.Close()
		return nil, fmt.Errorf("decompress %s: %w", f.Name(), err)
	}
	return a, nil
}

// reason tells an error of the file from one of its content.
func (a *archive) reason(err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case a.source.err != nil:
		return a.source.err
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}

// ReadAt is io.ReaderAt, forward only: an offset must not be below that of the
// call before. It returns io.EOF at the end of the content and an errDamaged
// where it cannot be read on.
func (a *archive) ReadAt(p []byte, offset int64) (int, error) {
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
func (a *archive) discard(offset int64) error {
	n := min(offset-a.base, int64(len(a.rest)))
	a.rest = append(a.rest[:0], a.rest[n:]...)
	a.base += n
	skipped, err := io.CopyN(io.Discard, a.stream, offset-a.base)
	a.base += skipped
	return err
}

// holds compares the content with a generation, as compare does for a plain
// file. After the verdict same the archive stands before the generation's mark.
func (a *archive) holds(g *meter.Generation) (verdict, error) {
	if g.Offset == 0 && g.Compressed && len(a.head) > 0 && bytes.Equal(a.head, g.Head) {
		return same, nil // it was there before, and is known by its beginning alone
	}
	if g.Offset == 0 || !beginsAlike(a.head, g.Head) {
		return other, nil
	}
	mark := make([]byte, len(g.Mark))
	n, err := a.ReadAt(mark, g.Offset-int64(len(mark)))
	switch {
	case n == len(mark):
		return compareMark(mark, g.Mark), nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, errDamaged):
		return shorter, nil
	}
	return unread, err
}

// length is how long the content is by what the file says of it, or at least
// how long the file is. Concatenated gzip members say less than they hold.
func (a *archive) length() int64 {
	info, err := a.file.Stat()
	if err != nil {
		return 0
	}
	trailer, _ := a.trailer(info.Size())
	return max(info.Size(), int64(trailer))
}

// endsAt reports whether the content is so many bytes long, by what the format
// says of it: gzip keeps the length modulo 2^32 in its last bytes.
func (a *archive) endsAt(length int64) bool {
	info, err := a.file.Stat()
	if err != nil {
		return false
	}
	trailer, ok := a.trailer(info.Size())
	return ok && trailer == uint32(length)
}

// reaches reports whether the content is at least so many bytes long. It is
// forward only, as ReadAt is.
func (a *archive) reaches(length int64) bool {
	n, _ := a.ReadAt(make([]byte, 1), length-1)
	return n > 0
}

// trailer returns the last four bytes of a gzip file of the given size.
func (a *archive) trailer(size int64) (value uint32, ok bool) {
	var last [4]byte
	if compression(a.file.Name()) != ".gz" || size < int64(len(last)) {
		return 0, false
	}
	_, err := a.file.ReadAt(last[:], size-int64(len(last)))
	return binary.LittleEndian.Uint32(last[:]), err == nil
}

// release gives up the file, and ends the archive.
func (a *archive) release() file {
	if c, ok := a.stream.(io.Closer); ok {
		c.Close()
	}
	return a.file
}

func (a *archive) Close() error { return a.release().Close() }
