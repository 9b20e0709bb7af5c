package logfile

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// magic are the first bytes of compressed files, by the usual end of their names.
var magic = map[string][]byte{
	".gz":  {0x1f, 0x8b},
	".bz2": []byte("BZh"), // and a digit, and what follows
	".xz":  {0xfd, '7', 'z', 'X', 'Z', 0},
	".zst": {0x28, 0xb5, 0x2f, 0xfd},
}

// mostMagic is how many bytes tell how a file is compressed.
const mostMagic = 10

// bzip2Block is what follows the four first bytes of a bzip2 file: its first block, or
// its end. The four bytes alone could be a line of text.
var bzip2Block = []string{"\x31\x41\x59\x26\x53\x59", "\x17\x72\x45\x38\x50\x90"}

// decompressors open the compressed forms that rotated files take, by the end
// of the name. Their readers are closed if they have a Close method.
var decompressors = map[string]func(io.Reader) (io.Reader, error){
	".gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	".bz2": func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil },
	".xz":  func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, maxWindow) },
	".zst": newZstdReader,
}

// maxWindow bounds the window of a decompressor, in bytes. It is twice the window of
// `xz -9`, and zstd's default limit.
const maxWindow = 128 << 20

func newZstdReader(r io.Reader) (io.Reader, error) {
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

// Decompress reads what a stream holds: decompressed, where its first bytes say
// that it is compressed in one of the ways that the tailer reads, whatever its
// name. The content is closed if it can be; r is not closed by it. No more is
// read of a stream of text than has come.
func Decompress(r io.Reader) (content io.Reader, compressed bool, err error) {
	start := make([]byte, mostMagic)
	n, err := io.ReadFull(r, start[:2])
	if mayBeCompressed(start[:n]) { // elsewhere a short line must not wait for more
		var more int
		more, err = io.ReadFull(r, start[n:])
		n += more
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, false, err
	}
	start = start[:n]
	whole := io.MultiReader(bytes.NewReader(start), r)
	form := formOf(start)
	if form == "" {
		return whole, false, nil
	}
	content, err = decompressors[form](whole)
	return content, true, err
}

// formOf returns how a file is compressed by its first ten bytes, as Compression does;
// "" for a plain one.
func formOf(start []byte) string {
	for form, begins := range magic {
		if bytes.HasPrefix(start, begins) && (form != ".bz2" || isBzip2(start)) {
			return form
		}
	}
	return ""
}

// CompressionOf returns how a file is compressed by its first bytes, as Compression
// does by its name. multilog and others compress files and give them no ending.
func CompressionOf(f io.ReaderAt) (string, error) {
	start, err := ReadAt(f, 0, mostMagic)
	return formOf(start), err
}

func mayBeCompressed(start []byte) bool {
	for _, begins := range magic {
		if len(start) == 2 && bytes.HasPrefix(begins, start) {
			return true
		}
	}
	return false
}

func isBzip2(start []byte) bool {
	for _, block := range bzip2Block {
		if len(start) == 4+len(block) && start[3] >= '1' && start[3] <= '9' && string(start[4:]) == block {
			return true
		}
	}
	return false
}

// Uncompressed returns the name without the end of a compressed file: app.log for
// app.log.gz. It returns other names as they are.
func Uncompressed(name string) string { return strings.TrimSuffix(name, Compression(name)) }
