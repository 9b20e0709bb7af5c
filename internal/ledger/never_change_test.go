package ledger

import (
	"fmt"
	"strings"
	"testing"
)

// A record never changes once it may have left the machine, whatever statement tries
// to. While it is open it may grow, and its fate may change later.
func TestSealedRecordNeverChanges(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, mails, minute(0), 1)
	changes := map[string]string{
		"uuid":         "'5b0d1a52-51ad-4f39-b4a5-5b1a6a4a5a11'",
		"product_id":   "'another'",
		"sku_id":       "'another'",
		"window_start": "'2026-01-01T00:00:00Z'",
		"window_end":   "'2027-01-01T00:00:00Z'",
		"timestamp":    "window_end",
		"quantity":     "quantity + 1",
	}
	try := func(set string) error {
		tx, err := l.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		_, err = tx.ExecContext(t.Context(), "UPDATE records SET "+set)
		return err
	}
	for column, value := range changes {
		if err := try(column + " = " + value); err != nil {
			t.Errorf("an open record's %s: %v", column, err)
		}
	}
	_, err := l.Seal(t.Context(), minute(0).EndTime())
	check(t, err)
	for _, state := range []string{"sealed", "accepted", "refused", "expired", "in_doubt", "foreign"} {
		if _, err := l.db.ExecContext(t.Context(), "UPDATE records SET state = ?1, settled_at = iif(?1 = 'sealed', '', sealed_at)", state); err != nil {
			t.Fatalf("a record becomes %s: %v", state, err)
		}
		for column, value := range changes {
			if err := try(column + " = " + value); err == nil || !strings.Contains(err.Error(), "never changes") {
				t.Errorf("a record that is %s gets another %s: %v", state, column, err)
			}
			if err := try(fmt.Sprintf("%s = %s", column, column)); err != nil {
				t.Errorf("a record that is %s keeps its %s: %v", state, column, err)
			}
		}
		if err := try("state = 'open'"); err == nil || !strings.Contains(err.Error(), "never opened") {
			t.Errorf("a record that is %s is opened again: %v", state, err)
		}
	}
}
