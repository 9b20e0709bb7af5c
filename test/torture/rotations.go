package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const kept = 200 // rotated files: more than come up, so that none is deleted unread

func (w *writer) shift() error {
	for i := kept; i >= 1; i-- {
		for _, ext := range []string{"", ".gz"} {
			from := fmt.Sprintf("%s.%d%s", w.path, i, ext)
			if err := os.Rename(from, fmt.Sprintf("%s.%d%s", w.path, i+1, ext)); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return nil
}

func (w *writer) rename() error {
	if err := w.shift(); err != nil {
		return err
	}
	if err := os.Rename(w.path, w.path+".1"); err != nil {
		return err
	}
	w.file.Close()
	return w.open()
}

// renameLate keeps writing to the old file for a while after the new one is
// there.
func (w *writer) renameLate() error {
	old := w.file
	if err := w.shift(); err != nil {
		return err
	}
	if err := os.Rename(w.path, w.path+".1"); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	return w.writeLate(old)
}

// writeLate writes to the old file and the new one in turn, and closes the old.
func (w *writer) writeLate(old *os.File) error {
	fresh := w.file
	for range w.chance.IntN(5) {
		w.file = old
		if err := w.write(10); err != nil {
			return err
		}
		w.file = fresh
		if err := w.write(10); err != nil {
			return err
		}
		time.Sleep(time.Duration(w.chance.IntN(60)) * time.Millisecond)
	}
	return old.Close()
}

func (w *writer) renameAndCompress() error {
	if err := w.rename(); err != nil {
		return err
	}
	return compress(w.path + ".1")
}

// compress replaces a file by its compressed form and keeps its times, as gzip
// does.
func compress(name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(name + ".gz")
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	if err := errors.Join(z.Close(), out.Close(), os.Chtimes(name+".gz", info.ModTime(), info.ModTime())); err != nil {
		return err
	}
	return os.Remove(name)
}

// copyTruncate copies and truncates while nothing is written, so that nothing
// is destroyed.
func (w *writer) copyTruncate() error {
	if err := w.shift(); err != nil {
		return err
	}
	in, err := os.Open(w.path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(w.path + ".1")
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Truncate(w.path, 0)
}

// switchLink has the log's name, a symbolic link, lead to another file, and goes
// on writing to the one before for a while.
func (w *writer) switchLink() error {
	old := w.file
	if err := w.link(); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	return w.writeLate(old)
}

func (w *writer) link() error {
	next := w.path + ".next"
	if err := os.Symlink(fmt.Sprintf("link-%d.log", w.rotations), next); err != nil {
		return err
	}
	return os.Rename(next, w.path)
}
