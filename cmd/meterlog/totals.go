package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/report"
)

func newTotalsCommand() *cobra.Command {
	var by, since, until, format string
	c := &cobra.Command{
		Use:   "totals",
		Short: "Sum the usage, to compare with the marketplace's statement",
		Long: `totals sums the records in the ledger per product, SKU and hour, day or month in
UTC, by the timestamps that the API got. What the API accepted is shown
apart from what waits, what is in doubt, and what is not billable: refused and
not queued again, expired, or counted on another machine.

Sums are exact, however large. They reach back as far as the ledger does: see
retention: in the configuration.`,
		Example: `  meterlog totals --by month
  meterlog totals --by day --since 2026-01-01 --until 2026-02-01 --format csv`,
		Args: cobra.NoArgs,
	}
	state := stateFlags(c)
	configFlag(c)
	c.Flags().StringVar(&by, "by", "all", "hour, day, month or all")
	c.Flags().StringVar(&since, "since", "", "only usage at this `time` or later: RFC 3339, 2006-01-02, or an age such as 24h or 7d")
	c.Flags().StringVar(&until, "until", "", "only usage before this `time`")
	c.Flags().StringVar(&format, "format", "table", "table, json or csv")
	c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"hour", "day", "month", "all"}, cobra.ShellCompDirectiveNoFileComp))
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "json", "csv"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		period := ledger.Period(by)
		switch period {
		case ledger.Always, ledger.Hourly, ledger.Daily, ledger.Monthly:
		default:
			return usageError{fmt.Errorf("meterlog: --by %q: use hour, day, month or all", by)}
		}
		if !slices.Contains(report.ListFormats, format) {
			return usageError{fmt.Errorf("meterlog: --format %q: use table, json or csv", format)}
		}
		from, err := parseTime("--since", since, time.Now())
		if err != nil {
			return err
		}
		to, err := parseTime("--until", until, time.Now())
		if err != nil {
			return err
		}
		reader, err := openBook(c, state)
		if err != nil {
			return err
		}
		defer reader.Close()
		sums, err := reader.Sums(c.Context(), period, from, to)
		if err != nil {
			return err
		}
		return report.WriteTotals(c.OutOrStdout(), sums, period, format)
	}
	return c
}
