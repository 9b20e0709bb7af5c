package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// The API's words and the SKUs have no bound, and what is kept of them has one. The log
// says how much it leaves out.
func TestUnacceptedIsBounded(t *testing.T) {
	var b bytes.Buffer
	u := unaccepted{log: slog.New(slog.NewTextHandler(&b, nil))}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const n = 5000
	for i := range n {
		u.add(meter.Record{SKU: fmt.Sprint("sku-", i), Quantity: 1, Timestamp: now}, meter.Result{State: meter.Refused, Reason: fmt.Sprintf("request %d is bad", i)})
		u.add(meter.Record{SKU: fmt.Sprint("sku-", i), Quantity: 1, Timestamp: now}, meter.Result{State: meter.Expired, Reason: "EXPIRED"})
	}
	if len(u.sums) > mostFates+2 {
		t.Errorf("%d sums", len(u.sums))
	}
	for key, sum := range u.sums {
		if len(sum.skus) > mostSKUs {
			t.Errorf("%+v: %d SKUs", key, len(sum.skus))
		}
	}
	u.tell(now)
	for _, want := range []string{
		"reason=EXPIRED records=5000 units=5000 sku_ids=\"[sku-0 sku-1 sku-10]\" more_sku_ids=\"97 or more\"",
		"reason=\"other reasons, which `meterlog records` lists\" records=4901",
		"reason=\"request 7 is bad\" records=1 units=1 sku_ids=[sku-7] from",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if lines := strings.Count(b.String(), "\n"); lines != mostFates+1 {
		t.Errorf("the log has %d lines", lines)
	}
}
