package tailer

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meterlog/meterlog/internal/meter"
)

// inode names a file on this machine for as long as it is open or linked. A
// file system may give it to another file at once after that.
type inode struct{ dev, ino uint64 }

// look is what stat tells of a file. Two equal looks are taken for "nothing
// was written in between".
type look struct {
	inode
	size     int64
	mtime    int64 // nanoseconds since 1970
	ctime    int64 // the same; no program can set it
	unlinked bool
}

func lookAt(info fs.FileInfo) look {
	st := info.Sys().(*syscall.Stat_t)
	return look{
		inode:    inode{uint64(st.Dev), st.Ino},
		size:     info.Size(),
		mtime:    info.ModTime().UnixNano(),
		ctime:    syscall.TimespecToNsec(st.Ctim),
		unlinked: st.Nlink == 0,
	}
}

// public returns the look as the ledger keeps it.
func (l look) public() meter.Look {
	return meter.Look{Dev: l.dev, Ino: l.ino, Size: l.size, MTime: l.mtime, CTime: l.ctime}
}

// bornAt returns when a file was made, in nanoseconds since 1970; 0 where the file
// system does not tell. A file that gets the inode of another is younger.
func bornAt(f file) int64 {
	opened, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return 0
	}
	var st unix.Statx_t
	err := unix.Statx(int(opened.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return st.Btime.Sec*int64(time.Second) + int64(st.Btime.Nsec)
}

var errNotRegular = errors.New("not a regular file")

// look follows symbolic links, and refuses all but regular files.
func (d disk) look(name string) (look, error) {
	info, err := d.stat(name)
	if err != nil {
		return look{}, err
	}
	if !info.Mode().IsRegular() {
		return look{}, &fs.PathError{Op: "follow", Path: name, Err: errNotRegular}
	}
	return lookAt(info), nil
}

// differs reports whether the file was written to since.
func (l look) differs(now look) bool {
	return !now.unlinked && (l.size != now.size || l.mtime != now.mtime)
}

// asFilesAreDated returns a time of ours, not later than the present, as the
// kernel would date a file that is written now: by a clock that is some
// milliseconds behind. What is written later is never dated before it.
func asFilesAreDated(now time.Time) time.Time {
	var exact, coarse unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &coarse) != nil || unix.ClockGettime(unix.CLOCK_REALTIME, &exact) != nil {
		return now
	}
	return now.Add(-time.Duration(exact.Nano() - coarse.Nano()))
}

func (l look) writtenAt() time.Time { return time.Unix(0, l.mtime) }

// verdict is how a file's content compares with a generation.
type verdict int

const (
	other   verdict = iota // it does not hold the generation
	same                   // head and mark stand where they should
	shorter                // it begins like the generation and ends before the position
	unread                 // it could not be looked at
	blanked                // head stands; where the mark should be are NULs, as a power failure leaves them
)

// compare tells whether the file of the given size holds the generation. A
// generation of which nothing was consumed has no content to be known by: no
// file holds it.
func compare(f io.ReaderAt, size int64, g *meter.Generation) (verdict, error) {
	if g.Offset == 0 || size == 0 {
		return other, nil
	}
	head, err := readAt(f, 0, int(min(int64(len(g.Head)), size)))
	if err != nil {
		return unread, err
	}
	if len(head) < min(len(g.Head), int(min(size, meter.HeadSize))) {
		return unread, io.ErrUnexpectedEOF
	}
	if !beginsAlike(head, g.Head) {
		return other, nil
	}
	if size < g.Offset {
		return shorter, nil
	}
	mark, err := readAt(f, g.Offset-int64(len(g.Mark)), len(g.Mark))
	if err != nil {
		return unread, err
	}
	if len(mark) < len(g.Mark) { // it was cut off since, or the disk says so
		return unread, io.ErrUnexpectedEOF
	}
	v := compareMark(mark, g.Mark)
	if v != same {
		return v, nil
	}
	// Lines that end alike leave the mark standing where others take their place,
	// as after a power failure; their beginnings differ.
	stands, err := lastLineStands(g.Trail, f, g.Offset)
	switch {
	case err != nil:
		return unread, err
	case !stands:
		return other, nil
	}
	return same, nil
}

// beginsAlike reports whether one of the two begins with the other.
func beginsAlike(a, b []byte) bool {
	n := min(len(a), len(b))
	return n > 0 && bytes.Equal(a[:n], b[:n])
}

func compareMark(found, want []byte) verdict {
	switch {
	case bytes.Equal(found, want):
		return same
	case len(found) == len(want) && len(bytes.Trim(found, "\x00")) == 0:
		return blanked
	}
	return other
}

// alike reports whether a file that begins so may hold nothing but one line,
// again and again: its content then says nothing of which file it is, and what
// the file system knows must do.
func alike(head []byte) bool {
	end := bytes.IndexByte(head, '\n') + 1
	if end == 0 {
		return false
	}
	line := head[:end]
	for rest := head; len(rest) > 0; rest = rest[min(len(rest), end):] {
		if !bytes.HasPrefix(line, rest[:min(len(rest), end)]) {
			return false
		}
	}
	return len(head) > end || !bytes.ContainsAny(line, "0123456789")
}

// isPrefix reports whether the file a, of the given size, looks like the
// beginning of the file b: its first and its last bytes stand there too.
func isPrefix(a io.ReaderAt, size int64, b io.ReaderAt) (bool, error) {
	headLen := int(min(size, meter.HeadSize))
	tailLen := int(min(size, meter.MarkSize))
	for _, part := range []struct {
		offset int64
		length int
	}{{0, headLen}, {size - int64(tailLen), tailLen}} {
		x, err := readAt(a, part.offset, part.length)
		if err != nil {
			return false, err
		}
		y, err := readAt(b, part.offset, part.length)
		if err != nil {
			return false, err
		}
		if len(x) < part.length || len(y) < part.length {
			return false, io.ErrUnexpectedEOF
		}
		if !bytes.Equal(x, y) {
			return false, nil
		}
	}
	return true, nil
}

// readAt returns up to n bytes at the offset: fewer at the file's end.
func readAt(f io.ReaderAt, offset int64, n int) ([]byte, error) {
	buf := make([]byte, n)
	read, err := f.ReadAt(buf, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:read], err
}
