package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Generations returns the generations that are not forgotten, and the newest in any
// case, oldest first.
func (r *Reader) Generations(ctx context.Context) ([]meter.Generation, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT id, path, dev, ino, offset, head, mark, trail, compressed, eof_at, state, missed FROM generations
		WHERE state <> 'forgotten' OR id = (SELECT max(id) FROM generations) ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("ledger: generations: %w", err)
	}
	defer rows.Close()
	var generations []meter.Generation
	for rows.Next() {
		var g meter.Generation
		var dev, ino int64
		if err := rows.Scan(&g.ID, &g.Path, &dev, &ino, &g.Offset, &g.Head, &g.Mark, &g.Trail, &g.Compressed, &g.EOFAt, &g.State, &g.Missed); err != nil {
			return nil, fmt.Errorf("ledger: generations: %w", err)
		}
		g.Dev, g.Ino = uint64(dev), uint64(ino)
		generations = append(generations, g)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ledger: generations: %w", err)
	}
	return generations, nil
}

// Globs returns the patterns whose first scan has been committed, with its time.
func (r *Reader) Globs(ctx context.Context) (map[string]time.Time, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT pattern, first_scan FROM globs`)
	if err != nil {
		return nil, fmt.Errorf("ledger: globs: %w", err)
	}
	defer rows.Close()
	globs := make(map[string]time.Time)
	for rows.Next() {
		var pattern, first string
		if err := rows.Scan(&pattern, &first); err != nil {
			return nil, fmt.Errorf("ledger: globs: %w", err)
		}
		globs[pattern] = parseInstant(first)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ledger: globs: %w", err)
	}
	return globs, nil
}
