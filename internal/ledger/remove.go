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
	Peaks     int64    // of stretches that were open, so that they had not counted yet
}

// Remove deletes the ledger in dir, if there is one, and keeps the folder. It
// returns a *LockedError, and deletes nothing, while another process has it.
// One that is broken off is made up for by calling it again.
func Remove(ctx context.Context, dir string) (removed Removed, err error) {
	removed.Files, err = store.Remove(dir, func() { removed.count(ctx, dir) })
	return removed, err
}

// count notes what is lost with the ledger.
func (removed *Removed) count(ctx context.Context, dir string) {
	removed.Unsettled = -1
	r, err := OpenReader(dir)
	if err != nil {
		return
	}
	defer r.Close()
	var n int
	err = r.db.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(quantity), 0), (SELECT count(*) FROM peaks JOIN peak_stretches ON id = stretch_id WHERE closed = 0)
		FROM records WHERE state IN ('open', 'sealed')`).Scan(&n, &removed.Units, &removed.Peaks)
	if err == nil {
		removed.Unsettled = n
	}
}
