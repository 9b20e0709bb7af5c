package tailer

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

var asideFlag = flag.Bool("aside", false, "run the histories in which people and other programs touch the log")

// asideNames are names that no rotation gives. A number replaces %d.
var asideNames = []string{"app-%d.log", "app_%d.log", "app%d.log", "2026112%d-app.log", "app-before-%d.log", "app.log.backup%d", "aside%d"}

// asideStep is something that people and other programs do to a log: they copy
// it, cut it, restore it, link to it, archive it under any name, or remove what
// was read.
func (h *history) asideStep() {
	switch h.rand.IntN(9) {
	case 0, 1:
		h.copyAside()
	case 2:
		h.archiveAside()
	case 3, 4:
		h.removeRead()
	case 5:
		h.cutBeginning()
	case 6:
		h.restoreOlder()
	case 7:
		h.copyTruncateTorn()
	case 8:
		h.linkAside()
	}
}

func (h *history) asideName() string {
	h.asides++
	return h0(filepath.Dir(h.path), fmt.Sprintf(asideNames[h.rand.IntN(len(asideNames))], h.asides))
}

// files returns the files of the folder, without links.
func (h *history) files() (names []string) {
	entries, err := os.ReadDir(filepath.Dir(h.path))
	h.check(err)
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, h0(filepath.Dir(h.path), e.Name()))
		}
	}
	return names
}

// pack writes data as gzip does.
func (h *history) pack(name string, data []byte) {
	var packed bytes.Buffer
	z, err := compressor(".gz", &packed)
	h.check(err)
	_, err = z.Write(data)
	h.check(err)
	h.check(z.Close())
	h.check(os.WriteFile(name, packed.Bytes(), 0o644))
}

// evidence is how many bytes make two files the same beyond doubt.
const evidence = 2048

// copyAside copies a file, plain or compressed.
func (h *history) copyAside() {
	names := h.files()
	from := names[h.rand.IntN(len(names))]
	data, err := os.ReadFile(from)
	h.check(err)
	if len(data) < evidence || logfile.Compression(from) != "" {
		return
	}
	to := h.asideName()
	if h.rand.IntN(2) == 0 {
		to += ".gz"
		h.pack(to, data)
	} else {
		h.check(os.WriteFile(to, data, 0o644))
	}
	h.copied = append(h.copied, to)
	h.note("copy %s to %s", filepath.Base(from), filepath.Base(to))
}

// archiveAside rotates the log into a file of any name. Enough of the log is
// committed to know the file again. If no pattern matches the name, then all of the log
// is committed and nobody writes to it: after a restart, nothing leads to such a file.
func (h *history) archiveAside() {
	data, err := os.ReadFile(h.path)
	h.check(err)
	if h.countedOf(data) < evidence {
		return
	}
	to := h.asideName()
	packs := h.torn[h.app] == "" && h.rand.IntN(2) == 0
	if !h.follows(to) && (h.countedOf(data) < len(data) || h.torn[h.app] != "") {
		return
	}
	if packs {
		to += ".gz"
		h.pack(to, data)
		h.check(os.Remove(h.path))
		h.app.Close()
	} else if !h.follows(to) {
		h.check(os.Rename(h.path, to))
		h.app.Close()
	} else {
		h.check(os.Rename(h.path, to))
		h.late = append(h.late, h.app)
	}
	h.note("archive as %s", filepath.Base(to))
	h.create()
}

// removeRead removes a file whose lines were all committed. The file system
// gives its inode to the next file.
func (h *history) removeRead() {
	for _, name := range h.files() {
		if name == h.path || h.isOpen(name) || h.rand.IntN(3) == 0 {
			continue
		}
		data, err := contentOf(name)
		h.check(err)
		read := bytes.HasSuffix(data, []byte("\n"))
		for line := range strings.Lines(string(data)) {
			read = read && h.got[strings.TrimLeft(strings.TrimSuffix(line, "\n"), "\x00")] > 0
		}
		if read {
			h.note("remove %s", filepath.Base(name))
			h.check(os.Remove(name))
			h.copied = slices.DeleteFunc(h.copied, func(copy string) bool { return copy == name })
		}
	}
}

func (h *history) isOpen(name string) bool {
	a, err := os.Stat(name)
	h.check(err)
	return slices.ContainsFunc(append(h.late, h.app), func(f *os.File) bool {
		b, err := f.Stat()
		return err == nil && os.SameFile(a, b)
	})
}

// contentOf returns what a file holds, decompressed.
func contentOf(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var r io.Reader = bytes.NewReader(data)
	switch logfile.Compression(name) {
	case ".gz":
		r, err = gzip.NewReader(r)
	case ".xz":
		r, err = xz.NewReader(r)
	case ".zst":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// hasHardLink reports whether another name keeps the log's file if the path leads to a
// new one. A new file that begins like a log which is there is another log by rule, and
// counts from its first byte.
func (h *history) hasHardLink() bool {
	info, err := os.Stat(h.path)
	h.check(err)
	return info.Sys().(*syscall.Stat_t).Nlink > 1
}

// cutBeginning cuts off lines that were committed, in place or in a new file.
func (h *history) cutBeginning() {
	data, err := os.ReadFile(h.path)
	h.check(err)
	from := h.countedOf(data)
	for range 4 + h.rand.IntN(30) {
		from = bytes.LastIndexByte(data[:max(0, from-1)], '\n') + 1
	}
	if from == 0 {
		return
	}
	h.note("cut off %d of %d bytes", from, len(data))
	if h.torn[h.app] != "" || h.rand.IntN(2) == 0 || h.hasHardLink() {
		h.check(os.WriteFile(h.path, data[from:], 0o644))
		return
	}
	h.check(os.WriteFile(h.path+".new", data[from:], 0o644))
	h.check(os.Rename(h.path+".new", h.path))
	h.app.Close()
	h.create()
}

// restoreOlder puts an older copy of the log back, in a new file, while no
// tailer runs.
func (h *history) restoreOlder() {
	data, err := os.ReadFile(h.path)
	h.check(err)
	offset := h.countedOf(data)
	if h.torn[h.app] != "" || offset < evidence || h.hasHardLink() {
		return
	}
	kept := bytes.LastIndexByte(data[:evidence+h.rand.IntN(offset-evidence+1)], '\n') + 1
	if offset-kept > 60_000 {
		return
	}
	h.kill()
	h.lose(string(data[offset:]))
	h.note("restore %d of %d bytes", kept, offset)
	h.check(os.WriteFile(h.path+".new", data[:kept], 0o644))
	h.check(os.Rename(h.path+".new", h.path))
	h.app.Close()
	h.create()
	if h.rand.IntN(2) == 0 {
		h.write(h.app, h.rand.IntN(60))
	}
	h.start()
	h.read()
	h.commit()
}

// copyTruncateTorn copies and truncates the log within a line.
func (h *history) copyTruncateTorn() {
	data, err := os.ReadFile(h.path)
	h.check(err)
	if len(data) < evidence {
		return
	}
	h.tear(h.app)
	h.note("copytruncate within a line")
	data, err = os.ReadFile(h.path)
	h.check(err)
	h.shift(30)
	h.check(os.WriteFile(h.path+".1", data, 0o644))
	h.stamp()
	if h.rand.IntN(2) == 0 {
		h.read()
	}
	h.check(os.Truncate(h.path, 0))
	if h.rand.IntN(2) == 0 {
		h.read()
	}
	h.write(h.app, 1) // the rest of the line
}

// linkAside gives the log another name.
func (h *history) linkAside() {
	to := h.asideName()
	link := os.Link
	if h.rand.IntN(2) == 0 {
		link = os.Symlink
	}
	h.check(link(h.path, to))
	h.note("link %s to the log", filepath.Base(to))
}

// invariant fails the test if two unfinished generations share an inode.
func (h *history) invariant() {
	h.t.Helper()
	seen := make(map[logfile.Inode]int64)
	for id, g := range h.committed {
		if g.State != meter.Live && g.State != meter.Rotated {
			continue
		}
		at := logfile.Inode{Dev: g.Dev, Ino: g.Ino}
		if other, there := seen[at]; there {
			h.t.Errorf("generations %d and %d share the inode %d\nafter:\n%s", other, id, g.Ino, strings.Join(h.step, "\n"))
		}
		seen[at] = id
	}
}

// TestHistoriesAside adds to the random histories what people and other
// programs do to a log.
func TestHistoriesAside(t *testing.T) {
	if !*asideFlag {
		t.Skip("the follower is not exact in all of them yet: -aside runs them")
	}
	first, n := *firstFlag, int64(*historyFlag)
	if *seedFlag >= 0 {
		first, n = *seedFlag, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, seed)
			h.aside = true
			if h.rand.IntN(3) == 0 {
				h.maxOpen = 2 + h.rand.IntN(3)
				h.note("descriptors %d", h.maxOpen)
			}
			if h.rand.IntN(3) == 0 {
				h.kill()
				h.sources[0].Paths[0] = h0(filepath.Dir(h.path), "*")
				h.start()
				h.read()
				h.commit()
			}
			h.run(60)
			h.invariant()
			h.verify()
		})
	}
}
