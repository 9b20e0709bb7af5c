package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/screen"
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
		newSink := recordFormats[format]
		if newSink == nil {
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
		several, err := hasSeveralProducts(c.Context(), reader)
		if err != nil {
			return err
		}
		write := newSink(c.OutOrStdout(), several)
		if err := reader.Records(c.Context(), f, write.record); err != nil {
			return err
		}
		return write.end()
	}
	return c
}

// readableState is the state folder for commands that only read it. They work
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

// recordSink writes records in one format.
type recordSink struct {
	record func(meter.Record) error
	end    func() error
}

// hasSeveralProducts reports whether the ledger has records of more than one product.
func hasSeveralProducts(ctx context.Context, reader *ledger.Reader) (bool, error) {
	totals, err := reader.Totals(ctx)
	return len(totals) > 0 && totals[0].ProductID != totals[len(totals)-1].ProductID, err
}

// recordFormats are the formats of records. A table names the product of each
// record where there are several.
var recordFormats = map[string]func(w io.Writer, several bool) recordSink{
	"json": func(w io.Writer, _ bool) recordSink {
		encoder := json.NewEncoder(w)
		return recordSink{func(r meter.Record) error { return encoder.Encode(publish(r)) }, func() error { return nil }}
	},
	"csv":   func(w io.Writer, _ bool) recordSink { return csvSink(w) },
	"table": tableSink,
}

// publishedRecord is a record as programs see it. The names are a contract.
type publishedRecord struct {
	UUID      string  `json:"uuid"`
	SKU       string  `json:"sku_id"`
	Window    string  `json:"window"`
	Quantity  int64   `json:"quantity"`
	State     string  `json:"state"`
	Reason    string  `json:"reason"`
	Attempts  int     `json:"attempts"`
	OpenedAt  string  `json:"opened_at"`
	SettledAt *string `json:"settled_at"` // null while unsettled

	ReissuedAs string `json:"reissued_as"` // the uuids of the records that replace it, with commas; may be ""
	ProductID  string `json:"product_id"`
	Timestamp  string `json:"timestamp"` // what the API gets: when the last event happened that it counts
}

func publish(r meter.Record) publishedRecord {
	p := publishedRecord{
		UUID: r.UUID, SKU: r.SKU, Window: r.Window.StartTime().Format(time.RFC3339), Quantity: r.Quantity,
		State: string(r.State), Reason: r.Reason, Attempts: r.Attempts, OpenedAt: r.OpenedAt.Format(time.RFC3339),
		ReissuedAs: r.ReissuedAs, ProductID: r.ProductID, Timestamp: r.Timestamp.Format(time.RFC3339),
	}
	if !r.SettledAt.IsZero() {
		at := r.SettledAt.Format(time.RFC3339)
		p.SettledAt = &at
	}
	return p
}

func csvSink(w io.Writer) recordSink {
	out := csv.NewWriter(w)
	out.Write([]string{"uuid", "sku_id", "window", "quantity", "state", "reason", "attempts", "opened_at", "settled_at", "reissued_as", "product_id", "timestamp"})
	return recordSink{
		record: func(r meter.Record) error {
			p := publish(r)
			settled := ""
			if p.SettledAt != nil {
				settled = *p.SettledAt
			}
			return out.Write(screen.CSVCells(p.UUID, p.SKU, p.Window, strconv.FormatInt(p.Quantity, 10), p.State, p.Reason,
				strconv.Itoa(p.Attempts), p.OpenedAt, settled, p.ReissuedAs, p.ProductID, p.Timestamp))
		},
		end: func() error { out.Flush(); return out.Error() },
	}
}

// productTitle returns the title of a table's column of products, if there is one.
func productTitle(several bool) string {
	if several {
		return "PRODUCT\t"
	}
	return ""
}

// rowsAligned is how many rows of a table are aligned with each other. They are
// kept in memory until then, and a ledger may hold millions.
const rowsAligned = 1000

// recordTable writes records as a table.
type recordTable struct {
	to    io.Writer
	rows  [][]string // the titles, and the records that are not written yet
	begun bool       // the titles are written

	several bool // there is more than one product, so records name theirs
}

func tableSink(w io.Writer, several bool) recordSink {
	t := &recordTable{to: w, several: several}
	t.rows = [][]string{t.row("WINDOW", "PRODUCT", "SKU", "QUANTITY", "STATE", "UUID", "TIMESTAMP", "REASON")}
	return recordSink{t.add, t.end}
}

func (t *recordTable) add(r meter.Record) error {
	reason := r.Reason
	if r.ReissuedAs != "" {
		reason += ", queued again as " + strings.ReplaceAll(r.ReissuedAs, ",", ", ")
	}
	t.rows = append(t.rows, t.row(r.Window.StartTime().Format(time.RFC3339), r.ProductID, r.SKU, strconv.FormatInt(r.Quantity, 10), string(r.State), r.UUID, r.Timestamp.Format(time.RFC3339), screen.Visible(reason)))
	if len(t.rows) > rowsAligned {
		return t.flush()
	}
	return nil
}

// row returns the cells of a row, the product's only if records name it.
func (t *recordTable) row(window, product string, others ...string) []string {
	if t.several {
		return append([]string{window, product}, others...)
	}
	return append([]string{window}, others...)
}

func (t *recordTable) flush() error {
	lines := screen.Columns(t.rows, len(t.rows[0]), max(screen.PageWidth, screen.Of(t.to).Width))
	if t.begun {
		lines = lines[1:]
	}
	t.rows, t.begun = t.rows[:1], true
	for _, line := range lines {
		if _, err := fmt.Fprintln(t.to, line); err != nil {
			return err
		}
	}
	return nil
}

func (t *recordTable) end() error {
	if !t.begun && len(t.rows) == 1 {
		_, err := fmt.Fprintln(t.to, "no records")
		return err
	}
	return t.flush()
}
