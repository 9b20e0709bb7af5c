package tailer

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

var (
	seedFlag    = flag.Int64("seed", -1, "replay this one history")
	firstFlag   = flag.Int64("first", 0, "seed of the first random history")
	historyFlag = flag.Int("histories", 300, "random histories to run")
)

// history is a log and its follower: an application that writes and rotates
// on one side, a tailer that is killed and restarted on the other.
type history struct {
	t    *testing.T
	rand *rand.Rand
	path string
	now  time.Time
	step []string // what was done, for the report

	app  *os.File   // the application's descriptor
	late []*os.File // descriptors that it has not closed yet after a rotation
	torn map[*os.File]string
	line int
	want map[string]int // lines written in full

	tailer    *Tailer
	committed map[int64]meter.Generation
	copies    knownCopies
	globs     map[string]time.Time
	aside     bool           // people and other programs touch the log as well
	asides    int            // files that they made
	copied    []string       // those of them that are copies
	maxOpen   int            // descriptors of the tailer; 0: its default
	got       map[string]int // committed
	fresh     map[string]int // read and not committed
	anomalies meter.Tally
	sources   []Source
	stamps    map[logfile.Inode]int64
	births    map[logfile.Inode]int64
	gone      map[logfile.Inode]bool // no name of the folder leads to them
}

func newHistory(t *testing.T, seed int64) *history {
	dir := t.TempDir()
	h := &history{
		t: t, rand: rand.New(rand.NewPCG(uint64(seed), 1)), path: filepath.Join(dir, "app.log"), now: time.Now(),
		stamps: make(map[logfile.Inode]int64), births: make(map[logfile.Inode]int64), gone: make(map[logfile.Inode]bool), torn: make(map[*os.File]string), want: make(map[string]int),
		committed: make(map[int64]meter.Generation), globs: make(map[string]time.Time),
		got: make(map[string]int), fresh: make(map[string]int),
		sources: []Source{{Name: "app", Paths: []string{h0(dir, "app.log")}}},
	}
	if h.rand.IntN(3) == 0 {
		h.sources[0].Paths[0] = h0(dir, "app.log*")
	}
	h.create()
	h.start()
	h.read()
	h.commit() // what is rotated before the first commit does not count
	return h
}

func h0(dir, name string) string { return filepath.Join(dir, name) }

func (h *history) note(format string, args ...any) {
	h.step = append(h.step, fmt.Sprintf(format, args...))
	if *seedFlag >= 0 {
		fmt.Fprintln(os.Stderr, "  ", h.step[len(h.step)-1])
	}
}

func (h *history) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%v\nafter:\n%s", err, strings.Join(h.step, "\n"))
	}
}

func (h *history) create() {
	f, err := os.OpenFile(h.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	h.check(err)
	h.app = f
}

func (h *history) start() {
	log := slog.New(slog.DiscardHandler)
	if *seedFlag >= 0 {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var known []meter.Generation
	for _, id := range slices.Sorted(maps.Keys(h.committed)) {
		known = append(known, h.committed[id])
	}
	finished := func(ids []int64) ([]meter.Generation, []meter.Copy, error) {
		return finished(h.committed, h.copies, ids)
	}
	disk := logfile.OS
	disk.BornAt = h.bornAt
	h.tailer = New(Config{disk: disk, Sources: h.sources, Finished: finished, Known: known, Copies: h.copies.list(), Globs: h.globs, NoWatch: true, Log: log, MaxLine: 4096, MaxOpen: h.maxOpen})
}

// write appends whole lines to f, completing a torn one first.
func (h *history) write(f *os.File, n int) {
	var b strings.Builder
	for range n {
		h.line++
		line := fmt.Sprintf("%d %s\n", h.line, strings.Repeat("x", h.rand.IntN(200)))
		if h.torn[f] != "" {
			line = h.torn[f]
			delete(h.torn, f)
			b.WriteString(line[strings.IndexByte(line, 0)+1:])
			line = strings.Replace(line, "\x00", "", 1)
		} else {
			b.WriteString(line)
		}
		h.want[strings.TrimSuffix(line, "\n")]++
	}
	_, err := f.WriteString(b.String())
	h.check(err)
}

// tear appends the beginning of a line.
func (h *history) tear(f *os.File) {
	if h.torn[f] != "" {
		return
	}
	h.line++
	line := fmt.Sprintf("%d torn %s\n", h.line, strings.Repeat("y", h.rand.IntN(100)))
	cut := 1 + h.rand.IntN(len(line)-1)
	_, err := f.WriteString(line[:cut])
	h.check(err)
	h.torn[f] = line[:cut] + "\x00" + line[cut:]
}

// shift renames the rotated files, as logrotate does.
func (h *history) shift(keep int) {
	for i := keep; i >= 1; i-- {
		for _, ext := range []string{"", ".gz", ".xz", ".zst"} {
			from := fmt.Sprintf("%s.%d%s", h.path, i, ext)
			if _, err := os.Stat(from); err == nil {
				h.check(os.Rename(from, fmt.Sprintf("%s.%d%s", h.path, i+1, ext)))
			}
		}
	}
}

func (h *history) rotate() {
	h.shift(30)
	h.check(os.Rename(h.path, h.path+".1"))
	old := h.app
	h.create()
	h.late = append(h.late, old)
}

func (h *history) closeLate() {
	for _, f := range h.late {
		if h.torn[f] != "" {
			h.write(f, 1)
		}
		f.Close()
	}
	h.late = nil
}

func (h *history) copyTruncate() {
	if h.torn[h.app] != "" {
		h.write(h.app, 1)
	}
	h.shift(30)
	in, err := os.Open(h.path)
	h.check(err)
	out, err := os.Create(h.path + ".1")
	h.check(err)
	if info, _ := in.Stat(); h.rand.IntN(2) == 0 && info.Size() > 1 { // seen half-way
		_, err = io.CopyN(out, in, h.rand.Int64N(info.Size()))
		h.check(err)
		h.read()
	}
	_, err = io.Copy(out, in)
	h.check(err)
	in.Close()
	out.Close()
	h.stamp()
	if h.rand.IntN(2) == 0 {
		h.read()
	}
	h.check(os.Truncate(h.path, 0))
}

// compress replaces a rotated file by a compressed one.
func (h *history) compress(i int) {
	name := fmt.Sprintf("%s.%d", h.path, i)
	in, err := os.Open(name)
	if err != nil {
		return
	}
	for _, f := range h.late { // gzip does not wait for late writers; the application here is done
		if a, _ := f.Stat(); a != nil {
			if b, _ := in.Stat(); os.SameFile(a, b) {
				in.Close()
				return
			}
		}
	}
	name += []string{".gz", ".gz", ".xz", ".zst"}[h.rand.IntN(4)]
	out, err := os.Create(name)
	h.check(err)
	z, err := compressor(filepath.Ext(name), out)
	h.check(err)
	_, err = io.Copy(z, in)
	h.check(err)
	if h.rand.IntN(2) == 0 {
		if z, ok := z.(interface{ Flush() error }); ok {
			h.check(z.Flush())
		}
		h.read()
	}
	h.check(z.Close())
	info, _ := in.Stat()
	h.check(out.Close())
	in.Close()
	h.check(os.Chtimes(name, info.ModTime(), info.ModTime()))
	if info, err := os.Stat(name); err == nil {
		h.stamps[logfile.FileStateOf(info).Inode] = logfile.FileStateOf(info).MTime
	}
	h.check(os.Remove(in.Name()))
}

// stamp gives what was written and made since the last stamp the history's own time,
// which is later than that of the stamp before.
func (h *history) stamp() {
	h.now = h.now.Add(time.Millisecond)
	files, err := os.ReadDir(filepath.Dir(h.path))
	h.check(err)
	there := make(map[logfile.Inode]bool)
	for _, f := range files {
		info, err := f.Info()
		h.check(err)
		at := logfile.FileStateOf(info)
		if there[at.Inode] = true; h.gone[at.Inode] || h.births[at.Inode] == 0 {
			h.births[at.Inode] = h.now.UnixNano()
		}
		if h.stamps[at.Inode] != at.MTime {
			h.check(os.Chtimes(h0(filepath.Dir(h.path), f.Name()), h.now, h.now))
			h.stamps[at.Inode] = h.now.UnixNano()
		}
	}
	for at := range h.births {
		h.gone[at] = !there[at]
	}
}

// bornAt returns when a file was made by the history's time.
func (h *history) bornAt(f logfile.File) int64 {
	info, err := f.Stat()
	h.check(err)
	return h.births[logfile.FileStateOf(info).Inode]
}

// read has the tailer read for a moment.
func (h *history) read() {
	h.stamp()
	if h.tailer == nil {
		return
	}
	for range 1 + h.rand.IntN(40) {
		b, ok := nextOf(h.tailer, h.now)
		if !ok {
			break
		}
		if *seedFlag >= 0 {
			fmt.Fprintf(os.Stderr, "    generation %d [%d, %d) %.20q\n", b.Generation, b.Start, b.End(), b.Data)
		}
		for _, line := range strings.Split(strings.TrimSuffix(string(b.Data), "\n"), "\n") {
			h.fresh[line]++
		}
	}
}

func (h *history) commit() {
	generations, copies, globs := h.tailer.Take(&h.anomalies)
	for _, g := range generations {
		h.committed[g.ID] = g
	}
	h.copies.take(copies)
	h.check(h.tailer.breach())
	for p, at := range globs {
		h.globs[p] = at
	}
	for line, n := range h.fresh {
		h.got[line] += n
	}
	clear(h.fresh)
}

func (h *history) kill() {
	h.tailer.Close()
	h.tailer = nil
	clear(h.fresh)
	h.anomalies.Reset()
}

// losePower takes what had been committed of the log from its end, once or
// twice, and has the application write, or not, before the tailer starts.
func (h *history) losePower() {
	h.closeLate()
	for range 1 + h.rand.IntN(2) {
		data, err := os.ReadFile(h.path)
		h.check(err)
		offset := h.countedOf(data)
		first := strings.IndexByte(string(data[:offset]), '\n') + 1
		if first == 0 {
			return
		}
		kept := 1 + h.rand.IntN(min(offset, 60_000)) + max(0, offset-60_000) - 1
		if h.rand.IntN(3) == 0 {
			kept = strings.LastIndexByte(string(data[:kept]), '\n') + 1
		}
		if kept == 0 {
			return
		}
		h.kill()
		h.lose(string(data[offset:]))
		delete(h.torn, h.app)
		h.check(os.Truncate(h.path, int64(kept)))
		fragment := string(data[bytes.LastIndexAny(data[:kept], "\n\x00")+1 : kept])
		if h.rand.IntN(2) == 0 {
			h.check(os.Truncate(h.path, int64(kept+2+h.rand.IntN(5000))))
			fragment = ""
		}
		h.note("the power fails: %d of %d bytes stay, and %q", kept, offset, fragment)
		if h.rand.IntN(2) == 0 && kept >= first {
			h.appendAfterCut(fragment)
		}
		h.start()
		h.read()
		h.commit()
	}
}

// lose no longer wants the lines that were not committed, unless a followed copy holds
// them.
func (h *history) lose(text string) {
	copied := make(map[string]bool)
	for _, name := range h.copied {
		if !h.follows(name) {
			continue
		}
		data, err := contentOf(name)
		h.check(err)
		for line := range strings.Lines(string(data)) {
			copied[line] = true
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, "\n") && !copied[line] {
			h.want[strings.TrimSuffix(strings.TrimLeft(line, "\x00"), "\n")]--
		}
	}
}

// follows reports whether the tailer looks at files of this name.
func (h *history) follows(name string) bool {
	return h.sources[0].follows(name) || slices.Contains(logfile.RotatedFrom(name), h.path)
}

// appendAfterCut appends lines of which the first is one with what is left of
// another.
func (h *history) appendAfterCut(fragment string) {
	if fragment != "" {
		next := fmt.Sprintf("%d after\n", h.line+1)
		h.line++
		_, err := h.app.WriteString(next)
		h.check(err)
		h.want[fragment+strings.TrimSuffix(next, "\n")]++
	}
	n := h.rand.IntN(60)
	h.note("write %d before the start", n)
	h.write(h.app, n)
}

// countedOf returns how much of the log is committed, 0 where it is not sure.
func (h *history) countedOf(data []byte) int {
	info, err := os.Stat(h.path)
	h.check(err)
	for _, g := range h.committed {
		if g.State == meter.Live && (logfile.Inode{Dev: g.Dev, Ino: g.Ino}) == logfile.FileStateOf(info).Inode {
			if match, err := logfile.Compare(bytes.NewReader(data), int64(len(data)), &g); err == nil && match == logfile.Same {
				return int(g.Offset)
			}
		}
	}
	return 0
}

// pass lets time go by. A line that stays torn for longer than Quiet after its
// file was rotated counts as its last, so the application completes it before.
func (h *history) pass(d time.Duration) {
	for _, f := range h.late {
		if h.torn[f] != "" {
			h.write(f, 1)
			h.stamp()
		}
	}
	h.now = h.now.Add(d)
}

// writerStep is something that the application or its rotation does.
func (h *history) writerStep() {
	switch h.rand.IntN(12) {
	case 0, 1, 2, 3:
		n := h.rand.IntN(50)
		h.note("write %d", n)
		h.write(h.app, n)
	case 4:
		h.note("tear")
		h.tear(h.app)
	case 5, 6:
		h.note("rotate")
		h.rotate()
	case 7:
		if len(h.late) > 0 {
			f := h.late[h.rand.IntN(len(h.late))]
			n := h.rand.IntN(5)
			h.note("late write %d", n)
			h.write(f, n)
		}
	case 8, 9:
		h.note("close late")
		h.closeLate()
	case 10:
		h.note("copytruncate")
		h.copyTruncate()
	case 11:
		i := 1 + h.rand.IntN(3)
		h.note("compress %d", i)
		h.compress(i)
	}
}

func (h *history) run(steps int) {
	for range steps {
		switch h.rand.IntN(10) {
		case 0:
			d := time.Duration(h.rand.IntN(4000)) * time.Millisecond
			h.note("pass %v", d)
			h.pass(d)
		case 1, 2, 3:
			h.note("read")
			h.read()
		case 4:
			h.note("commit")
			h.commit()
		case 5:
			if h.rand.IntN(4) == 0 {
				h.losePower()
			} else if h.rand.IntN(2) == 0 {
				h.note("kill")
				h.kill()
				for range h.rand.IntN(6) {
					h.writerStep()
					h.stamp()
				}
				h.note("start")
				h.start()
			}
		default:
			if h.aside && h.rand.IntN(3) == 0 {
				h.asideStep()
			} else {
				h.writerStep()
			}
		}
		h.stamp()
	}
	h.note("settle")
	h.closeLate()
	if h.torn[h.app] != "" {
		h.write(h.app, 1)
	}
	for range 60 {
		h.pass(time.Second)
		for range 20 {
			h.read()
		}
	}
	h.commit()
	h.tailer.Close()
	h.app.Close()
}

func (h *history) verify() {
	h.t.Helper()
	lost, repeated := 0, 0
	var example string
	for line, n := range h.want {
		switch d := h.got[line] - n; {
		case d < 0:
			lost -= d
			example = "lost: " + line
		case d > 0:
			repeated += d
			example = "repeated: " + line
		}
	}
	for line, n := range h.got {
		if h.want[line] == 0 {
			repeated += n
			example = fmt.Sprintf("never written: %.80q", line)
		}
	}
	if lost+repeated > 0 {
		h.tellWrong()
		h.t.Fatalf("%d lines lost, %d repeated of %d (%.60s); anomalies %v\nafter:\n%s", lost, repeated, len(h.want), example, h.anomalies.Anomalies, strings.Join(h.step, "\n"))
	}
	for key, a := range h.anomalies.Anomalies {
		if a.Count != 0 {
			h.t.Errorf("%v happened to nobody: %+v\nafter:\n%s", key, *a, strings.Join(h.step, "\n"))
		}
	}
}

// tellWrong prints the lines that were lost or repeated, if one history is replayed.
func (h *history) tellWrong() {
	if *seedFlag < 0 {
		return
	}
	for _, line := range slices.Sorted(maps.Keys(h.want)) {
		if h.got[line] != h.want[line] {
			fmt.Fprintf(os.Stderr, "read %d times, want %d: %.70q\n", h.got[line], h.want[line], line)
		}
	}
	for _, line := range slices.Sorted(maps.Keys(h.got)) {
		if _, written := h.want[line]; !written {
			fmt.Fprintf(os.Stderr, "never written: %.70q\n", line)
		}
	}
}

// TestHistories follows a log through random histories of writing, rotation
// and crashes: every line that was written must be read and committed once.
func TestHistories(t *testing.T) {
	first, n := *firstFlag, int64(*historyFlag)
	if *seedFlag >= 0 {
		first, n = *seedFlag, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, seed)
			h.run(60)
			h.verify()
		})
	}
}
