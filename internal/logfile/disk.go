package logfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
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

// Disk is how files are come by. Tests put one in whose files fail.
type Disk struct {
	Open    func(name string) (File, error)
	Stat    func(name string) (fs.FileInfo, error)
	ReadDir func(name string) ([]fs.DirEntry, error)
}

// osDisk is what the system has.
var OS = Disk{
	Open: func(name string) (File, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err // and no *os.File that is nil
		}
		return f, nil
	},
	Stat:    os.Stat,
	ReadDir: os.ReadDir,
}

func CloseFile(f File) {
	if f != nil {
		f.Close()
	}
}

// IsMissing reports whether an error says that there is no such file.
func IsMissing(err error) bool { return errors.Is(err, os.ErrNotExist) }
