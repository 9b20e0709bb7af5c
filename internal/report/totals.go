package report

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
)

// WriteTotals writes sums in one of the ListFormats.
func WriteTotals(w io.Writer, sums []ledger.Sum, by ledger.Period, format string) error {
	write := map[string]func(io.Writer, []ledger.Sum, ledger.Period) error{"table": tableTotals, "json": jsonTotals, "csv": csvTotals}[format]
	return write(w, sums, by)
}

// periodText returns the period of a sum as programs see it; "" where all time is one.
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
