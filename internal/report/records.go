package report

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/screen"
)

// ListFormats are the forms of records and totals.
var ListFormats = []string{"table", "json", "csv"}

// WriteRecords writes the records of a ledger in one of the ListFormats.
func WriteRecords(ctx context.Context, w io.Writer, reader *ledger.Reader, f ledger.Filter, format string) error {
	several, err := hasSeveralProducts(ctx, reader)
	if err != nil {
		return err
	}
	write := recordFormats[format](w, several)
	if err := reader.Records(ctx, f, write.record); err != nil {
		return err
	}
	return write.end()
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

// PublishedRecord is a record as programs see it. The names are a contract.
type PublishedRecord struct {
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

func publish(r meter.Record) PublishedRecord {
	p := PublishedRecord{
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
