package tailer

import (
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/meterlog/meterlog/internal/meter"
)

// decompressors open the compressed forms that rotated files take, by the end
// of the name.
var decompressors = map[string]func(io.Reader) (io.Reader, error){
	".gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	".bz2": func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil },
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

// archive reads a compressed file forward. Offsets count decompressed bytes.
type archive struct {
	file   *os.File
	stream io.Reader
	head   []byte // the first bytes, at most HeadSize
	rest   []byte // bytes that were read and may be asked for again
	base   int64  // offset of rest[0]
}

func openArchive(name string) (*archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return newArchive(f)
}

// newArchive reads an open compressed file from its beginning. It closes the
// file when that fails.
func newArchive(f *os.File) (*archive, error) {
	a := &archive{file: f, head: make([]byte, meter.HeadSize)}
	_, err := f.Seek(0, io.SeekStart)
	if err == nil {
		a.stream, err = decompressors[compression(f.Name())](f)
	}
	if err == nil {
		var n int
		n, err = a.ReadAt(a.head, 0)
		a.head = a.head[:n]
	}
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, fmt.Errorf("decompress %s: %w", f.Name(), err)
	}
	return a, nil
}

// ReadAt is io.ReaderAt, forward only: an offset must not be below that of the
// call before. It returns io.EOF at the end of the content and
// io.ErrUnexpectedEOF where the file ends before its content does.
func (a *archive) ReadAt(p []byte, offset int64) (int, error) {
	if err := a.discard(offset); err != nil {
		return 0, err
	}
	for len(a.rest) < len(p) {
		room := append(a.rest, make([]byte, len(p)-len(a.rest))...)
		n, err := a.stream.Read(room[len(a.rest):])
		a.rest = room[:len(a.rest)+n]
		if err != nil {
			return copy(p, a.rest), err
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
	if g.Offset == 0 || !beginsAlike(a.head, g.Head) {
		return other, nil
	}
	mark := make([]byte, len(g.Mark))
	n, err := a.ReadAt(mark, g.Offset-int64(len(mark)))
	switch {
	case n < len(mark) && (err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		return shorter, nil
	case n < len(mark):
		return other, err
	}
	return compareMark(mark, g.Mark), nil
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

// trailer returns the last four bytes of a gzip file of the given size.
func (a *archive) trailer(size int64) (value uint32, ok bool) {
	var bytes [4]byte
	if compression(a.file.Name()) != ".gz" || size < int64(len(bytes)) {
		return 0, false
	}
	_, err := a.file.ReadAt(bytes[:], size-int64(len(bytes)))
	return binary.LittleEndian.Uint32(bytes[:]), err == nil
}

// release gives up the file, and ends the archive.
func (a *archive) release() *os.File { return a.file }

func (a *archive) Close() error { return a.file.Close() }
