package logfile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// counted counts what is read of a file.
type counted struct {
	File
	bytes int64
}

func (c *counted) ReadAt(p []byte, offset int64) (int, error) {
	n, err := c.File.ReadAt(p, offset)
	c.bytes += int64(n)
	return n, err
}

// archiveOf returns an archive of a file that begins with the content and is so
// long.
func archiveOf(t *testing.T, ext string, content []byte, size int64) (*Archive, *counted) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "app.log"+ext)
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, max(size, int64(len(content)))); err != nil {
		t.Fatal(err)
	}
	f, err := OS.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{File: f}
	a := NewArchive(c)
	t.Cleanup(func() { a.Close() })
	return a, c
}

func text(lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "%d a line of the log\n", i)
	}
	return b.String()
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t *testing.T, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll([]byte(text), nil)
}

// What is asked of a long archive is answered by its steps, in one pass, whatever
// the order of the questions. Each step is short.
func TestArchiveAnswersInSteps(t *testing.T) {
	content := text(400_000)
	a, _ := archiveOf(t, ".gz", gzipped(t, content), 0)
	a.Step()
	if err := a.Begin(); err != nil {
		t.Fatal(err)
	}
	places := []int64{int64(len(content)) - 20, 5 << 20, 6<<20 + 7, int64(len(content)) - 64, 3 << 20, int64(len(content)) + 100}
	got := make([]byte, 64)
	for _, at := range places {
		if _, err := a.ReadAt(got, at); !errors.Is(err, ErrUndecided) {
			t.Fatalf("at %d: %v in the first step", at, err)
		}
	}
	steps := 0
	for a.Pending() {
		before := a.base + int64(len(a.rest))
		a.Step()
		a.Advance()
		if steps++; steps > 1000 {
			t.Fatal("it never ends")
		}
		if now := a.base + int64(len(a.rest)); now-before > stepBytes+chunkSize {
			t.Fatalf("a step has decompressed %d bytes", now-before)
		}
	}
	if least := len(content)/stepBytes - 1; steps < least {
		t.Errorf("%d steps for %d bytes", steps, len(content))
	}
	for _, at := range places {
		n, err := a.ReadAt(got, at)
		want := content[min(at, int64(len(content))):min(at+64, int64(len(content)))]
		if string(got[:n]) != want || (err != nil) != (n < len(got)) {
			t.Errorf("at %d: %q, %v, want %q", at, got[:n], err, want)
		}
	}
	all, err := io.ReadAll(NewArchive(a.File).From(0))
	if err != nil || string(all) != content {
		t.Errorf("%d bytes, %v", len(all), err)
	}
}

// No file holds up who reads it: neither one that decompresses to next to nothing
// nor one that has no end.
func TestHostileArchives(t *testing.T) {
	const tib8 = 8 << 40
	frame := binary.LittleEndian.AppendUint32(nil, 0x184d2a50)
	frame = binary.LittleEndian.AppendUint32(frame, 0xffff0000)
	for _, tt := range []struct {
		name, ext string
		content   []byte
		size      int64
		want      string
		damaged   bool
	}{
		{"zeros behind gzip", ".gz", gzipped(t, "one\n"), tib8, "one\n", true},
		{"zeros behind zstd", ".zst", zstandard(t, "one\n"), tib8, "one\n", true},
		{"nothing but a name, gzip", ".gz", nil, tib8, "", false},
		{"nothing but a name, bzip2", ".bz2", nil, tib8, "", true},
		{"nothing but a name, xz", ".xz", nil, tib8, "", true},
		{"nothing but a name, zstd", ".zst", nil, tib8, "", false},
		{"the magic of gzip", ".gz", []byte("\x1f\x8b\x08\x18\x00\x00\x00\x00\x00\x03name"), tib8, "", true},
		{"the magic of xz", ".xz", []byte("\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46"), tib8, "", true},
		{"the magic of bzip2", ".bz2", []byte("BZh9"), tib8, "", true},
		{"the magic of zstd", ".zst", []byte("\x28\xb5\x2f\xfd"), tib8, "", true},
		{"a frame of zstd that is skipped", ".zst", frame, tib8, "", true},
	} {
		a, read := archiveOf(t, tt.ext, tt.content, tt.size)
		got, err := io.ReadAll(io.LimitReader(a.From(0), 1<<20))
		if string(got) != tt.want || errors.Is(err, ErrDamaged) != tt.damaged {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
		if read.bytes > 1<<20 {
			t.Errorf("%s: %d bytes were read of the file", tt.name, read.bytes)
		}
	}
}

// A step ends even within a decompressor that gives nothing.
func TestStepEndsWithinTheDecompressor(t *testing.T) {
	frame := []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}
	a, read := archiveOf(t, ".zst", append(bytes.Repeat(frame, 1<<20), zstandard(t, "one\n")...), 0)
	steps := 0
	for {
		before := read.bytes
		a.Step()
		if a.Advance(); !a.Pending() && steps > 0 {
			break
		}
		if err := a.Begin(); err != nil && !errors.Is(err, ErrUndecided) {
			t.Fatal(err)
		}
		steps++
		if took := read.bytes - before; took > 2*stepBytes {
			t.Fatalf("a step has read %d bytes", took)
		}
	}
	if err := a.Begin(); err != nil || string(a.Head) != "one\n" {
		t.Errorf("after %d steps: %q, %v", steps, a.Head, err)
	}
	if steps < 4 {
		t.Errorf("8 MiB took %d steps", steps)
	}
}

// Whoever closes an archive ends its decompressor, wherever it is.
func TestClosedInTheMidst(t *testing.T) {
	for _, ext := range []string{".gz", ".zst"} {
		packed := gzipped(t, text(400_000))
		if ext == ".zst" {
			packed = zstandard(t, text(400_000))
		}
		a, _ := archiveOf(t, ext, packed, 0)
		a.Step()
		if err := a.Begin(); err != nil {
			t.Fatal(err)
		}
		a.stop()
		if a.flow != nil {
			t.Errorf("%s: it still runs", ext)
		}
	}
}
