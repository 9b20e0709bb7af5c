package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Remove deletes the database in dir, if there is one, and keeps the folder. It
// returns the names of what it deleted, or a *LockedError while another process
// has the database. Before that it calls look, if the database can be read.
// After a removal that was broken off, Remove is called again.
func Remove(dir string, look func()) (files []string, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	held, err := takeFolder(dir)
	if err != nil {
		return nil, err
	}
	defer held.release()
	if _, err := os.Lstat(held.path()); err == nil {
		if err := held.lockBook(); errors.As(err, new(*LockedError)) {
			return nil, err
		}
		look()
	}
	// Before the database goes, the lock forgets it: a removal that is broken off
	// must not look like a database that was taken away.
	if err := forget(held.lock); err != nil {
		return nil, err
	}
	// The database goes first: its journals alone bill nothing, while a database
	// without its journal is an older state of itself.
	for _, name := range []string{FileName, FileName + DraftSuffix} {
		for _, suffix := range append([]string{""}, journals...) {
			switch err := os.Remove(filepath.Join(dir, name+suffix)); {
			case err == nil:
				files = append(files, name+suffix)
			case !errors.Is(err, fs.ErrNotExist):
				return files, err
			}
		}
	}
	return files, syncPath(dir)
}
