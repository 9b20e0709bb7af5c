package ledger

import (
	"context"
	"crypto/rand"
)

// identityKey is the row of meta that holds the ledger's own name.
const identityKey = "ledger"

// Identity returns the ledger's own name: random letters, drawn by the first
// call and kept. It tells two ledgers of one machine apart.
func (l *Ledger) Identity(ctx context.Context) (name string, err error) {
	err = l.update(ctx, "name the ledger", func(tx *transaction) error {
		if name, err = tx.meta(identityKey); err != nil || name != "" {
			return err
		}
		name = rand.Text()
		_, err = tx.exec(`INSERT INTO meta (key, value) VALUES (?, ?)`, identityKey, name)
		return err
	})
	return name, err
}
