package logfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// File is an open file that is read.
type File interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
}

// Disk opens files and reads their states. Tests put one in whose files fail.
type Disk struct {
	Open    func(name string) (File, error)
	Stat    func(name string) (fs.FileInfo, error)
	ReadDir func(name string) ([]fs.DirEntry, error)
	BornAt  func(f File) int64 // [BornAt]
	Refresh func()             // forgets which folders are links, before a scan; may be nil
}

// NewDisk returns the disk of this machine, with the link policy of [Open]. rootOf
// returns the fixed part of the configured path to a file.
func NewDisk(rootOf func(name string) string) Disk {
	g := &guard{rootOf: rootOf, linkEnds: make(map[string]int)}
	return Disk{
		Open: func(name string) (File, error) {
			f, err := Open(name, rootOf(name))
			if err != nil {
				return nil, err // and no *os.File that is nil
			}
			return f, nil
		},
		Stat:    g.stat,
		ReadDir: os.ReadDir,
		BornAt:  BornAt,
		Refresh: func() { clear(g.linkEnds) },
	}
}

// OS is the disk of this machine for names whose folder somebody chose. It remembers no
// folder, so any goroutine may use it.
var OS = func() Disk {
	disk := NewDisk(func(string) string { return "" })
	disk.Refresh = nil
	return disk
}()

// guard tells of files by one call each, as long as no link leads to them.
type guard struct {
	rootOf   func(string) string
	linkEnds map[string]int // by folder
}

func (g *guard) stat(name string) (fs.FileInfo, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	root := g.rootOf(name)
	if info.Mode()&fs.ModeSymlink == 0 && (root == "" || g.linkEnd(filepath.Dir(name)) <= len(root)) {
		return info, nil
	}
	return Stat(name, root)
}

// linkEnd returns the length of the path of the last link on the way to a folder, or 0
// without a link.
func (g *guard) linkEnd(dir string) int {
	end, known := g.linkEnds[dir]
	if known {
		return end
	}
	if above := filepath.Dir(dir); above != dir {
		end = g.linkEnd(above)
		if info, err := os.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			end = len(dir)
		}
	}
	g.linkEnds[dir] = end
	return end
}

// CloseFile closes a file, if there is one.
func CloseFile(f File) {
	if f != nil {
		f.Close()
	}
}

// IsMissing reports whether an error says that a file does not exist.
func IsMissing(err error) bool { return errors.Is(err, os.ErrNotExist) }
