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
	keyed     *meter.KeyedLines
	now       time.Time
	stretches map[stretchKey]stretch
	groups    []group // of keyed.Groups
	touched   map[int64]bool
	outcomes  []meter.Outcome
	args      []any
}

// group is what the ledger knows of a group of lines.
type group struct {
	stretch            int64 // its id; 0 as long as the ledger has none
	forgotten          bool  // the keys of the stretch or of a neighbour are gone
	generation, window any   // of all the lines' keys
}

// decide returns which of the lines are the first of their keys, and keeps these
// keys. The lines are in the order of their reading.
func (t *transaction) decide(keyed *meter.KeyedLines, now time.Time) ([]meter.Outcome, error) {
	d := &decision{
		transaction: t, keyed: keyed, now: now, stretches: make(map[stretchKey]stretch), groups: make([]group, len(keyed.Groups)),
		touched: make(map[int64]bool), outcomes: make([]meter.Outcome, keyed.Len()),
	}
	if err := d.group(); err != nil {
		return nil, err
	}
	var each, within []int32 // lines, in their order
	for i := range keyed.Len() {
		g := keyed.Line(i).Group
		switch {
		case d.groups[g].forgotten && d.late(i):
			d.outcomes[i] = meter.LateForKey
		case keyed.Groups[g].Once.Within == 0:
			each = append(each, int32(i))
		default:
			within = append(within, int32(i))
		}
	}
	rows, err := d.rows(each)
	if err == nil {
		err = d.first(rows)
	}
	if err == nil {
		rows, err = d.apart(within)
	}
	if err == nil {
		err = d.first(rows)
	}
	if err != nil {
		return nil, err
	}
	for id := range d.touched {
		if _, err := t.exec(`UPDATE stretches SET touched = ? WHERE id = ?`, now.Unix(), id); err != nil {
			return nil, err
		}
	}
	return d.outcomes, nil
}

// group looks up the stretches of the groups.
func (d *decision) group() error {
	for i := range d.groups {
		g := &d.keyed.Groups[i]
		d.groups[i].generation, d.groups[i].window = g.Generation, g.Window.Start-g.Stretch.Start
		ref := meter.KeyRef{Once: g.Once, Stretch: g.Stretch}
		for _, start := range ref.Neighbours() {
			s, err := d.stretch(g.Once, start)
			if err != nil {
				return err
			}
			d.groups[i].forgotten = d.groups[i].forgotten || s.forgotten
		}
	}
	return nil
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
func (d *decision) late(line int) bool {
	r := d.keyed.Ref(line)
	length := r.Stretch.End - r.Stretch.Start
	for _, start := range r.Neighbours() {
		s := d.stretches[stretchKey{r.Once.Rule, r.Once.Form, start}]
		if s.forgotten && (start == r.Stretch.Start || r.Repeats(start, 0) || r.Repeats(start, length*1000-1)) {
			return true
		}
	}
	return false
}

// own returns the id of the stretch of a group. It makes a missing one.
func (d *decision) own(i int32) (int64, error) {
	if d.groups[i].stretch != 0 {
		return d.groups[i].stretch, nil
	}
	g := &d.keyed.Groups[i]
	s, err := d.stretch(g.Once, g.Stretch.Start)
	if err == nil && s.id == 0 {
		err = d.scan(`INSERT INTO stretches (rule, form, start, length, within, touched) VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
			[]any{g.Once.Rule, g.Once.Form, g.Stretch.Start, g.Stretch.End - g.Stretch.Start, int64(g.Once.Within / time.Second), d.now.Unix()}, &s.id)
		d.stretches[stretchKey{g.Once.Rule, g.Once.Form, g.Stretch.Start}] = s
		if g.Once.Within > 0 {
			d.filters.begin(s.id)
		}
	}
	d.groups[i].stretch = s.id
	return s.id, err
}

// keyHash is a hash as a row of the ledger holds it.
type keyHash meter.KeyHash

// Scan copies the hash. It returns an error if the value has another length.
func (h *keyHash) Scan(value any) error {
	b, _ := value.([]byte)
	if len(b) != len(h) {
		return fmt.Errorf("the hash of a key has %d bytes, not %d", len(b), len(h))
	}
	copy(h[:], b)
	return nil
}

// keysAtOnce is how many keys one statement inserts or looks up.
const keysAtOnce = 64

// row is a line in the order of the table.
type row struct {
	stretch int64  // its id
	word    uint64 // the beginning of the hash
	line    int32
}

// rows sorts lines in the order of the table.
func (d *decision) rows(lines []int32) ([]row, error) {
	rows := make([]row, len(lines))
	for i, line := range lines {
		k := d.keyed.Line(int(line))
		id, err := d.own(k.Group)
		if err != nil {
			return nil, err
		}
		rows[i] = row{id, k.Hash.Word(), line}
	}
	slices.SortFunc(rows, func(a, b row) int {
		switch {
		case a.word < b.word && a.stretch == b.stretch:
			return -1
		case a.word > b.word && a.stretch == b.stretch:
			return 1
		}
		return cmp.Or(cmp.Compare(a.stretch, b.stretch), bytes.Compare(d.keyed.Line(int(a.line)).Hash[:], d.keyed.Line(int(b.line)).Hash[:]), cmp.Compare(a.line, b.line))
	})
	return rows, nil
}

// first inserts keys, in the order of the table. A line whose key is there already is
// a repeat.
func (d *decision) first(rows []row) error {
	for len(rows) > 0 {
		n := sameStretch(rows)
		if err := d.insert(rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// insert inserts keys of one stretch, and notes which of them are new.
func (d *decision) insert(rows []row) error {
	d.args = append(d.args[:0], rows[0].stretch)
	for _, r := range rows {
		k := d.keyed.Line(int(r.line))
		g := &d.groups[k.Group]
		d.args = append(d.args, k.Hash[:], k.At, g.generation, k.Start, g.window)
	}
	d.filters.add(rows[0].stretch, rows)
	// With OR IGNORE alone SQLite keeps no journal of the statement.
	n, err := d.exec(`INSERT OR IGNORE INTO keys (stretch_id, hash, at, generation_id, offset, window) VALUES (?1, ?, ?, ?, ?, ?)`+
		strings.Repeat(`, (?1, ?, ?, ?, ?, ?)`, len(rows)-1), d.args...)
	switch {
	case err != nil:
		return err
	case n == 0:
		d.note(rows, meter.RepeatOfKey)
		return nil
	}
	d.touched[rows[0].stretch] = true
	d.note(rows, meter.FirstOfKey)
	if n < int64(len(rows)) {
		return d.tellApart(rows)
	}
	return nil
}

func (d *decision) note(rows []row, outcome meter.Outcome) {
	for _, r := range rows {
		d.outcomes[r.line] = outcome
	}
}

// tellApart notes which of the lines are repeats, when the ledger has inserted the
// keys of the others.
func (d *decision) tellApart(rows []row) error {
	type place struct{ generation, offset int64 }
	inserted := make(map[meter.KeyHash]place, len(rows))
	d.args = append(d.args[:0], rows[0].stretch)
	for _, r := range rows {
		d.args = append(d.args, d.keyed.Line(int(r.line)).Hash[:])
	}
	err := d.each(`SELECT hash, generation_id, offset FROM keys WHERE stretch_id = ? AND hash IN (?`+strings.Repeat(`, ?`, len(rows)-1)+`)`, func(rows *sql.Rows) error {
		var hash keyHash
		var p place
		if err := rows.Scan(&hash, &p.generation, &p.offset); err != nil {
			return err
		}
		inserted[meter.KeyHash(hash)] = p
		return nil
	}, d.args...)
	for _, r := range rows {
		k := d.keyed.Line(int(r.line))
		if inserted[k.Hash] != (place{d.keyed.Group(int(r.line)).Generation, k.Start}) {
			d.outcomes[r.line] = meter.RepeatOfKey
		}
	}
	return err
}

// apart returns the lines that are far enough from each counted line of their key, in
// the order of the table. It looks up what the ledger holds of the keys, and then takes
// the lines in their order.
func (d *decision) apart(lines []int32) (first []row, err error) {
	rows, err := d.rows(lines)
	if err != nil {
		return nil, err
	}
	known := counted{make(map[*meter.Once]*meter.Keys), newFilterLayer(len(rows))}
	met := newFilterLayer(len(rows))
	for _, r := range rows {
		if met.has(r.word) {
			known.company.add(r.word)
		}
		met.add(r.word)
	}
	for left := rows; len(left) > 0; { // in the order of the table, so that its pages are read once
		n := 1
		for n < len(left) && left[n].stretch == left[0].stretch {
			n++
		}
		if err := d.lookUp(left[:n], &known); err != nil {
			return nil, err
		}
		left = left[n:]
	}
	for _, line := range lines {
		if !known.company.has(d.keyed.Line(int(line)).Hash.Word()) {
			continue // its key is new
		}
		if ref := d.keyed.Ref(int(line)); !known.of(ref.Once).First(&ref) {
			d.outcomes[line] = meter.RepeatOfKey
		}
	}
	return slices.DeleteFunc(rows, func(r row) bool { return d.outcomes[r.line] == meter.RepeatOfKey }), nil
}

// counted is what is known of the keys of some lines.
type counted struct {
	keys    map[*meter.Once]*meter.Keys // that the ledger holds
	company filterLayer                 // keys that the ledger holds or two lines have, and perhaps others
}

// of returns the known keys of a rule.
func (c *counted) of(once *meter.Once) *meter.Keys {
	if c.keys[once] == nil {
		c.keys[once] = new(meter.Keys)
	}
	return c.keys[once]
}

// sameStretch returns how many rows, from the first on, one statement takes. They are
// of one stretch, and so of one rule.
func sameStretch(rows []row) int {
	n := 1
	for n < min(len(rows), keysAtOnce) && rows[n].stretch == rows[0].stretch {
		n++
	}
	return n
}

// lookUp adds to known what the ledger holds of the keys of rows of one stretch, in
// this stretch and its neighbours.
func (d *decision) lookUp(rows []row, known *counted) error {
	ref := d.keyed.Ref(int(rows[0].line))
	keys := known.of(ref.Once)
	var perhaps []row // that the stretch may hold
	for _, start := range ref.Neighbours() {
		s, err := d.stretch(ref.Once, start)
		if err != nil {
			return err
		}
		if s.id == 0 {
			continue
		}
		perhaps = d.filters.perhaps(s.id, rows, perhaps[:0])
		for chunk := range slices.Chunk(perhaps, keysAtOnce) {
			d.args = append(d.args[:0], s.id)
			for _, r := range chunk {
				d.args = append(d.args, d.keyed.Line(int(r.line)).Hash[:])
			}
			err = d.each(`SELECT hash, at FROM keys WHERE stretch_id = ? AND hash IN (?`+strings.Repeat(`, ?`, len(chunk)-1)+`)`, func(rows *sql.Rows) error {
				var hash keyHash
				var at int64
				if err := rows.Scan(&hash, &at); err != nil {
					return err
				}
				found := meter.KeyHash(hash)
				keys.Add(found, start, at)
				known.company.add(found.Word())
				return nil
			}, d.args...)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// keysPruned is how many keys are forgotten in one transaction.
const keysPruned = 5000

// ForgetKeys forgets some keys of stretches that were over before the given time
// and got no new key since then. It returns how many keys it deleted: until that is
// 0, there may be more.
func (l *Ledger) ForgetKeys(ctx context.Context, before time.Time) (n int, err error) {
	return l.inSlices(ctx, "forget keys", keysPruned, func(tx *transaction) (int64, error) { return tx.forgetKeys(before.Unix()) })
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
