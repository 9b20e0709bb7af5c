package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// SetAside is a remainder that was set aside, since its rule is another now.
type SetAside struct {
	Rule, SKU string
	MadeWith  string // the unit of the rule that made it
	Now       string // the unit of the rule as it is now
	Remainder int64  // a whole number of the last decimal place
	Decimals  int
}

// Text returns the remainder as it is written.
func (s SetAside) Text() string { return meter.Decimal(s.Remainder, s.Decimals) }

// KeepRemainders compares every remainder with the rules as they are now. A
// remainder is set aside where its rule has another unit or bills another SKU:
// 500 bytes are not 500 kilobytes. The rule then begins at 0. Remainders whose
// rule is gone stay for its return. It comes before the first Commit.
func (l *Ledger) KeepRemainders(ctx context.Context, rules []*meter.Rule, now time.Time) (aside []SetAside, err error) {
	l.binding.Lock()
	defer l.binding.Unlock()
	current := make(map[remainderKey]*meter.Rule)
	latest := make(map[string]string) // by rule: how it reads now
	for _, r := range rules {
		current[remainderKey{r.Name, r.SKU}] = r
		latest[r.Name] = r.Unit + ", SKU " + r.SKU
		if r.Values != nil {
			latest[r.Name] = r.Unit + ", SKU by a table"
		}
	}
	err = l.update(ctx, "remainders", func(tx *transaction) error {
		aside = nil
		err := tx.each(`SELECT rule, sku_id, made_with, remainder, decimals FROM remainders WHERE remainder > 0 ORDER BY rule, sku_id`, func(rows *sql.Rows) error {
			var s SetAside
			err := rows.Scan(&s.Rule, &s.SKU, &s.MadeWith, &s.Remainder, (*places)(&s.Decimals))
			r := current[remainderKey{s.Rule, s.SKU}]
			if s.Now = latest[s.Rule]; s.Now != "" && (r == nil || s.Decimals != r.Decimals || s.MadeWith != "" && s.MadeWith != r.Unit) {
				aside = append(aside, s)
			}
			return err
		})
		for _, s := range aside {
			if err == nil {
				err = tx.setRemainderAside(s, now)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, s := range aside {
		l.doubt.forget(remainderKey{s.Rule, s.SKU})
	}
	return aside, nil
}

// setRemainderAside moves a remainder, and the contributions that wait with it,
// out of what the next unit is made of.
func (t *transaction) setRemainderAside(s SetAside, now time.Time) error {
	var waiting int64
	if err := t.scan(`SELECT coalesce(sum(amount), 0) FROM contributions WHERE record_id = 0 AND rule = ? AND sku_id = ?`,
		[]any{s.Rule, s.SKU}, &waiting); err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO set_aside (rule, sku_id, made_with, remainder, decimals, waiting, at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		s.Rule, s.SKU, s.MadeWith, s.Remainder, s.Decimals, waiting, instant(now)); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM contributions WHERE record_id = 0 AND rule = ? AND sku_id = ?`, s.Rule, s.SKU); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM remainders WHERE rule = ? AND sku_id = ?`, s.Rule, s.SKU); err != nil {
		return err
	}
	made := s.MadeWith
	if made == "" {
		made = "an earlier form of the rule"
	}
	a := meter.Anomaly{Count: 1, Example: fmt.Sprintf("%s, less than one unit of %s, was left of %s; the rule is now %s and began at 0", s.Text(), s.SKU, made, s.Now)}
	return t.addAnomaly(meter.AnomalyKey{Kind: meter.StaleRemainder, Subject: s.Rule}, &a, now)
}

// forget drops what is in doubt of a remainder that is there no more.
func (d *doubt) forget(key remainderKey) {
	if d == nil {
		return
	}
	delete(d.remainders, key)
	kept := d.waiting[:0]
	for _, w := range d.waiting {
		if w.remainderKey != key {
			kept = append(kept, w)
		}
	}
	d.waiting = kept
}
