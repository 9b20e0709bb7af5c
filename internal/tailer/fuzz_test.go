package tailer

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// modelLines is what the blocks of a file come to: every line that ends in a
// newline, and is not too long, and the rest once the file is rotated and quiet.
func modelLines(content []byte, maxLine int) (lines []string, tooLong int64) {
	for _, line := range bytes.SplitAfter(content, []byte("\n")) {
		if n := len(line) - len(bytes.TrimLeft(line, "\x00")); n > 1 {
			line = line[n:]
		}
		switch whole := bytes.HasSuffix(line, []byte("\n")); {
		case len(line) > maxLine, !whole && len(line) == maxLine:
			tooLong++
		case len(line) > 0:
			lines = append(lines, string(bytes.TrimSuffix(line, []byte("\n"))))
		}
	}
	return lines, tooLong
}

// FuzzBlocks writes any content in chunks of any size, with reads, commits and
// restarts in between: the lines are those of the model, in their order.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\n\x00\x00\nlast"), []byte{3, 1, 200})
	f.Add([]byte(strings.Repeat("x", 700)+"\nfits\n"+strings.Repeat("y", 300<<1)), []byte{0, 255, 7, 7})
	f.Add(bytes.Repeat([]byte("\n"), 2000), []byte{9})
	f.Fuzz(func(t *testing.T, content, chunks []byte) {
		const maxLine = 512
		s := follow(t, "app.log")
		s.cfg.MaxLine, s.cfg.Torn = maxLine, 5*time.Second
		s.start()
		s.tailer.buffer = make([]byte, 128) // so that everything happens in little
		var got []string
		var tooLong int64
		read := func() {
			s.pass(1100 * time.Millisecond)
			for {
				b, ok := nextOf(s.tailer, s.now)
				if !ok {
					break
				}
				got = append(got, splitLines(b.Data)...)
			}
			s.commit()
		}
		read()
		rest := content
		for i := 0; len(rest) > 0; i++ {
			n := len(rest)
			if i < len(chunks) {
				n = min(n, 1+int(chunks[i]))
			}
			s.append("app.log", string(rest[:n]))
			rest = rest[n:]
			read()
			if i < len(chunks) && chunks[i]%5 == 0 {
				s.kill()
				s.start()
				s.tailer.buffer = make([]byte, 128)
			}
		}
		s.append("app.log", "")
		s.rename("app.log", "app.log.1")
		for range 3 {
			read()
			s.pass(10 * time.Second)
		}
		for key, a := range s.anomalies.Anomalies {
			if key.Kind != meter.LineTooLong {
				t.Errorf("%v: %+v", key, a)
			}
			tooLong += a.Count
		}
		want, wantTooLong := modelLines(content, maxLine)
		if !slices.Equal(got, want) || tooLong != wantTooLong {
			t.Errorf("read %q and %d too long, want %q and %d", got, tooLong, want, wantTooLong)
		}
	})
}

// FuzzArchive reads garbage, and archives with a byte that is not theirs, in every
// format: nothing panics or hangs, and what is read twice is the same.
func FuzzArchive(f *testing.F) {
	text, _ := lines("a line", 300)
	for _, ext := range compressions {
		f.Add(compressed(&testing.T{}, ext, text), 40, byte(0xff))
		f.Add(compressed(&testing.T{}, ext, ""), 0, byte(0))
	}
	f.Fuzz(func(t *testing.T, content []byte, at int, spoil byte) {
		if len(content) > 0 {
			content[max(at, 0)%len(content)] ^= spoil
		}
		g := meter.Generation{ID: 1, Offset: 500, Head: []byte("a line 0\n"), Mark: []byte("line")}
		for _, ext := range []string{".gz", ".bz2", ".xz", ".zst"} {
			name := t.TempDir() + "/app.log.1" + ext
			if err := os.WriteFile(name, content, 0o644); err != nil {
				t.Fatal(err)
			}
			var first []byte
			for i := range 2 {
				a, err := logfile.OS.OpenArchive(name)
				if err != nil {
					break
				}
				if _, err := a.Holds(&g); err != nil {
					t.Errorf("%s: %v", ext, err)
				}
				a.Length()
				a = logfile.NewArchive(a.Release())
				got, _ := io.ReadAll(io.LimitReader(a.From(0), 1<<20))
				a.Close()
				if i == 1 && !bytes.Equal(first, got) {
					t.Errorf("%s: %d bytes, then %d", ext, len(first), len(got))
				}
				first = got
			}
		}
	})
}

// FuzzIdentity takes a generation of any content, read up to any line, and asks
// which files hold it: those that begin with all that was read, and no others
// unless head and mark are the same.
func FuzzIdentity(f *testing.F) {
	f.Add([]byte("one\ntwo\nthree\n"), []byte("one\ntwo\nfour\n"), 2)
	f.Add(bytes.Repeat([]byte("email sent\n"), 200), bytes.Repeat([]byte("email sent\n"), 199), 150)
	f.Add([]byte("a\n"), []byte{}, 1)
	f.Fuzz(func(t *testing.T, content, otherContent []byte, read int) {
		s := stream{}
		for _, line := range bytes.SplitAfter(content, []byte("\n")) {
			if read--; read < 0 || !bytes.HasSuffix(line, []byte("\n")) {
				break
			}
			s.consume(line)
		}
		logfile.Alike(s.Head)
		g := &s.Generation
		if g.Offset > 0 && (!bytes.HasPrefix(content, g.Head) || !bytes.Equal(content[g.Offset-int64(len(g.Mark)):g.Offset], g.Mark)) {
			t.Fatalf("head %q and mark %q of %q at %d", g.Head, g.Mark, content, g.Offset)
		}
		match := func(content []byte) logfile.Match {
			v, err := logfile.Compare(bytes.NewReader(content), int64(len(content)), g)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if g.Offset == 0 {
			if v := match(content); v != logfile.Other {
				t.Fatalf("nothing was read, and it is taken for %d", v)
			}
			return
		}
		if v := match(content); v != logfile.Same {
			t.Fatalf("its own file: %d", v)
		}
		if v := match(content[:g.Offset]); v != logfile.Same {
			t.Fatalf("a copy of what was read: %d", v)
		}
		if v := match(content[:g.Offset-1]); v != logfile.Shorter && v != logfile.Other {
			t.Fatalf("one byte less: %d", v)
		}
		holds := int64(len(otherContent)) >= g.Offset && bytes.HasPrefix(otherContent, g.Head) &&
			bytes.Equal(otherContent[g.Offset-int64(len(g.Mark)):g.Offset], g.Mark)
		if v := match(otherContent); (v == logfile.Same) != holds {
			t.Fatalf("other content: %d, %v", v, holds)
		}
		prefix, err := logfile.IsPrefix(bytes.NewReader(otherContent), int64(len(otherContent)), bytes.NewReader(content))
		if len(otherContent) <= len(content) && (err != nil || bytes.HasPrefix(content, otherContent) && !prefix) {
			t.Fatalf("a prefix is not found: %v", err)
		}
	})
}

// FuzzNames cuts any name into those that it may be rotated from.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"/var/log/app-20260101.log.gz", "app.log.1", "..", "/", ".gz", "a-_._-1.zst"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, base := range logfile.RotatedFrom(name) {
			if base == name || len(base) >= len(name) {
				t.Errorf("%q is rotated from %q", name, base)
			}
		}
		if !strings.ContainsAny(name, "/\x00") && name != "" {
			for i := range 3 {
				if rotated := fmt.Sprintf("%s.%d", name, i); !slices.Contains(logfile.RotatedFrom(rotated), name) {
					t.Errorf("%q is not rotated from %q", rotated, name)
				}
			}
		}
	})
}
