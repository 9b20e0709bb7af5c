package ledger

import (
	"context"
	"database/sql"

	"github.com/meterlog/meterlog/internal/meter"
)

// skuValue is a value that has led to a SKU of a rule.
type skuValue struct{ rule, sku, value string }

// RememberValues notes which values lead to which SKU, for rules that choose their
// SKU by a table. Values that did so earlier stay. It comes before the first
// Commit.
func (l *Ledger) RememberValues(ctx context.Context, rules []*meter.Rule) error {
	return l.update(ctx, "tables", func(tx *transaction) error {
		known := make(map[skuValue]bool)
		err := tx.each(`SELECT rule, sku_id, value FROM sku_values`, func(rows *sql.Rows) error {
			var v skuValue
			err := rows.Scan(&v.rule, &v.sku, &v.value)
			known[v] = true
			return err
		})
		for _, r := range rules {
			for _, value := range r.Values {
				if err != nil || known[skuValue{r.Name, r.SKU, value}] {
					continue
				}
				_, err = tx.exec(`INSERT INTO sku_values (rule, sku_id, value) VALUES (?, ?, ?)`, r.Name, r.SKU, value)
			}
		}
		return err
	})
}

// valuesOf returns the values that have led to a SKU of a rule.
func (t *transaction) valuesOf(rule, sku string) (values []string, err error) {
	err = t.each(`SELECT value FROM sku_values WHERE rule = ? AND sku_id = ? ORDER BY value`, func(rows *sql.Rows) error {
		var value string
		err := rows.Scan(&value)
		values = append(values, value)
		return err
	}, rule, sku)
	return values, err
}
