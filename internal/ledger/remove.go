package ledger

import (
	"context"

	"github.com/meterlog/meterlog/internal/store"
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
	removed.Files, err = store.Remove(dir, func() { removed.Unsettled, removed.Units = unsettled(ctx, dir) })
	return removed, err
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
