package logfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"

	"golang.org/x/sys/unix"
)

// ErrDamaged is returned where a compressed file cannot be decompressed, if
// only since it is not written to its end.
var ErrDamaged = errors.New("damaged or not whole")

// errStopped ends a decompressor that nobody reads from any more.
var errStopped = errors.New("stopped")

const (
	chunkSize = 32 << 10  // decompressed bytes that a flow gives at a time
	readSize  = 64 << 10  // compressed bytes that a flow reads at a time
	breathe   = 256 << 10 // compressed bytes after which it pauses, even in the midst of the decompressor
	leastHole = 1 << 20   // bytes without data that end a compressed file: no compressor writes so many zeros
)

// flow is a decompressor that can pause anywhere. A few bytes may decompress to any
// number, and many bytes to nothing. Neither may hold up the reader.
type flow struct {
	next func() (chunk, bool)
	stop func()
}

// chunk is what a flow has come to: decompressed bytes, valid until the next
// chunk, perhaps none, and at the end the reason for it.
type chunk struct {
	data  []byte
	taken int // compressed bytes that it cost
	err   error
}

// newFlow decompresses a file from its beginning.
func newFlow(f File) *flow {
	next, stop := iter.Pull(func(yield func(chunk) bool) {
		src := &source{file: f}
		src.pause = func() bool { return yield(chunk{taken: src.took()}) }
		content, err := decompress(f, src)
		if err != nil {
			yield(chunk{taken: src.took(), err: src.reason(err)})
			return
		}
		if c, ok := content.(io.Closer); ok {
			defer c.Close()
		}
		buf := make([]byte, chunkSize)
		for {
			n, err := content.Read(buf)
			if !yield(chunk{buf[:n], src.took(), src.reason(err)}) || err != nil {
				return
			}
		}
	})
	return &flow{next, stop}
}

// decompress returns the content of a file, which is read from src. The first bytes say
// how it is compressed, and its name where they do not. If they cannot be read, src
// meets the error again and remembers it.
func decompress(f File, src io.Reader) (io.Reader, error) {
	form, _ := CompressionOf(f)
	return decompressors[cmp.Or(form, Compression(f.Name()), ".gz")](src)
}

// source gives the bytes of a compressed file. It remembers why it could not read
// them, as decompressors may not tell.
type source struct {
	file   File
	pause  func() bool
	offset int64
	taken  int // since the last chunk
	err    error
}

func (s *source) Read(p []byte) (int, error) {
	if s.taken >= breathe && !s.pause() {
		return 0, errStopped
	}
	n, err := s.file.ReadAt(p[:min(len(p), readSize)], s.offset)
	if n > 0 && len(bytes.TrimLeft(p[:n], "\x00")) == 0 && holeAt(s.file, s.offset) >= leastHole {
		return 0, io.EOF
	}
	s.offset += int64(n)
	s.taken += n
	switch {
	case n > 0:
		return n, nil
	case err != nil && !errors.Is(err, io.EOF):
		s.err = err
	}
	return 0, err
}

func (s *source) took() int {
	taken := s.taken
	s.taken = 0
	return taken
}

// reason distinguishes an error of the file from one of its content.
func (s *source) reason(err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case s.err != nil:
		return s.err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// holeAt returns how many bytes from the offset on were never written, or 0 if the
// file system does not tell. A hole at the file's end counts as endless.
func holeAt(f File, offset int64) int64 {
	data, err := f.Seek(offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return 1 << 62
	case err != nil:
		return 0
	}
	return data - offset
}
