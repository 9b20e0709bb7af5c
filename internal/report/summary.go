package report

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/meterlog/meterlog/internal/agent"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/internal/screen"
)

const wouldBeAccepted = "would be accepted"

// CountRecords returns a number of records in words.
func CountRecords(n int) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// Summary prints what a run came to.
func Summary(w io.Writer, s agent.Summary, dryRun, thrownAway bool) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	several := slices.ContainsFunc(s.Settled, func(line agent.Settled) bool { return line.ProductID != s.Settled[0].ProductID })
	fmt.Fprintln(table, productTitle(several)+"SKU\tRECORDS\tQUANTITY\tSTATE\tREASON")
	for _, line := range s.Settled {
		product := ""
		if several {
			product = line.ProductID + "\t"
		}
		state := string(line.State)
		if dryRun && line.State == meter.Accepted {
			state = wouldBeAccepted
		}
		fmt.Fprintf(table, "%s%s\t%d\t%d\t%s\t%s\n", product, line.SKU, line.Records, line.Quantity, state, screen.Visible(line.Reason))
	}
	if len(s.Settled) > 0 {
		table.Flush()
	} else if s.Open+s.Sealed+len(s.Peaks) == 0 {
		fmt.Fprintln(w, "nothing new to bill")
	}
	switch {
	case s.Sealed > 0 && thrownAway:
		fmt.Fprintf(w, "%s could not be delivered, and went with the ledger of this rehearsal\n", CountRecords(s.Sealed))
	case s.Sealed > 0:
		fmt.Fprintf(w, "%s could not be delivered; the next run tries again\n", CountRecords(s.Sealed))
	}
	if s.Open > 0 {
		fmt.Fprintf(w, "%s waiting for their window to begin\n", CountRecords(s.Open))
	}
	for _, p := range s.Peaks[:min(mostPeaks, len(s.Peaks))] {
		fmt.Fprintf(w, "%s of %s: %s of %s count after %s, when their stretch is over\n", meter.Plural(p.Peaks, "peak"), screen.Visible(p.Rule), p.Text(), p.SKU, screen.Stamp(p.Stretch.EndTime()))
	}
	if more := len(s.Peaks) - mostPeaks; more > 0 {
		fmt.Fprintf(w, "and peaks of %d more stretches and SKUs\n", more)
	}
	if dryRun {
		fmt.Fprintln(w, "dry run: nothing was billed")
	}
}

// Answer prints a record of a dry run and what the API says of it. It names
// the product of a record where that is not the file's.
func Answer(w io.Writer, product string) func(meter.Record, meter.Result) {
	return func(r meter.Record, result meter.Result) {
		answer := string(result.State)
		switch {
		case result.State == meter.Accepted:
			answer = wouldBeAccepted
		case result.State == meter.Sealed:
			answer = "no answer"
		}
		of := r.SKU
		if r.ProductID != product {
			of += " of product " + r.ProductID
		}
		if result.Reason != "" {
			answer += ": " + screen.Visible(result.Reason)
		}
		fmt.Fprintf(w, "%s  %s  %s  quantity %d: %s\n", r.Window.StartTime().Format(time.RFC3339), r.UUID, of, r.Quantity, answer)
	}
}

// SandboxTotals prints what the sandbox accepted.
func SandboxTotals(w io.Writer, model *sandbox.Sandbox) error {
	totals := model.Totals()
	if len(totals) == 0 {
		_, err := fmt.Fprintln(w, "the sandbox accepted no records")
		return err
	}
	fmt.Fprintln(w, "the sandbox accepted:")
	for _, t := range totals {
		fmt.Fprintf(w, "  product %s  SKU %s  %s  quantity %d\n", screen.Visible(t.ProductID), screen.Visible(t.SKU), CountRecords(t.Records), t.Quantity)
	}
	return nil
}
