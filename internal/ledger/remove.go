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
	lockFile, err := lock(dir)
	if err != nil {
		return Removed{}, err
	}
	defer lockFile.Close()
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); err == nil {
		removed.Unsettled, removed.Units = unsettled(ctx, dir)
	}
	// The database goes first: what is left without it is no ledger, while one
	// without its journal is an older state of it.
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", ".new", ".new-wal", ".new-shm", ".new-journal"} {
		switch err := os.Remove(path + suffix); {
		case err == nil:
			removed.Files = append(removed.Files, FileName+suffix)
		case !errors.Is(err, fs.ErrNotExist):
			return removed, err
		}
	}
	return removed, syncPath(dir)
}

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
