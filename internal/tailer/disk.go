package tailer

import (
	"io"
	"io/fs"
	"os"
)

// file is an open file that is read.
type file interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
}

// disk is how files are come by. Tests put one in whose files fail.
type disk struct {
	open    func(name string) (file, error)
	stat    func(name string) (fs.FileInfo, error)
	readDir func(name string) ([]fs.DirEntry, error)
}

// osDisk is what the system has.
var osDisk = disk{
	open: func(name string) (file, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err // and no *os.File that is nil
		}
		return f, nil
	},
	stat:    os.Stat,
	readDir: os.ReadDir,
}

func closeFile(f file) {
	if f != nil {
		f.Close()
	}
}
