package ledger

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Removed is what Remove took away.
type Removed struct {
	Files     []string // their names
	Unsettled int      // records that were open or sealed; -1 where the ledger could not be read
	Units     int64    // of these records
}

// Remove deletes the ledger in dir, if there is one, and keeps the folder. It
// returns a *LockedError, and deletes nothing, while another process has it.
// One that is broken off is made up for by calling it again.
func Remove(ctx context.Context, dir string) (removed Removed, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return Removed{}, nil
	}
	held, err := takeFolder(dir)
	if err != nil {
		return Removed{}, err
	}
	defer held.release()
	path := held.path()
	if _, err := os.Lstat(path); err == nil {
		removed.Unsettled, removed.Units = -1, 0
		switch err := held.lockBook(); {
		case err == nil:
			removed.Unsettled, removed.Units = unsettled(ctx, dir)
		case isLocked(err):
			return Removed{}, err
		}
	}
	// Before the database goes, the lock forgets it: a removal that is broken off
	// must not look like a ledger that was taken away.
	if err := forget(held.lock); err != nil {
		return Removed{}, err
	}
	// The database goes first: what is left without it is no ledger, while one
	// without its journal is an older state of it.
	for _, name := range []string{FileName, FileName + draftSuffix} {
		for _, suffix := range append([]string{""}, journals...) {
			switch err := os.Remove(filepath.Join(dir, name+suffix)); {
			case err == nil:
				removed.Files = append(removed.Files, name+suffix)
			case !errors.Is(err, fs.ErrNotExist):
				return removed, err
			}
		}
	}
	return removed, syncPath(dir)
}

func isLocked(err error) bool { return errors.As(err, new(*LockedError)) }

func unsettled(ctx context.Context, dir string) (n int, units int64) {
	r, err := OpenReader(dir)
	if err != nil {
		return -1, 0
	}
	defer r.Close()
	err = r.db.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(quantity), 0) FROM records WHERE state IN ('open', 'sealed')`).Scan(&n, &units)
	if err != nil {
		return -1, 0
	}
	return n, units
}
