package tailer

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

var compressions = []string{".gz", ".xz", ".zst"}

func compressor(ext string, w io.Writer) (io.WriteCloser, error) {
	switch ext {
	case ".gz":
		return gzip.NewWriter(w), nil
	case ".xz":
		return xz.WriterConfig{DictCap: 1 << 16, BlockSize: 1 << 18}.NewWriter(w)
	case ".zst":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<16))
	}
	return nil, fmt.Errorf("nothing writes %s", ext)
}

func compressed(t *testing.T, ext, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := compressor(ext, &b)
	if err == nil {
		_, err = io.WriteString(z, text)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func eachCompression(t *testing.T, run func(t *testing.T, ext string)) {
	for _, ext := range compressions {
		t.Run(ext[1:], func(t *testing.T) { run(t, ext) })
	}
}

// put writes a whole file, some time ago unless it is fresh.
func (s *scene) put(name string, content []byte, age time.Duration) {
	s.t.Helper()
	s.check(os.WriteFile(s.path(name), content, 0o644))
	s.check(os.Chtimes(s.path(name), s.now.Add(-age), s.now.Add(-age)))
}

func TestArchiveAfterDowntime(t *testing.T) {
	eachCompression(t, func(t *testing.T, ext string) {
		s := follow(t, "app.log")
		text, want := lines("line", 50_000) // of several blocks
		s.append("app.log", text)
		s.expect(want...)
		rest, unread := lines("unread", 50_000)
		s.append("app.log", rest+"last")
		s.kill()
		s.rename("app.log", "app.log.1")
		s.compressAs("app.log.1", ext)
		s.append("app.log", "new\n")
		s.pass(time.Minute)
		s.expect(append(unread, "last", "new")...)
		if g := s.committed[1]; g.State != meter.Done || g.EOFAt != int64(len(text+rest)+4) {
			t.Errorf("it is %s at %d", g.State, g.EOFAt)
		}
		s.kill()
		s.rename("app.log.1"+ext, "app.log.2"+ext)
		s.expect()
		s.wantAnomalies(nil)
	})
}

// The pattern matches neither of them: what was compressed was never seen.
func TestArchiveOfAFileThatNobodySaw(t *testing.T) {
	s := follow(t, "app-*.log")
	s.append("app-20260101.log", "old\n")
	s.compress("app-20260101.log")
	s.append("app-20260102.log", "one\n")
	s.expect("one")
	s.kill()
	s.append("app-20260103.log", "two\n")
	s.compress("app-20260103.log")
	s.append("other-20260103.log", "of nobody\n")
	s.compress("other-20260103.log")
	s.pass(5 * time.Second)
	s.expect("two")
	s.append("app-20260104.log", "three\n")
	s.compress("app-20260104.log")
	s.pass(5 * time.Second)
	s.expect("three")
	s.kill()
	s.pass(20 * time.Second)
	s.expect()
	s.wantAnomalies(nil)
}

// The file was seen while it was empty, and its archive when it was not whole.
func TestArchiveOfAFileThatNobodyRead(t *testing.T) {
	s := follow(t, "app-*.log")
	s.expect()
	s.append("app-20260101.log", "")
	s.expect()
	s.kill()
	s.append("app-20260101.log", "one\n")
	s.compress("app-20260101.log")
	s.start()
	nextOf(s.tailer, s.now)
	s.commit()
	s.kill()
	s.pass(10 * time.Second)
	s.expect("one")
	s.wantAnomalies(nil)
}

func TestArchiveOfWhatWasRead(t *testing.T) {
	eachCompression(t, func(t *testing.T, ext string) {
		s := follow(t, "app.log*")
		text, want := lines("line", 5000)
		s.append("app.log", text)
		s.expect(want...)
		s.rename("app.log", "app.log.1")
		s.append("app.log", "new\n")
		s.expect("new")
		s.pass(20 * time.Second)
		s.compressAs("app.log.1", ext)
		s.expect()
		s.pass(20 * time.Second)
		s.expect()
		s.kill()
		s.copy("app.log.1"+ext, "app.log.2"+ext) // another inode
		s.check(os.Remove(s.path("app.log.1" + ext)))
		s.pass(time.Minute)
		s.expect()
		s.wantAnomalies(nil)
	})
}

// What compresses a log through a pipe and truncates it leaves nothing plain.
func TestArchiveThatIsBeingWritten(t *testing.T) {
	eachCompression(t, func(t *testing.T, ext string) {
		s := follow(t, "app.log")
		text, want := lines("line", 500)
		rest, unread := lines("unread", 100_000)
		s.append("app.log", text)
		s.expect(want...)
		s.kill()
		whole := compressed(t, ext, text+rest)
		s.append("app.log.1"+ext, string(whole[:len(whole)/2]))
		s.check(os.Truncate(s.path("app.log"), 0))
		s.append("app.log", "new\n")
		got := s.read()
		s.commit()
		s.append("app.log.1"+ext, string(whole[len(whole)/2:]))
		for range 4 {
			got = append(got, s.read()...)
			s.commit()
		}
		want = append(unread, "new")
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("read %d lines, want %d", len(got), len(want))
		}
		s.pass(20 * time.Second)
		s.expect()
		s.wantAnomalies(nil)
	})
}

func TestArchiveThatNobodyFinished(t *testing.T) {
	eachCompression(t, func(t *testing.T, ext string) {
		s := follow(t, "app.log")
		text, want := lines("line", 500)
		rest, unread := lines("unread", 100_000)
		s.append("app.log", text)
		s.expect(want...)
		s.kill()
		whole := compressed(t, ext, text+rest)
		s.check(os.Remove(s.path("app.log")))
		s.put("app.log.1"+ext, whole[:len(whole)/2], 0)
		got := s.read()
		if len(got) == 0 || len(got) == len(unread) {
			t.Fatalf("%d of %d lines are in half the file", len(got), len(unread))
		}
		first := slices.Clone(unread[:len(got)])
		slices.Sort(first)
		if !slices.Equal(got, first) {
			t.Fatalf("other lines than the first %d were read", len(got))
		}
		s.commit()
		s.wantAnomalies(nil)
		s.pass(20 * time.Second)
		s.expect()
		s.wantAnomalies(map[meter.AnomalyKind]int64{meter.BytesMissed: 1})
		if g := s.committed[1]; g.State != meter.Gap {
			t.Errorf("it is %s", g.State)
		}
		s.anomalies.Reset()
		s.kill()
		s.expect() // nor is it counted or read again
		s.wantAnomalies(nil)
		s.put("app.log.1"+ext, whole, 0)
		s.tailer.concerns(s.path("app.log.1" + ext)) // as a notification tells
		s.expect(unread[len(got):]...)
	})
}

// The end of a torn archive is not the end of its last line.
func TestTornArchiveThatNobodyWritesTo(t *testing.T) {
	eachCompression(t, func(t *testing.T, ext string) {
		s := follow(t, "app.log")
		rest, unread := lines("unread", 100_000)
		s.append("app.log", "one\n")
		s.expect("one")
		s.kill()
		whole := compressed(t, ext, "one\n"+rest)
		s.check(os.Remove(s.path("app.log")))
		s.put("app.log.1"+ext, whole[:len(whole)/2], time.Hour)
		got := s.read()
		s.commit()
		first := slices.Clone(unread[:len(got)])
		slices.Sort(first)
		if len(got) == 0 || !slices.Equal(got, first) {
			t.Fatalf("other lines than the first %d were read", len(got))
		}
		if g := s.committed[1]; g.State != meter.Gap {
			t.Errorf("it is %s", g.State)
		}
		s.wantAnomalies(map[meter.AnomalyKind]int64{meter.BytesMissed: 1})
	})
}

func TestConcatenatedArchives(t *testing.T) {
	eachCompression(t, func(t *testing.T, ext string) {
		s := follow(t, "app.log")
		s.append("app.log", "one\n")
		s.expect("one")
		s.kill()
		parts := append(compressed(t, ext, "one\ntw"), compressed(t, ext, "o\nthree\n")...)
		s.check(os.Remove(s.path("app.log")))
		s.put("app.log.1"+ext, parts, time.Minute)
		s.expect("two", "three")
		s.pass(20 * time.Second)
		s.expect()
		s.kill()
		s.expect()
		s.wantAnomalies(nil)
	})
}

func TestArchivesOfGarbageAndUnknownKinds(t *testing.T) {
	for _, name := range []string{"app.log.1.gz", "app.log.1.bz2", "app.log.1.xz", "app.log.1.zst", "app.log.1.Z", "app.log.1.lz4"} {
		t.Run(name, func(t *testing.T) {
			s := follow(t, "app.log")
			s.append("app.log", "one\n")
			s.expect("one")
			s.kill()
			s.check(os.Remove(s.path("app.log")))
			s.append("app.log", "two\n")
			for i, garbage := range []string{"", "x", strings.Repeat("garbage", 3000)} {
				s.put(name, []byte(garbage), time.Minute)
				s.rename(name, strings.Replace(name, "1", fmt.Sprint(i+1), 1))
			}
			s.expect("two")
			s.pass(20 * time.Second)
			s.expect()
			s.wantAnomalies(nil)
		})
	}
}

func TestEmptyArchiveUnderAFollowedName(t *testing.T) {
	eachCompression(t, func(t *testing.T, ext string) {
		s := follow(t, "*")
		s.put("export"+ext, nil, time.Minute)
		s.expect()
		s.put("export"+ext, compressed(t, ext, "one\n"), 0)
		s.expect("one")
	})
}

// Many are compressed at once when a machine was down for long; each takes
// memory while it is read.
func TestManyArchivesAreReadAFewAtATime(t *testing.T) {
	for ext, most := range map[string]int{".gz": 32, ".zst": 4} {
		t.Run(ext, func(t *testing.T) {
			s := follow(t, "app.log")
			s.append("app.log", "one\n")
			s.expect("one")
			s.kill()
			const files = 50
			var want []string
			for i := range files {
				line := fmt.Sprintf("%d unread", i)
				s.put(fmt.Sprintf("app.log.%d%s", i+1, ext), compressed(t, ext, line+"\n"), -time.Minute)
				want = append(want, line)
			}
			s.pass(5 * time.Minute)
			s.start()
			atOnce := 0
			for range files {
				_, more := nextOf(s.tailer, s.now)
				open := 0
				for _, stream := range s.tailer.streams {
					if stream.arch != nil {
						open++
					}
				}
				atOnce = max(atOnce, open)
				if !more {
					break
				}
			}
			if atOnce < most-1 || atOnce > most { // one may have been read to its end
				t.Errorf("%d are open at once, want %d", atOnce, most)
			}
			s.kill()
			s.expect(want...)
		})
	}
}

// unpacked returns what a compressed stream holds.
func unpacked(packed []byte) ([]byte, error) {
	content, _, err := logfile.Decompress(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(content)
}

func TestArchiveWithALargeDictionary(t *testing.T) {
	withSum := func(data ...byte) []byte { return binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(data)) }
	flags := withSum(0, 1)
	const ofXZ9, gib4 = 28, 40 // dictionaries of 64 MiB and 4 GiB
	for size, wants := range map[byte]bool{ofXZ9: false, gib4: true} {
		block := withSum(2, 0, 0x21, 1, size, 0, 0, 0)
		_, err := unpacked(slices.Concat([]byte("\xfd7zXZ\x00"), flags, block))
		if refused := err != nil && strings.Contains(err.Error(), "exceeds max"); refused != wants {
			t.Errorf("xz with a dictionary of size %d: %v", size, err)
		}
	}
	frame := binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)
	frame = append(frame, 0, 21<<3, 1, 0, 0) // a window of 2 GiB, an empty block
	if _, err := unpacked(frame); err == nil || !strings.Contains(err.Error(), "window") {
		t.Errorf("zstd with 2 GiB: %v", err)
	}
}

func TestXZFilesOfOtherWriters(t *testing.T) {
	path, err := exec.LookPath("xz")
	if err != nil {
		t.Skip("xz is not installed")
	}
	text, _ := lines("a line", 100_000)
	for _, args := range [][]string{{"-0"}, {"-9"}, {"-T2", "--block-size=100000"}, {"--check=none"}, {"--check=crc32"}, {"--check=sha256"}} {
		command := exec.Command(path, append(args, "-c")...)
		command.Stdin = strings.NewReader(text)
		packed, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		padded := slices.Concat(packed, make([]byte, 8), packed)
		got, err := unpacked(padded)
		if err != nil || string(got) != text+text {
			t.Errorf("xz %v: %d bytes of %d, %v", args, len(got), 2*len(text), err)
		}
		for range 20 {
			torn := packed[:len(packed)-1-len(packed)/30]
			packed = packed[:len(torn)]
			if _, err := unpacked(torn); err == nil {
				t.Errorf("xz %v: %d bytes pass for a whole file", args, len(torn))
			}
		}
		if args[0] == "--check=none" {
			continue
		}
		spoilt := slices.Clone(padded)
		spoilt[len(spoilt)/4] ^= 1
		if _, err := unpacked(spoilt); err == nil {
			t.Errorf("xz %v: damage passed unseen", args)
		}
	}
}

// A decoder that is read to its end and not closed keeps what it needed.
func TestClosedArchivesGiveTheirMemoryBack(t *testing.T) {
	eachCompression(t, func(t *testing.T, ext string) {
		s := follow(t, "app.log")
		text, _ := lines("a line", 200_000)
		s.put("app.log.1"+ext, compressed(t, ext, text), time.Minute)
		before := inUse()
		a, err := logfile.OS.OpenArchive(s.path("app.log.1" + ext))
		s.check(err)
		_, err = io.Copy(io.Discard, a.From(0))
		s.check(err)
		s.check(a.Close())
		if grown := int64(inUse()) - int64(before); grown > 1<<20 {
			t.Errorf("%d bytes are still in use", grown)
		}
		runtime.KeepAlive(s)
	})
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// multilog and others compress a rotated file and give it no ending that says so.
func TestArchiveWithoutAnEnding(t *testing.T) {
	for _, ext := range []string{".gz", ".xz", ".zst"} {
		t.Run(ext, func(t *testing.T) {
			s := follow(t, "main/current")
			s.check(os.Mkdir(s.path("main"), 0o755))
			text, want := lines("first", 60)
			s.append("main/current", text)
			s.expect(want...)
			s.kill()
			s.append("main/current", "first, unread\n")
			s.rename("main/current", "main/@4000000069254d0012345678.s")
			text, want = lines("second", 60)
			s.append("main/@4000000069254d0112345678.s", text)
			for _, name := range []string{"main/@4000000069254d0012345678.s", "main/@4000000069254d0112345678.s"} {
				s.compressAs(name, ext)
				s.rename(name+ext, name)
			}
			s.append("main/current", "third\n")
			s.pass(time.Minute)
			s.expect(append(want, "first, unread", "third")...)
			for range 3 {
				s.kill()
				s.pass(time.Minute)
				s.expect()
			}
			got, err := s.tailer.disk.Find(s.committed[1])
			if err != nil || got == nil || got.Name != s.path("main/@4000000069254d0012345678.s") {
				t.Errorf("the content of the first file is found as %+v, %v", got, err)
			} else {
				got.Close()
			}
			s.wantAnomalies(nil)
		})
	}
}
