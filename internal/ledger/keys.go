package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// secretKey is where the table meta has the secret of the keys' hashes.
const secretKey = "key_secret"

// KeySecret returns the secret that keys are hashed with. The first call makes it.
func (l *Ledger) KeySecret(ctx context.Context) (secret []byte, err error) {
	err = l.update(ctx, "secret of the keys", func(tx *transaction) error {
		text, err := tx.meta(secretKey)
		if err != nil {
			return err
		}
		if text == "" {
			secret = make([]byte, 32)
			rand.Read(secret)
			return tx.setMeta(secretKey, hex.EncodeToString(secret))
		}
		secret, err = hex.DecodeString(text)
		return err
	})
	return secret, err
}

// KeySecret returns the secret that keys are hashed with. It is nil if the ledger has
// no secret yet.
func (r *Reader) KeySecret(ctx context.Context) ([]byte, error) {
	var text string
	err := r.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, secretKey).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: secret of the keys: %w", err)
	}
	return hex.DecodeString(text)
}

// stretch is a row of the table stretches.
type stretch struct {
	id        int64 // or 0
	forgotten bool
}

// stretchKey says which row it is.
type stretchKey struct {
	rule, form string
	start      int64
}

// decision is the work of decide.
type decision struct {
	*transaction
	now       time.Time
	stretches map[stretchKey]stretch
	touched   map[int64]bool
	outcomes  []meter.Outcome
}

// decide returns which of the lines are the first of their keys, and keeps these
// keys. The lines are in the order of their reading.
func (t *transaction) decide(keyed []meter.Keyed, now time.Time) ([]meter.Outcome, error) {
	d := &decision{t, now, make(map[stretchKey]stretch), make(map[int64]bool), make([]meter.Outcome, len(keyed))}
	var each, within []int // indexes of keyed
	for i := range keyed {
		k := &keyed[i]
		late, err := d.late(&k.KeyRef)
		switch {
		case err != nil:
			return nil, err
		case late:
			d.outcomes[i] = meter.LateForKey
		case k.Once.Within == 0:
			each = append(each, i)
		default:
			within = append(within, i)
		}
	}
	if err := d.first(keyed, each); err != nil {
		return nil, err
	}
	within, err := d.apart(keyed, within)
	if err != nil {
		return nil, err
	}
	if err := d.first(keyed, within); err != nil {
		return nil, err
	}
	for id := range d.touched {
		if _, err := t.exec(`UPDATE stretches SET touched = ? WHERE id = ?`, now.Unix(), id); err != nil {
			return nil, err
		}
	}
	return d.outcomes, nil
}

// stretch returns the row of a stretch, if there is one.
func (d *decision) stretch(once *meter.Once, start int64) (s stretch, err error) {
	key := stretchKey{once.Rule, once.Form, start}
	s, known := d.stretches[key]
	if known {
		return s, nil
	}
	err = d.scan(`SELECT id, forgotten FROM stretches WHERE rule = ? AND form = ? AND start = ?`,
		[]any{once.Rule, once.Form, start}, &s.id, &s.forgotten)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	d.stretches[key] = s
	return s, err
}

// late reports whether a key that was forgotten could make the line a repeat.
func (d *decision) late(r *meter.KeyRef) (bool, error) {
	length := r.Stretch.End - r.Stretch.Start
	for _, start := range r.Neighbours() {
		s, err := d.stretch(r.Once, start)
		if err != nil {
			return false, err
		}
		if s.forgotten && (start == r.Stretch.Start || r.Repeats(start, 0) || r.Repeats(start, length*1000-1)) {
			return true, nil
		}
	}
	return false, nil
}

// own returns the id of a key's stretch.
func (d *decision) own(r *meter.KeyRef) (int64, error) {
	s, err := d.stretch(r.Once, r.Stretch.Start)
	if err != nil || s.id != 0 {
		return s.id, err
	}
	err = d.scan(`INSERT INTO stretches (rule, form, start, length, within, touched) VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
		[]any{r.Once.Rule, r.Once.Form, r.Stretch.Start, r.Stretch.End - r.Stretch.Start, int64(r.Once.Within / time.Second), d.now.Unix()}, &s.id)
	d.stretches[stretchKey{r.Once.Rule, r.Once.Form, r.Stretch.Start}] = s
	return s.id, err
}

// keysAtOnce is how many keys one statement inserts or looks up.
const keysAtOnce = 64

// row is a line with the id of its stretch.
type row struct {
	index   int
	stretch int64
}

// rows sorts lines in the order of the table.
func (d *decision) rows(keyed []meter.Keyed, indexes []int) ([]row, error) {
	rows := make([]row, len(indexes))
	for i, index := range indexes {
		id, err := d.own(&keyed[index].KeyRef)
		if err != nil {
			return nil, err
		}
		rows[i] = row{index, id}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.stretch, b.stretch), bytes.Compare(keyed[a.index].Hash[:], keyed[b.index].Hash[:]), cmp.Compare(a.index, b.index))
	})
	return rows, nil
}

// first inserts keys. A line whose key is there already is a repeat.
func (d *decision) first(keyed []meter.Keyed, indexes []int) error {
	rows, err := d.rows(keyed, indexes)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(rows, keysAtOnce) {
		args := make([]any, 0, 6*len(chunk))
		for _, r := range chunk {
			k := &keyed[r.index]
			args = append(args, r.stretch, k.Hash[:], k.At, k.Generation, k.Start, k.Window.Start-k.Stretch.Start)
			d.outcomes[r.index] = meter.RepeatOfKey
		}
		n, err := d.insertKeys(keyed, chunk, args)
		if err != nil {
			return err
		}
		if n > 0 {
			d.changed = true
			for _, r := range chunk {
				d.touched[r.stretch] = true
			}
		}
	}
	return nil
}

// insertKeys inserts a chunk of keys, and notes which of them are new.
func (d *decision) insertKeys(keyed []meter.Keyed, chunk []row, args []any) (n int, err error) {
	s, err := d.prepare(`INSERT INTO keys (stretch_id, hash, at, generation_id, offset, window) VALUES (?, ?, ?, ?, ?, ?)` +
		strings.Repeat(`, (?, ?, ?, ?, ?, ?)`, len(chunk)-1) + ` ON CONFLICT DO NOTHING RETURNING generation_id, offset, hash`)
	if err != nil {
		return 0, err
	}
	inserted, err := s.QueryContext(d.ctx, args...)
	if err != nil {
		return 0, err
	}
	defer inserted.Close()
	var hash sql.RawBytes
	var generation, offset int64
	for next := 0; inserted.Next(); n++ {
		if err := inserted.Scan(&generation, &offset, &hash); err != nil {
			return n, err
		}
		for ; next < len(chunk); next++ { // they come in the order of the chunk
			if k := &keyed[chunk[next].index]; k.Generation == generation && k.Start == offset && bytes.Equal(k.Hash[:], hash) {
				d.outcomes[chunk[next].index] = meter.FirstOfKey
				next++
				break
			}
		}
	}
	return n, inserted.Err()
}

// apart returns the lines that are far enough from each counted line of their key. It
// looks up what the ledger holds of the keys, and then takes the
// lines in their order.
func (d *decision) apart(keyed []meter.Keyed, indexes []int) (first []int, err error) {
	known := make(map[*meter.Once]*meter.Keys)
	for chunk := range slices.Chunk(indexes, keysAtOnce) {
		for _, i := range chunk {
			if once := keyed[i].Once; known[once] == nil {
				known[once] = new(meter.Keys)
			}
		}
		if err := d.lookUp(keyed, chunk, known); err != nil {
			return nil, err
		}
	}
	for _, i := range indexes {
		d.outcomes[i] = meter.RepeatOfKey
		if known[keyed[i].Once].First(&keyed[i].KeyRef) {
			first = append(first, i)
		}
	}
	return first, nil
}

// lookUp adds to known what the ledger holds of the keys of a chunk.
func (d *decision) lookUp(keyed []meter.Keyed, chunk []int, known map[*meter.Once]*meter.Keys) error {
	var args []any
	starts := make(map[int64]int64) // by the id of a stretch
	for _, i := range chunk {
		for _, start := range keyed[i].Neighbours() {
			s, err := d.stretch(keyed[i].Once, start)
			if err != nil {
				return err
			}
			if s.id != 0 {
				args = append(args, s.id, keyed[i].Hash[:])
				starts[s.id] = start
			}
		}
	}
	if len(args) == 0 {
		return nil
	}
	of := make(map[meter.KeyHash]*meter.Once, len(chunk))
	for _, i := range chunk {
		of[keyed[i].Hash] = keyed[i].Once
	}
	return d.each(`WITH wanted (stretch, hash) AS (VALUES (?, ?)`+strings.Repeat(`, (?, ?)`, len(args)/2-1)+`)
		SELECT DISTINCT k.stretch_id, k.hash, k.at FROM wanted JOIN keys AS k ON k.stretch_id = wanted.stretch AND k.hash = wanted.hash`, func(rows *sql.Rows) error {
		var id, at int64
		var hash []byte
		if err := rows.Scan(&id, &hash, &at); err != nil {
			return err
		}
		h := meter.KeyHash(hash)
		known[of[h]].Add(h, starts[id], at)
		return nil
	}, args...)
}

// keysPruned is how many keys are forgotten in one transaction.
const keysPruned = 5000

// ForgetKeys forgets some keys of stretches that were over before the given time
// and got no new key since then. It returns how many keys it deleted: until that is
// 0, there may be more.
func (l *Ledger) ForgetKeys(ctx context.Context, before time.Time) (n int, err error) {
	for begun := time.Now(); time.Since(begun) < pruneFor; {
		deleted := int64(0)
		err := l.update(ctx, "forget keys", func(tx *transaction) (err error) {
			deleted, err = tx.forgetKeys(before.Unix())
			return err
		})
		n += int(deleted)
		if err != nil || deleted < keysPruned {
			return n, err
		}
	}
	return n, nil
}

func (t *transaction) forgetKeys(before int64) (deleted int64, err error) {
	if _, err := t.exec(`UPDATE stretches SET forgotten = 1 WHERE forgotten = 0 AND start + length + within < ? AND touched < ?`, before, before); err != nil {
		return 0, err
	}
	return t.exec(`DELETE FROM keys WHERE (stretch_id, hash, at) IN (
		SELECT stretch_id, hash, at FROM stretches JOIN keys ON stretch_id = stretches.id WHERE forgotten = 1 LIMIT ?)`, keysPruned)
}

// KeyPlace says where a key was counted.
type KeyPlace struct {
	Known      bool   // the ledger holds the key
	Own        bool   // the line itself counted
	Forgotten  bool   // the keys of its time are gone
	Generation int64  // of the line that counted
	Offset     int64  // where that line begins
	UUID       string // its record; "" while its amount waits for a unit, or if the record is gone
}

// KeyPlace returns where the key of a line was counted. The line is at an offset
// of a generation.
func (r *Reader) KeyPlace(ctx context.Context, ref meter.KeyRef, generation, offset int64) (p KeyPlace, err error) {
	for _, start := range ref.Neighbours() {
		if err := r.keyPlace(ctx, ref, start, generation, offset, &p); err != nil {
			return p, fmt.Errorf("ledger: key: %w", err)
		}
	}
	return p, nil
}

// keyPlace looks for the key in one stretch.
func (r *Reader) keyPlace(ctx context.Context, ref meter.KeyRef, start, generation, offset int64, p *KeyPlace) error {
	type found struct {
		forgotten             bool
		at, gen, place, begin sql.NullInt64
	}
	list, err := query(ctx, r.db, "key", func(rows *sql.Rows) (f found, err error) {
		err = rows.Scan(&f.forgotten, &f.at, &f.gen, &f.place, &f.begin)
		return f, err
	}, `SELECT forgotten, at, generation_id, offset, start + window FROM stretches LEFT JOIN keys ON stretch_id = id AND hash = ?
		WHERE rule = ? AND form = ? AND start = ?`, ref.Hash[:], ref.Once.Rule, ref.Once.Form, start)
	if err != nil {
		return err
	}
	for _, f := range list {
		p.Forgotten = p.Forgotten || f.forgotten
		own := f.gen.Valid && f.gen.Int64 == generation && f.place.Int64 == offset
		if !f.gen.Valid || p.Own || !own && !ref.Repeats(start, f.at.Int64) {
			continue
		}
		p.Known, p.Own, p.Generation, p.Offset = true, own, f.gen.Int64, f.place.Int64
		if p.UUID, err = r.recordAt(ctx, ref.Once.Rule, p.Generation, p.Offset, f.begin.Int64); err != nil {
			return err
		}
	}
	return nil
}

// recordAt returns the record that counted the line at an offset for a rule. A
// record of the line's window is preferred: an amount that waited for its unit
// may be in another.
func (r *Reader) recordAt(ctx context.Context, rule string, generation, offset, window int64) (uuid string, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT uuid FROM contributions JOIN records ON id = record_id
		WHERE rule = ? AND generation_id = ? AND start_offset <= ? AND end_offset > ?
		ORDER BY window_start <> ?, id LIMIT 1`, rule, generation, offset, offset, time.Unix(window, 0).UTC().Format(windowLayout)).Scan(&uuid)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return uuid, err
}
