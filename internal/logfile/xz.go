package logfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzReader reads .xz files, of one stream or several. It is here because
// readers of whole files take the memory that a file asks for, up to 4 GiB; this
// one looks at every block's dictionary first. See the .xz file format, 1.2.1.
type xzReader struct {
	in    *byteCounter
	check int         // how blocks are checked, by the stream's header
	sum   hash.Hash   // of the block; nil where it is not known how
	block interface { // nil between blocks
		io.Reader
		EOS() bool
	}
	inStream bool
	err      error
}

var (
	xzMagic     = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	xzCheckSize = [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}
)

func NewXZReader(r io.Reader) io.Reader {
	return &xzReader{in: &byteCounter{r: bufio.NewReaderSize(r, 64<<10)}}
}

func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			x.err = x.next()
			continue
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && x.block.EOS():
			x.err = x.endBlock()
		case errors.Is(err, io.EOF):
			x.err = io.ErrUnexpectedEOF
		default:
			x.err = err
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, x.err
}

// next goes on to the next block, over the end of a stream if need be. It
// returns io.EOF at the end of the file.
func (x *xzReader) next() error {
	if !x.inStream {
		return x.beginStream()
	}
	size, err := x.in.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	if size == 0 {
		return x.endStream()
	}
	header := make([]byte, (int(size)+1)*4)
	header[0] = size
	if _, err := io.ReadFull(x.in, header[1:]); err != nil {
		return unexpected(err)
	}
	header, sum := header[:len(header)-4], header[len(header)-4:]
	if crc32.ChecksumIEEE(header) != binary.LittleEndian.Uint32(sum) {
		return errors.New("xz: a block's header is damaged")
	}
	dictionary, err := XzDictionary(header)
	if err != nil {
		return err
	}
	x.sum = xzSum(x.check)
	x.block, err = lzma.Reader2Config{DictCap: dictionary}.NewReader2(x.in)
	return err
}

// XzDictionary returns how many bytes of dictionary a block needs, by its
// header.
func XzDictionary(header []byte) (int, error) {
	const compressedSize, uncompressedSize, lzma2 = 0x40, 0x80, 0x21
	flags, rest := header[1], bytes.NewReader(header[2:])
	if flags&^(compressedSize|uncompressedSize) != 0 {
		return 0, errors.New("xz: filters beside LZMA2 are not supported")
	}
	size := int64(-1)
	for _, field := range []byte{compressedSize, uncompressedSize} {
		if flags&field == 0 {
			continue
		}
		n, err := binary.ReadUvarint(rest)
		if err != nil {
			return 0, unexpected(err)
		}
		if field == uncompressedSize && int64(n) >= 0 {
			size = int64(n)
		}
	}
	var filter [3]byte // its number, how many properties it has, and the dictionary's size
	if _, err := io.ReadFull(rest, filter[:]); err != nil || filter[0] != lzma2 || filter[1] != 1 {
		return 0, errors.New("xz: a filter that is not LZMA2 is not supported")
	}
	dictionary, err := lzma.DecodeDictCap(filter[2])
	if err != nil {
		return 0, err
	}
	if size >= 0 {
		dictionary = min(dictionary, size)
	}
	if dictionary > maxWindow {
		return 0, fmt.Errorf("xz: it takes a dictionary of %d bytes to read it, more than %d", dictionary, maxWindow)
	}
	return int(max(dictionary, lzma.MinDictCap)), nil
}

func xzSum(check int) hash.Hash {
	switch check {
	case 1:
		return crc32.NewIEEE()
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		return sha256.New()
	}
	return nil
}

func (x *xzReader) endBlock() error {
	x.block = nil
	tail := make([]byte, x.in.padding()+xzCheckSize[x.check])
	if _, err := io.ReadFull(x.in, tail); err != nil {
		return unexpected(err)
	}
	if x.sum == nil {
		return nil
	}
	want := x.sum.Sum(nil)
	if x.check != 10 { // numbers, the lowest byte first
		for i, j := 0, len(want)-1; i < j; i, j = i+1, j-1 {
			want[i], want[j] = want[j], want[i]
		}
	}
	if !bytes.HasSuffix(tail, want) {
		return errors.New("xz: a block is damaged")
	}
	return nil
}

// beginStream reads the header of a stream, or finds the file's end.
func (x *xzReader) beginStream() error {
	var header [12]byte
	for {
		x.in.n = 0
		if _, err := io.ReadFull(x.in, header[:4]); err != nil {
			return err
		}
		if !bytes.Equal(header[:4], make([]byte, 4)) { // padding between streams
			break
		}
	}
	if _, err := io.ReadFull(x.in, header[4:]); err != nil {
		return unexpected(err)
	}
	flags := header[6:8]
	if !bytes.HasPrefix(header[:], xzMagic) || flags[0] != 0 || flags[1] > 15 ||
		crc32.ChecksumIEEE(flags) != binary.LittleEndian.Uint32(header[8:]) {
		return errors.New("xz: not an xz stream")
	}
	x.check, x.inStream = int(flags[1]), true
	return nil
}

// endStream passes over the index, which is of no use to who reads forward, and
// the footer.
func (x *xzReader) endStream() error {
	records, err := binary.ReadUvarint(x.in)
	for i := uint64(0); err == nil && i < records; i++ {
		if _, err = binary.ReadUvarint(x.in); err == nil {
			_, err = binary.ReadUvarint(x.in)
		}
	}
	if err != nil {
		return unexpected(err)
	}
	const crc, footer = 4, 12
	tail := make([]byte, x.in.padding()+crc+footer)
	if _, err := io.ReadFull(x.in, tail); err != nil {
		return unexpected(err)
	}
	if !bytes.HasSuffix(tail, []byte("YZ")) {
		return errors.New("xz: a stream's end is damaged")
	}
	x.inStream = false
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// byteCounter counts what is read of a stream, whose parts are multiples of
// four bytes.
type byteCounter struct {
	r *bufio.Reader
	n int64
}

func (c *byteCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *byteCounter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func (c *byteCounter) padding() int { return int(-c.n & 3) }
