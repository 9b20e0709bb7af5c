package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// ErrUnknown says that the ledger has no such record.
var ErrUnknown = errors.New("no record has this uuid")

// Account is all that the ledger knows of one record.
type Account struct {
	meter.Record
	SealedAt  time.Time // zero while it is open
	NotBefore time.Time // of a sealed record: when it is due; zero if it is due at once
	UnderWay  bool      // a delivery has begun, and its outcome is not known yet

	Replaces   []meter.Record // the refused records that this one replaces, the oldest first
	ReplacedBy []meter.Record // the records that replaced this one, in order

	// What it was counted from. If the record replaces others, these are the
	// lines of the oldest one, for the rules whose shares this record has.
	Shares        []Share
	Contributions []Contribution

	Pruned bool // records have left the ledger when their retention time was over
}

// Share is what a rule gave to a record: Units × Per = the contributions'
// amounts + Carried.
type Share struct {
	Rule string
	Per  int64

	// Decimals says to how many decimal places the rule kept amounts: Per, Carried and
	// the amounts are whole numbers of the last place.
	Decimals int

	Carried int64 // what was left over before, less what was left over for later
	Units   int64
}

// Contribution says which lines of one generation went into a record under one
// rule. The range reaches from the first of these lines behind the last; where
// others overlap it, some of its lines are theirs.
type Contribution struct {
	UUID       string // of the record; "" if the amount has not made a whole unit yet
	Rule       string
	SKU        string           // what the rule counted them for
	Values     []string         // that have led to the SKU where the rule chooses it by a table
	Generation meter.Generation // only the ID if the ledger has forgotten it
	Start, End int64            // byte range
	Lines      int64
	Amount     int64
	Decimals   int          // places of the amount, which is a whole number of the last one
	Window     meter.Window // of the record

	// The other contributions of this rule and generation that overlap this
	// range, directly or through a chain of overlaps.
	Beside []Contribution
}

// Account returns what is known of the record of this uuid, in lower case, as of
// one moment. If the ledger has no such record, the error is ErrUnknown.
func (r *Reader) Account(ctx context.Context, uuid string) (a Account, err error) {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return a, fmt.Errorf("ledger: account: %w", err)
	}
	defer tx.Rollback()
	t := &transaction{ctx: ctx, tx: tx, statements: make(map[string]*sql.Stmt)}
	err = t.account(uuid, &a)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrUnknown
	}
	if err != nil {
		err = fmt.Errorf("ledger: account of %s: %w", uuid, err)
	}
	return a, err
}

func (t *transaction) account(uuid string, a *Account) (err error) {
	if a.Record, err = t.record(`uuid = ?`, uuid); err != nil {
		return err
	}
	var sealed, notBefore string
	if err := t.scan(`SELECT sealed_at, not_before, in_flight FROM records WHERE uuid = ?`, []any{uuid}, &sealed, &notBefore, &a.UnderWay); err != nil {
		return err
	}
	a.SealedAt, a.NotBefore = parseInstant(sealed), parseInstant(notBefore)
	first := uuid
	for {
		older, err := t.record(`id = (SELECT reissue_of FROM records WHERE uuid = ?)`, first)
		if errors.Is(err, sql.ErrNoRows) {
			break
		} else if err != nil {
			return err
		}
		a.Replaces = append([]meter.Record{older}, a.Replaces...)
		first = older.UUID
	}
	for next := []string{uuid}; len(next) > 0; next = next[1:] {
		reissues, err := t.reissues(next[0])
		if err != nil {
			return err
		}
		for _, r := range reissues {
			a.ReplacedBy, next = append(a.ReplacedBy, r), append(next, r.UUID)
		}
	}
	if err := t.scan(`SELECT EXISTS (SELECT 1 FROM totals WHERE pruned_records > 0)`, nil, &a.Pruned); err != nil {
		return err
	}
	if err := t.origin(first, a); err != nil || first == uuid {
		return err
	}
	rules, err := t.sharesOf(uuid)
	a.Shares = slices.DeleteFunc(a.Shares, func(s Share) bool { _, ok := rules[s.Rule]; return !ok })
	a.Contributions = slices.DeleteFunc(a.Contributions, func(c Contribution) bool { _, ok := rules[c.Rule]; return !ok })
	return err
}

// record returns the one record that the condition chooses. If no record matches,
// the error is sql.ErrNoRows.
func (t *transaction) record(where string, args ...any) (r meter.Record, err error) {
	found := false
	err = t.each(`SELECT `+recordColumns+` FROM records WHERE `+where, func(rows *sql.Rows) error {
		found = true
		r, err = scanRecord(rows)
		return err
	}, args...)
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return r, err
}

// origin reads what the record of this uuid was counted from.
func (t *transaction) origin(uuid string, a *Account) error {
	err := t.each(`SELECT rule, per, decimals, carried, units FROM shares JOIN records ON id = record_id WHERE uuid = ? ORDER BY rule`, func(rows *sql.Rows) error {
		var s Share
		err := rows.Scan(&s.Rule, &s.Per, (*places)(&s.Decimals), &s.Carried, &s.Units)
		a.Shares = append(a.Shares, s)
		return err
	}, uuid)
	if err != nil {
		return err
	}
	a.Contributions, err = t.contributions(`records.uuid = ?`, uuid)
	for i := range a.Contributions {
		c := &a.Contributions[i]
		if err == nil {
			err = t.beside(c)
		}
		if err == nil {
			c.Values, err = t.valuesOf(c.Rule, c.SKU)
		}
	}
	return err
}

func (t *transaction) contributions(where string, args ...any) (list []Contribution, err error) {
	err = t.each(`SELECT coalesce(records.uuid, ''), coalesce(window_start, ''), coalesce(window_end, ''), c.rule, c.sku_id, c.start_offset, c.end_offset, c.lines, c.amount, coalesce(s.decimals, 0), c.generation_id,
		coalesce(g.path, ''), coalesce(g.dev, 0), coalesce(g.ino, 0), coalesce(g.offset, 0), coalesce(g.head, ''), coalesce(g.mark, ''),
		coalesce(g.compressed, 0), coalesce(g.eof_at, -1), coalesce(g.state, ''), coalesce(g.missed, 0), coalesce(g.carry, x''), coalesce(g.query, ''), coalesce(g.names, '')
		FROM contributions AS c LEFT JOIN records ON records.id = c.record_id LEFT JOIN generations AS g ON g.id = c.generation_id
		LEFT JOIN shares AS s ON s.record_id = c.record_id AND s.rule = c.rule
		WHERE `+where+` ORDER BY c.rule, c.generation_id, c.start_offset`, func(rows *sql.Rows) error {
		var c Contribution
		var from, to string
		var dev, ino int64
		g := &c.Generation
		err := rows.Scan(&c.UUID, &from, &to, &c.Rule, &c.SKU, &c.Start, &c.End, &c.Lines, &c.Amount, (*places)(&c.Decimals), &g.ID,
			&g.Path, &dev, &ino, &g.Offset, &g.Head, &g.Mark, &g.Compressed, &g.EOFAt, &g.State, &g.Missed, &g.Carry, &g.Query, (*nameList)(&g.Names))
		g.Dev, g.Ino = uint64(dev), uint64(ino)
		if err == nil && from != "" {
			c.Window, err = parseWindow(from, to)
		}
		list = append(list, c)
		return err
	}, args...)
	return list, err
}

// beside finds the contributions that overlap one, or one of those found.
func (t *transaction) beside(c *Contribution) error {
	start, end := c.Start, c.End
	for {
		all, err := t.contributions(`c.rule = ? AND c.generation_id = ? AND c.start_offset < ? AND c.end_offset > ?`, c.Rule, c.Generation.ID, end, start)
		if err != nil {
			return err
		}
		from, to := start, end
		for _, other := range all {
			from, to = min(from, other.Start), max(to, other.End)
		}
		if from != start || to != end {
			start, end = from, to
			continue
		}
		for _, other := range all {
			if other.UUID != c.UUID {
				c.Beside = append(c.Beside, other)
			}
		}
		return nil
	}
}
