package logfile

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSkipBlanks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	pieces := []string{"\x00", "\x00\x00", "\x00\x00\x00\x00\x00", "a", "\n", "b\n", "\r\n", "\ufeff", "\n\x00\x00\n", "x\x00\x00y"}
	for range 3000 {
		var text strings.Builder
		for range random.IntN(12) {
			text.WriteString(pieces[random.IntN(len(pieces))])
		}
		var want []byte
		for line := range strings.Lines(text.String()) {
			want = append(want, DropBlanks([]byte(line))...)
		}
		readers := map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader, "with the error": iotest.DataErrReader,
		}
		for name, wrap := range readers {
			b := SkipBlanks(wrap(strings.NewReader(text.String())))
			got, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(got, want) || int(b.Skipped) != text.Len()-len(got) {
				t.Fatalf("%s, %q: %q (%d skipped), %v, want %q", name, text.String(), got, b.Skipped, err, want)
			}
			got, err = io.ReadAll(iotest.OneByteReader(SkipBlanks(strings.NewReader(text.String()))))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("into one byte, %q: %q, %v, want %q", text.String(), got, err, want)
			}
		}
	}
}
