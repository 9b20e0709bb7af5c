package monitor

import (
	"context"
	"encoding/json"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
)

// PeakStatus is what an open stretch of a rule with peak has come to for one SKU. It
// counts when the stretch is closed. Times are RFC 3339, UTC.
type PeakStatus struct {
	Rule      string      `json:"rule"`
	ProductID string      `json:"product_id"`
	SKU       string      `json:"sku_id"`
	From      string      `json:"from"`
	To        string      `json:"to"`     // the end of the stretch
	Closes    string      `json:"closes"` // not before
	Peaks     int64       `json:"peaks"`  // one for each key
	Amount    json.Number `json:"amount"` // their sum, before `per`
}

// peaks fills in the open stretches.
func (s Subject) peaks(ctx context.Context, st *Status, reader *ledger.Reader) error {
	open, err := reader.OpenPeaks(ctx)
	for _, p := range open {
		st.Peaks = append(st.Peaks, PeakStatus{p.Rule, p.ProductID, p.SKU, p.Stretch.StartTime().Format(time.RFC3339), p.Stretch.EndTime().Format(time.RFC3339),
			p.Closes.Format(time.RFC3339), p.Peaks, json.Number(p.Text())})
	}
	return err
}
