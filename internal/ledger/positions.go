package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Generations returns the generations that are not forgotten, and the newest in any
// case, oldest first.
func (r *Reader) Generations(ctx context.Context) ([]meter.Generation, error) {
	return query(ctx, r.db, "generations", scanGeneration,
		`SELECT `+generationColumns+` FROM generations WHERE state <> 'forgotten' OR id = (SELECT max(id) FROM generations) ORDER BY id`)
}

const generationColumns = `id, path, dev, ino, offset, head, mark, trail, compressed, eof_at, state, missed,
	size, mtime, ctime, born, before, carry, query, left_to_other, names`

func scanGeneration(rows *sql.Rows) (g meter.Generation, err error) {
	var dev, ino int64
	err = rows.Scan(&g.ID, &g.Path, &dev, &ino, &g.Offset, &g.Head, &g.Mark, &g.Trail, &g.Compressed, &g.EOFAt, &g.State, &g.Missed,
		&g.Size, &g.MTime, &g.CTime, &g.Born, &g.Before, &g.Carry, &g.Query, &g.Left, (*nameList)(&g.Names))
	g.Dev, g.Ino = uint64(dev), uint64(ino)
	if err == nil && (g.Offset < 0 || g.EOFAt < -1) {
		err = fmt.Errorf("generation %d of %s is damaged: its offset is %d, and its end %d", g.ID, g.Path, g.Offset, g.EOFAt)
	}
	return g, err
}

// GenerationsOf returns the generations with these IDs, oldest first, and the files
// that hold what is counted as one of them.
func (r *Reader) GenerationsOf(ctx context.Context, ids []int64) ([]meter.Generation, []meter.Copy, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, nil, err
	}
	generations, err := query(ctx, r.db, "generations", scanGeneration,
		`SELECT `+generationColumns+` FROM generations WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id`, string(list))
	if err != nil {
		return nil, nil, err
	}
	copies, err := query(ctx, r.db, "copies", scanCopy,
		`SELECT `+copyColumns+` FROM copies WHERE generation_id IN (SELECT value FROM json_each(?))`, string(list))
	return generations, copies, err
}

// Copies returns the files that hold what is counted elsewhere.
func (r *Reader) Copies(ctx context.Context) ([]meter.Copy, error) {
	return query(ctx, r.db, "copies", scanCopy, `SELECT `+copyColumns+` FROM copies`)
}

const copyColumns = `dev, ino, size, mtime, ctime, generation_id`

func scanCopy(rows *sql.Rows) (c meter.Copy, err error) {
	var dev, ino int64
	err = rows.Scan(&dev, &ino, &c.Size, &c.MTime, &c.CTime, &c.Of)
	c.Dev, c.Ino = uint64(dev), uint64(ino)
	return c, err
}

// Globs returns the patterns whose first scan has been committed, each with the
// time since when it counts as followed. The time is zero after the disk was copied:
// what the next scan finds is left to the other machine.
func (r *Reader) Globs(ctx context.Context) (map[string]time.Time, error) {
	globs := make(map[string]time.Time)
	_, err := query(ctx, r.db, "globs", func(rows *sql.Rows) (pattern string, err error) {
		var first string
		err = rows.Scan(&pattern, &first)
		globs[pattern] = parseInstant(first)
		return pattern, err
	}, `SELECT pattern, first_scan FROM globs`)
	return globs, err
}
