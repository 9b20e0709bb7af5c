package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/report"
)

func newRecordsCommand() *cobra.Command {
	var since, until, format, dir string
	var states []string
	var f ledger.Filter
	c := &cobra.Command{
		Use:   "records",
		Short: "List the usage records of the ledger",
		Long: `records lists the usage records of the ledger, oldest window first. It works
whether or not the agent runs. --state chooses states of records, and
--state-dir names the state folder.`,
		Example: `  meterlog records --since 24h --state refused
  meterlog records --format csv > usage.csv`,
		Args: cobra.NoArgs,
	}
	configPath := configFlag(c)
	c.Flags().StringVar(&since, "since", "", "only windows that begin after this `time`: RFC 3339, 2006-01-02, or an age such as 24h or 7d")
	c.Flags().StringVar(&until, "until", "", "only windows that begin before this `time`")
	c.Flags().StringSliceVar(&states, "state", nil, "only records in these `states`: "+stateNames()+"; or the state folder")
	c.Flags().StringVar(&dir, "state-dir", "", "the state `folder` (default: as for run)")
	c.Flags().StringVar(&f.SKU, "sku", "", "only records of this `SKU`")
	c.Flags().StringVar(&f.ProductID, "product", "", "only records of this `product`")
	c.Flags().StringVar(&format, "format", "table", "table, json or csv")
	c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(strings.Split(stateNames(), ", "), cobra.ShellCompDirectiveNoFileComp))
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "json", "csv"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		if f.Since, err = parseTime("--since", since, time.Now()); err != nil {
			return err
		}
		if f.Until, err = parseTime("--until", until, time.Now()); err != nil {
			return err
		}
		for _, name := range states {
			if state := meter.State(name); slices.Contains(meter.States, state) {
				f.State = append(f.State, state)
			} else if info, err := os.Stat(name); err == nil && info.IsDir() {
				dir = name
			} else {
				return usageError{fmt.Errorf("meterlog: --state %q: use one of %s, or the folder of a ledger", name, stateNames())}
			}
		}
		if !slices.Contains(report.ListFormats, format) {
			return usageError{fmt.Errorf("meterlog: --format %q: use table, json or csv", format)}
		}
		if dir, err = readableState(dir, *configPath, c.Flags().Changed("config")); err != nil {
			return err
		}
		reader, err := ledger.OpenReader(dir)
		if err != nil {
			return err
		}
		defer reader.Close()
		return report.WriteRecords(c.Context(), c.OutOrStdout(), reader, f, format)
	}
	return c
}

// readableState returns the state folder for commands that only read it. They work
// without a configuration, unless one was named.
func readableState(flag, configPath string, named bool) (string, error) {
	if flag != "" {
		return flag, nil
	}
	config, err := loadConfig(configPath)
	if err != nil && named {
		return "", err
	}
	return stateDir("", config), nil
}

func stateNames() string {
	names := make([]string, len(meter.States))
	for i, s := range meter.States {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// parseTime reads a flag's point in time, or an age before now; "" is the zero time.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	return time.Time{}, usageError{fmt.Errorf("meterlog: %s %q: use a time such as 2026-01-31T12:00:00Z or 2026-01-31, or an age such as 24h or 7d", flag, text)}
}
