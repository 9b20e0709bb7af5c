package logfile

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

// Inode names a file on this machine for as long as it is open or linked. A
// file system may give it to another file at once after that.
type Inode struct{ Dev, Ino uint64 }

// FileState is what stat tells of a file. Two equal states are taken for "nothing
// was written in between".
type FileState struct {
	Inode
	Size     int64
	MTime    int64 // nanoseconds since 1970
	CTime    int64 // the same; no program can set it
	Unlinked bool
}

// FileStateOf returns what stat told of a file.
func FileStateOf(info fs.FileInfo) FileState {
	st := info.Sys().(*syscall.Stat_t)
	return FileState{
		Inode:    Inode{uint64(st.Dev), st.Ino},
		Size:     info.Size(),
		MTime:    info.ModTime().UnixNano(),
		CTime:    syscall.TimespecToNsec(st.Ctim),
		Unlinked: st.Nlink == 0,
	}
}

// Public returns the state as the ledger keeps it.
func (l FileState) Public() meter.FileState {
	return meter.FileState{Dev: l.Dev, Ino: l.Ino, Size: l.Size, MTime: l.MTime, CTime: l.CTime}
}

// BornAt returns when a file was made, in nanoseconds since 1970; 0 where the file
// system does not tell. A file that gets the inode of another is younger.
func BornAt(f File) int64 {
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

// ErrReplaced says that the bytes before the position differ from the consumed bytes.
var ErrReplaced = errors.New("truncated or overwritten")

var ErrNotRegular = errors.New("not a regular file")

// State returns what stat tells of a file. It follows symbolic links, and refuses all but regular files.
func (d Disk) State(name string) (FileState, error) {
	info, err := d.Stat(name)
	if err != nil {
		return FileState{}, err
	}
	if !info.Mode().IsRegular() {
		return FileState{}, &fs.PathError{Op: "follow", Path: name, Err: ErrNotRegular}
	}
	return FileStateOf(info), nil
}

// Differs reports whether the file was written to since.
func (l FileState) Differs(now FileState) bool {
	return !now.Unlinked && (l.Size != now.Size || l.MTime != now.MTime)
}

// AsFilesAreDated returns a time of ours, not later than the present, as the
// kernel would date a file that is written now: by a clock that is some milliseconds
// behind. A file that is written later never has an earlier date.
func AsFilesAreDated(now time.Time) time.Time {
	var exact, coarse unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &coarse) != nil || unix.ClockGettime(unix.CLOCK_REALTIME, &exact) != nil {
		return now
	}
	return now.Add(-time.Duration(exact.Nano() - coarse.Nano()))
}

func (l FileState) WrittenAt() time.Time { return time.Unix(0, l.MTime) }

// Match is how a file's content compares with a generation.
type Match int

const (
	Other   Match = iota // it does not hold the generation
	Same                 // head and mark stand where they should
	Shorter              // it begins like the generation and ends before the position
	Unread               // it could not be looked at
	Blanked              // the head is the same; NULs are in place of the mark, as after a power failure
)

// Compare reports whether the file of the given size holds the generation. If nothing
// of the generation was consumed, its content is unknown, and no file holds it.
func Compare(f io.ReaderAt, size int64, g *meter.Generation) (Match, error) {
	if g.Offset == 0 || size == 0 {
		return Other, nil
	}
	head, err := ReadAt(f, 0, int(min(int64(len(g.Head)), size)))
	if err != nil {
		return Unread, err
	}
	if len(head) < min(len(g.Head), int(min(size, meter.HeadSize))) {
		return Unread, io.ErrUnexpectedEOF
	}
	if !BeginsAlike(head, g.Head) {
		return Other, nil
	}
	if size < g.Offset {
		return Shorter, nil
	}
	mark, err := ReadAt(f, g.Offset-int64(len(g.Mark)), len(g.Mark))
	if err != nil {
		return Unread, err
	}
	if len(mark) < len(g.Mark) { // it was cut off since, or the disk says so
		return Unread, io.ErrUnexpectedEOF
	}
	v := compareMark(mark, g.Mark)
	if v != Same {
		return v, nil
	}
	// Lines that end alike leave the mark standing where others take their place,
	// as after a power failure; their beginnings differ.
	holds, err := lastLineHolds(g.Trail, f, g.Offset)
	switch {
	case err != nil:
		return Unread, err
	case !holds:
		return Other, nil
	}
	return Same, nil
}

// BeginsAlike reports whether one of the two begins with the other.
func BeginsAlike(a, b []byte) bool {
	n := min(len(a), len(b))
	return n > 0 && bytes.Equal(a[:n], b[:n])
}

func compareMark(found, want []byte) Match {
	switch {
	case bytes.Equal(found, want):
		return Same
	case len(found) == len(want) && len(bytes.Trim(found, "\x00")) == 0:
		return Blanked
	}
	return Other
}

// Alike reports whether a file with this beginning may hold one line again and again.
// Then its content does not identify it, and the tailer must rely on the file system.
func Alike(head []byte) bool {
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

// IsPrefix reports whether the file a, of the given size, looks like the
// beginning of the file b: its first and its last bytes stand there too.
func IsPrefix(a io.ReaderAt, size int64, b io.ReaderAt) (bool, error) {
	headLen := int(min(size, meter.HeadSize))
	tailLen := int(min(size, meter.MarkSize))
	for _, part := range []struct {
		offset int64
		length int
	}{{0, headLen}, {size - int64(tailLen), tailLen}} {
		x, err := ReadAt(a, part.offset, part.length)
		if err != nil {
			return false, err
		}
		y, err := ReadAt(b, part.offset, part.length)
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

// ReadAt returns up to n bytes at the offset: fewer at the file's end.
func ReadAt(f io.ReaderAt, offset int64, n int) ([]byte, error) {
	buf := make([]byte, n)
	read, err := f.ReadAt(buf, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:read], err
}
