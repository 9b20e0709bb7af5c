package ledger

import (
	"slices"
	"testing"

	"github.com/meterlog/meterlog/internal/meter"
)

// The values that led to a SKU outlast the table that had them, so a refused
// record can follow them.
func TestValuesThatLedToASKU(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	bills := func(sku string, values ...string) *meter.Rule {
		return &meter.Rule{Name: "jobs", ProductID: product, SKU: sku, Per: 1, Values: values}
	}
	wrong := bills("wrong", "=s", "=m")
	check(t, l.RememberValues(t.Context(), []*meter.Rule{wrong, bills("other", "else"), mails}))
	commit(t, l, wrong, ago(50), 3)
	must(l.Seal(t.Context(), noon))
	settle(t, l, noon, pending(t, l, noon), meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID"})
	for range 2 { // a second time there is nothing new
		check(t, l.RememberValues(t.Context(), []*meter.Rule{bills("right", "=s", "=m")}))
	}
	old := one(t, l, Filter{})
	var asked []string
	retries, err := Requeue(t.Context(), dir, []string{old.UUID}, func(r meter.Record, rule string, values []string) (string, string) {
		asked = values
		return r.ProductID, "right"
	}, noon)
	check(t, err)
	if want := []string{"=m", "=s"}; !slices.Equal(asked, want) || len(retries[0].Reissues) != 1 || retries[0].Reissues[0].SKU != "right" {
		t.Errorf("asked for %q, want %q; queued %+v", asked, want, retries[0].Reissues)
	}
	a := must(l.Account(t.Context(), retries[0].Reissues[0].UUID))
	if len(a.Contributions) != 1 || a.Contributions[0].SKU != "wrong" || len(a.Contributions[0].Values) != 2 {
		t.Errorf("it was counted from %+v", a.Contributions)
	}
}

// Under each SKU of a table there is a remainder, and each belongs to the table
// only while the table has the SKU.
func TestRemaindersOfATable(t *testing.T) {
	l := open(t, t.TempDir())
	bills := func(sku string) *meter.Rule {
		return &meter.Rule{Name: "jobs", ProductID: product, SKU: sku, Per: 10, Unit: "u", Values: []string{"=" + sku}}
	}
	a, b, c := bills("a"), bills("b"), bills("c")
	countAt(t, l, a, minute(0), 9, 0)
	countAt(t, l, b, minute(0), 9, 10)
	countAt(t, l, a, minute(0), 2, 20) // a unit of a, 1 is left
	wantTotals(t, l, map[meter.State]int64{meter.Open: 1})
	if aside := keepRemainders(t, l, a, b, c); aside != nil {
		t.Fatalf("set aside: %+v", aside)
	}
	aside := keepRemainders(t, l, a, c)
	if len(aside) != 1 || aside[0].SKU != "b" || aside[0].Remainder != 9 || aside[0].Now != "u, SKU by a table" {
		t.Fatalf("set aside: %+v", aside)
	}
	countAt(t, l, a, minute(1), 9, 30)
	wantTotals(t, l, map[meter.State]int64{meter.Open: 2})
}
