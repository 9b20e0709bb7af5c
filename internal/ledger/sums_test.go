package ledger

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Sums are exact where no int64 holds them, keep states apart, and count usage
// that was queued again once.
func TestSums(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	large := &meter.Rule{Name: "large", ProductID: product, SKU: "large", Per: 1}
	for i := range 3 {
		commit(t, l, large, minute(-2000+i), math.MaxInt64)
	}
	sealed(t, l, minute(-500), minute(-499), minute(-498), minute(-497))
	commit(t, l, mails, minute(-10), 7)
	for _, r := range pending(t, l, noon) {
		result := meter.Result{State: meter.Accepted}
		switch r.Window {
		case minute(-500):
			result = meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID"}
		case minute(-499):
			result.State = meter.Expired
		case minute(-498):
			result.State = meter.InDoubt
		case minute(-497):
			continue
		}
		settle(t, l, noon, []meter.Record{r}, result)
	}
	wantSums := func(by Period, since, until time.Time, want ...string) {
		t.Helper()
		sums := must(l.Sums(t.Context(), by, since, until))
		var got []string
		for _, s := range sums {
			got = append(got, fmt.Sprint(s.SKU == sku, s.Period.Format(" 01-02T15"), " ", s.Records, " ", s.Accepted, " ", s.Waiting, " ", s.InDoubt, " ", s.NotBillable))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("by %s: %v, want %v", by, got, want)
		}
	}
	wantSums(Always, time.Time{}, time.Time{}, "true 01-01T00 5 0 8 1 2", "false 01-01T00 3 27670116110564327421 0 0 0")
	wantSums(Daily, time.Time{}, time.Time{}, "true 03-14T00 5 0 8 1 2", "false 03-13T00 3 27670116110564327421 0 0 0")
	wantSums(Hourly, minute(-500).StartTime(), minute(-499).StartTime(), "true 03-14T03 1 0 0 0 1")
	wantSums(Monthly, minute(-10).StartTime(), time.Time{}, "true 03-01T00 1 0 7 0 0")
	refused := one(t, l, Filter{State: []meter.State{meter.Refused}})
	must(Requeue(t.Context(), dir, []string{refused.UUID}, nil, noon))
	wantSums(Always, minute(-500).StartTime(), time.Time{}, "true 01-01T00 5 0 9 1 1")
}
