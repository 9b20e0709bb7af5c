package report

import (
	"fmt"
	"io"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/screen"
)

// Retries says what became of each record, and returns how many were
// queued.
func Retries(out, errs io.Writer, retries []ledger.Retry, dir string) (queued int) {
	rows := [][]string{{"WINDOW", "SKU", "QUANTITY", "UUID", "QUEUED AS"}}
	old := 0
	for _, r := range retries {
		switch {
		case r.Queued:
			queued++
			note := ""
			if time.Since(r.Timestamp) > meter.UsableFor {
				old++
				note = " (over an hour old)"
			}
			for _, reissue := range r.Reissues {
				rows = append(rows, []string{r.Window.StartTime().Format(time.RFC3339), change(r.Record, reissue), fmt.Sprint(reissue.Quantity), r.UUID, reissue.UUID + note})
			}
		case len(r.Reissues) > 0:
			for _, reissue := range r.Reissues {
				fmt.Fprintf(errs, "meterlog: %s: it was queued again before, as %s, which is %s\n", r.UUID, reissue.UUID, reissue.State)
			}
		default:
			fmt.Fprintf(errs, "meterlog: %s: it is %s, and only refused records can be queued again\n", r.UUID, r.State)
		}
	}
	if queued == 0 {
		return 0
	}
	screen.WriteColumns(out, rows, len(rows[0]))
	next := "the next `meterlog run` delivers"
	if _, running := ledger.Owner(dir); running {
		next = "the agent delivers within seconds"
	}
	fmt.Fprintf(out, "%s queued again: %s\n", CountRecords(queued), next)
	if old > 0 {
		fmt.Fprintf(out, "%s over an hour old: the API will call that expired\n", CountRecords(old))
	}
	return queued
}

// change returns the old and the new SKU and product of a record.
func change(old, now meter.Record) string {
	text := old.SKU
	if now.SKU != old.SKU {
		text += " → " + now.SKU
	}
	if now.ProductID != old.ProductID {
		text += " (product " + old.ProductID + " → " + now.ProductID + ")"
	}
	return text
}
