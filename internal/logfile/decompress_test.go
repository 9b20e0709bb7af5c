package logfile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Compressed streams are known by their first bytes, and text stays as it is,
// even where it begins like one.
func TestDecompress(t *testing.T) {
	const text = "email sent\nnothing\n"
	var gz, zst bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write([]byte(text))
	w.Close()
	z, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	z.Write([]byte(text))
	z.Close()
	for _, tt := range []struct {
		name, stream, want string
		compressed         bool
	}{
		{"gzip", gz.String(), text, true},
		{"zstd", zst.String(), text, true},
		{"text", text, text, false},
		{"nothing", "", "", false},
		{"one byte", "B", "B", false},
		{"the magic number of gzip alone", "\x1f", "\x1f", false},
		{"text like bzip2", "BZh9 is how it begins\n", "BZh9 is how it begins\n", false},
		{"short text like bzip2", "BZh\n", "BZh\n", false},
		{"half the magic number of zstd", "\x28\xb5 x\n", "\x28\xb5 x\n", false},
	} {
		content, compressed, err := Decompress(strings.NewReader(tt.stream))
		if err != nil || compressed != tt.compressed {
			t.Errorf("%s: compressed %v, %v", tt.name, compressed, err)
			continue
		}
		got, err := io.ReadAll(content)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if _, compressed, err := Decompress(strings.NewReader("BZh91AY&SY\xd2\x80")); err != nil || !compressed {
		t.Errorf("bzip2: compressed %v, %v", compressed, err)
	}
	if _, _, err := Decompress(brokenReader{}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v, want the stream's error", err)
	}
}

// A line that has come is not kept back until there are more.
func TestDecompressWaitsForNothing(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go w.Write([]byte("a\n"))
	content, _, err := Decompress(r)
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 2)
	if n, err := io.ReadFull(content, line); err != nil || string(line[:n]) != "a\n" {
		t.Errorf("got %q, %v", line[:n], err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, os.ErrPermission }
