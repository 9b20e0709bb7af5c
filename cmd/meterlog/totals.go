package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/screen"

	"github.com/spf13/cobra"
)

func newTotalsCommand() *cobra.Command {
	var by, since, until, format string
	c := &cobra.Command{
		Use:   "totals",
		Short: "Sum the usage, to compare with the marketplace's statement",
		Long: `totals sums the records in the ledger per product, SKU and hour, day or month in
UTC, by the timestamps that the API was told. What the API accepted stands apart
from what waits, what is in doubt, and what is not billable: refused and not
queued again, expired, or counted on another machine.

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
		write := map[string]func(io.Writer, []ledger.Sum, ledger.Period) error{"table": tableTotals, "json": jsonTotals, "csv": csvTotals}[format]
		if write == nil {
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
		dir, err := state(c)
		if err != nil {
			return err
		}
		reader, err := ledger.OpenReader(dir)
		if err != nil {
			return err
		}
		defer reader.Close()
		sums, err := reader.Sums(c.Context(), period, from, to)
		if err != nil {
			return err
		}
		return write(c.OutOrStdout(), sums, period)
	}
	return c
}

// periodText is the period of a sum as programs see it; "" where all time is one.
func periodText(s ledger.Sum) string {
	if s.Period.IsZero() {
		return ""
	}
	return s.Period.Format(time.RFC3339)
}

func jsonTotals(w io.Writer, sums []ledger.Sum, _ ledger.Period) error {
	encoder := json.NewEncoder(w)
	for _, s := range sums {
		err := encoder.Encode(struct {
			ProductID   string   `json:"product_id"`
			SKU         string   `json:"sku_id"`
			Period      string   `json:"period"`
			Records     int      `json:"records"`
			Accepted    *big.Int `json:"accepted"`
			Waiting     *big.Int `json:"waiting"`
			InDoubt     *big.Int `json:"in_doubt"`
			NotBillable *big.Int `json:"not_billable"`
		}{s.ProductID, s.SKU, periodText(s), s.Records, s.Accepted, s.Waiting, s.InDoubt, s.NotBillable})
		if err != nil {
			return err
		}
	}
	return nil
}

func csvTotals(w io.Writer, sums []ledger.Sum, _ ledger.Period) error {
	out := csv.NewWriter(w)
	out.Write([]string{"product_id", "sku_id", "period", "records", "accepted", "waiting", "in_doubt", "not_billable"})
	for _, s := range sums {
		out.Write(screen.CSVCells(s.ProductID, s.SKU, periodText(s), strconv.Itoa(s.Records), s.Accepted.String(), s.Waiting.String(), s.InDoubt.String(), s.NotBillable.String()))
	}
	out.Flush()
	return out.Error()
}

func tableTotals(w io.Writer, sums []ledger.Sum, by ledger.Period) error {
	if len(sums) == 0 {
		_, err := fmt.Fprintln(w, "no records")
		return err
	}
	layout, title := map[ledger.Period]string{ledger.Hourly: "2006-01-02 15:00", ledger.Daily: "2006-01-02", ledger.Monthly: "2006-01"}[by], strings.ToUpper(string(by))+" (UTC)"
	rows := [][]string{{"PRODUCT", "SKU", title, "ACCEPTED", "WAITING", "IN DOUBT", "NOT BILLABLE"}}
	for _, s := range sums {
		row := []string{s.ProductID, s.SKU, s.Period.Format(layout), s.Accepted.String(), s.Waiting.String(), s.InDoubt.String(), s.NotBillable.String()}
		rows = append(rows, row)
	}
	if by == ledger.Always {
		for i, row := range rows {
			rows[i] = append(row[:2:2], row[3:]...)
		}
	}
	screen.WriteColumns(w, rows, len(rows[0])-4)
	return nil
}
