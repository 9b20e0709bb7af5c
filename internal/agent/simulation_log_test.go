package agent

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// tornPatience is how long after a rotation a line of the old file may stay
// torn: the agent counts what has been quiet for 5 s as the file's last line.
const tornPatience = 2 * time.Second

// appLog is an application's log and what rotates it.
type appLog struct {
	*simulation
	path  string
	dated bool // rotated files are named by date, not by number

	app     *writing
	late    []*writing // descriptors that the application has not closed yet after a rotation
	rotated int

	finished map[uint64]bool // inodes of archives that hold only what was counted
}

// writing is a descriptor that the application writes through.
type writing struct {
	*os.File
	torn string    // what is missing of the line at its end
	owes usage     // what that line is worth when it is whole
	left time.Time // when its file was rotated
}

// usage is what lines are worth to the rules of the simulation.
type usage struct{ events, bytes, odd int64 } // odd: bytes of odd sizes

func (l *appLog) create() {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	l.check(err)
	l.app = &writing{File: f}
}

func (l *appLog) line() (string, usage) {
	l.lines++
	at := l.now().UTC()
	if l.chance.IntN(4) == 0 { // it was buffered somewhere
		at = at.Add(-time.Duration(l.chance.IntN(300)) * time.Second)
	}
	stamp, padding := at.Format(time.RFC3339), strings.Repeat("x", l.chance.IntN(200))
	if l.chance.IntN(4) == 0 {
		return fmt.Sprintf("%s %d mail queued %s\n", stamp, l.lines, padding), usage{}
	}
	size := l.chance.Int64N(700)
	l.gauge.add(at, l.lines, size)
	return fmt.Sprintf("%s %d mail sent size=%d %s\n", stamp, l.lines, size, padding), usage{1, size, size * (size % 2)}
}

// append writes whole lines, the rest of a torn one first.
func (l *appLog) append(w *writing, n int) {
	l.finish(w)
	since := len(l.gauge.samples)
	var b strings.Builder
	for range n {
		line, worth := l.line()
		b.WriteString(line)
		l.written.add(worth)
	}
	_, err := w.WriteString(b.String())
	l.check(err)
	if w == l.app {
		l.gauge.written(since, l.now())
	}
}

// tear appends the beginning of a line.
func (l *appLog) tear(w *writing) {
	if w.torn != "" {
		return
	}
	line, worth := l.line()
	cut := 1 + l.chance.IntN(len(line)-1)
	_, err := w.WriteString(line[:cut])
	l.check(err)
	w.torn, w.owes = line[cut:], worth
}

func (l *appLog) finish(w *writing) {
	if w.torn == "" {
		return
	}
	_, err := w.WriteString(w.torn)
	l.check(err)
	l.written.add(w.owes)
	w.torn, w.owes = "", usage{}
}

func (u *usage) add(more usage) {
	u.events += more.events
	u.bytes += more.bytes
	u.odd += more.odd
}

// mendLate completes lines before they are taken for a file's last.
func (l *appLog) mendLate(within time.Duration) {
	for _, w := range l.late {
		if time.Since(w.left)+within > tornPatience {
			l.finish(w)
		}
	}
}

func (l *appLog) closeLate() {
	for _, w := range l.late {
		l.finish(w)
		l.check(w.Close())
	}
	l.late = nil
}

// forms returns the rotated files of the log.
func (l *appLog) forms() []string {
	dotted, err := filepath.Glob(l.path + ".*")
	l.check(err)
	dated, err := filepath.Glob(l.path + "-*")
	l.check(err)
	return append(dotted, dated...)
}

// vacate returns a free name for the file that is to be rotated, after the
// others have been renamed as logrotate does.
func (l *appLog) vacate() string {
	l.rotated++
	if l.dated {
		return fmt.Sprintf("%s-20260101-%d", l.path, 1_700_000_000+l.rotated)
	}
	for i := l.rotated; i >= 1; i-- {
		for _, ext := range []string{"", ".gz"} {
			from := fmt.Sprintf("%s.%d%s", l.path, i, ext)
			if _, err := os.Stat(from); err == nil {
				l.check(os.Rename(from, fmt.Sprintf("%s.%d%s", l.path, i+1, ext)))
			}
		}
	}
	return l.path + ".1"
}

// rename rotates the log; the application keeps the old file open for now.
func (l *appLog) rename() string {
	to := l.vacate()
	l.check(os.Rename(l.path, to))
	l.app.left = time.Now()
	l.late = append(l.late, l.app)
	l.create()
	return to
}

// copyTruncate rotates the log while the application pauses.
func (l *appLog) copyTruncate() {
	l.finish(l.app)
	to := l.vacate()
	in, err := os.Open(l.path)
	l.check(err)
	defer in.Close()
	out, err := os.Create(to)
	l.check(err)
	if info, err := in.Stat(); err == nil && info.Size() > 1 && l.chance.IntN(3) == 0 {
		_, err = io.CopyN(out, in, l.chance.Int64N(info.Size()))
		l.check(err)
		l.meterStep() // it sees half of a copy
	}
	_, err = io.Copy(out, in)
	l.check(errors.Join(err, out.Close()))
	if l.chance.IntN(3) == 0 {
		l.meterStep()
	}
	l.check(os.Truncate(l.path, 0))
}

// compress replaces a rotated file, which nobody writes to any more, by its
// compressed form.
func (l *appLog) compress(name string) {
	in, err := os.Open(name)
	l.check(err)
	defer in.Close()
	info, err := in.Stat()
	l.check(err)
	_, finished := l.isCounted(info, in)
	out, err := os.Create(name + ".gz")
	l.check(err)
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	l.check(err)
	if l.chance.IntN(3) == 0 {
		l.check(z.Flush())
		l.meterStep() // it sees half of an archive
	}
	l.check(errors.Join(z.Close(), out.Close(), os.Chtimes(name+".gz", info.ModTime(), info.ModTime())))
	at, err := os.Stat(name + ".gz")
	l.check(err)
	l.stamps[inodeOf(at)] = at.ModTime()
	l.finished[inodeOf(at)] = finished
	l.check(os.Remove(name))
}

// some returns a rotated file that nobody writes to, "" if there is no such file.
func (l *appLog) some(suitable func(name string, info os.FileInfo) bool) string {
	var names []string
	for _, name := range l.forms() {
		info, err := os.Stat(name)
		l.check(err)
		if !l.isWritten(info) && suitable(name, info) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[l.chance.IntN(len(names))]
}

func (l *appLog) isWritten(info os.FileInfo) bool {
	for _, w := range l.late {
		if open, err := w.Stat(); err == nil && os.SameFile(open, info) {
			return true
		}
	}
	return false
}

// isCounted reports whether all of a file is in the ledger, and whether the
// ledger knows that it is all.
func (l *appLog) isCounted(info os.FileInfo, f io.ReaderAt) (counted, finished bool) {
	var last meter.Generation
	for _, g := range l.generations() {
		if g.Ino == inodeOf(info) {
			last = g
		}
	}
	if last.Compressed || last.Offset == 0 || last.Offset != info.Size() {
		return false, false
	}
	mark := make([]byte, len(last.Mark))
	_, err := f.ReadAt(mark, last.Offset-int64(len(mark)))
	counted = err == nil && bytes.Equal(mark, last.Mark)
	return counted, counted && last.State == meter.Done
}

// expire deletes a rotated file that was counted, as retention does.
func (l *appLog) expire() string {
	name := l.some(func(name string, info os.FileInfo) bool {
		if strings.HasSuffix(name, ".gz") {
			return l.finished[inodeOf(info)]
		}
		f, err := os.Open(name)
		l.check(err)
		defer f.Close()
		_, finished := l.isCounted(info, f)
		return finished
	})
	if name != "" {
		l.check(os.Remove(name))
	}
	return name
}

// grow appends until the log is longer than before.
func (l *appLog) grow(before int64) {
	for l.size() <= before {
		l.append(l.app, 10)
	}
}

func (l *appLog) size() int64 {
	info, err := l.app.Stat()
	l.check(err)
	return info.Size()
}

// losePower takes from the end of the log what had been counted and had not
// reached the disk, leaves NULs there or not, and has the application write
// before the agent starts, or not. It reports whether that was possible.
func (l *appLog) losePower() bool {
	l.closeLate()
	l.finish(l.app)
	data, err := os.ReadFile(l.path)
	l.check(err)
	info, err := os.Stat(l.path)
	l.check(err)
	if counted, _ := l.isCounted(info, bytes.NewReader(data)); !counted {
		return false
	}
	near := max(0, len(data)-60_000) // what is lost before is a gap
	kept := near + 1 + l.chance.IntN(len(data)-near-1)
	whole := bytes.LastIndexByte(data[:kept], '\n') + 1
	if whole == 0 {
		return false
	}
	nuls, writes := l.chance.IntN(2) == 0, l.chance.IntN(2) == 0
	if writes && !nuls {
		kept = whole // or a lost line and a new one would be one
	}
	l.check(os.Truncate(l.path, int64(kept)))
	if nuls {
		l.check(os.Truncate(l.path, int64(kept+2+l.chance.IntN(len(data)))))
	}
	if writes {
		l.append(l.app, l.chance.IntN(60))
	}
	return true
}

func (l *appLog) close() {
	l.closeLate()
	l.check(l.app.Close())
}

func inodeOf(info os.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

func newAppLog(s *simulation, name string) *appLog {
	l := &appLog{simulation: s, path: s.path(name), dated: s.chance.IntN(3) == 0, finished: make(map[uint64]bool)}
	l.create()
	return l
}

// act is something that the application or what rotates its log does.
func (l *appLog) act(chance *rand.Rand) {
	switch chance.IntN(14) {
	case 0, 1, 2, 3:
		n := chance.IntN(30)
		l.note("%s: append %d", l.name(), n)
		l.append(l.app, n)
	case 4:
		l.note("%s: tear", l.name())
		l.tear(l.app)
	case 5, 6:
		l.note("%s: rename", l.name())
		l.rename()
	case 7:
		l.note("%s: rename and compress", l.name())
		name := l.rename()
		l.closeLate()
		l.compress(name)
	case 8:
		if len(l.late) > 0 {
			n := chance.IntN(5)
			l.note("%s: append %d late", l.name(), n)
			l.append(l.late[chance.IntN(len(l.late))], n)
		}
	case 9, 10:
		l.note("%s: close the old files", l.name())
		l.closeLate()
	case 11:
		l.note("%s: copytruncate", l.name())
		before := l.size()
		l.copyTruncate()
		if chance.IntN(2) == 0 {
			l.grow(before)
		}
	case 12:
		plain := func(name string, _ os.FileInfo) bool { return !strings.HasSuffix(name, ".gz") }
		if name := l.some(plain); name != "" {
			l.note("%s: compress %s", l.name(), filepath.Base(name))
			l.compress(name)
		}
	case 13:
		if name := l.expire(); name != "" {
			l.note("%s: delete %s", l.name(), filepath.Base(name))
		}
	}
}

func (l *appLog) name() string { return filepath.Base(l.path) }
