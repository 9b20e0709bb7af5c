package ledger

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

func tensWith(unit, sku string, per int64) *meter.Rule {
	return &meter.Rule{Name: "tens", ProductID: product, SKU: sku, Per: per, Unit: unit}
}

func keepRemainders(t *testing.T, l *Ledger, rules ...*meter.Rule) []SetAside {
	t.Helper()
	aside, err := l.KeepRemainders(t.Context(), rules, noon.Add(time.Hour))
	check(t, err)
	return aside
}

// A remainder is the rule's only as long as it means what it meant: other units
// of it are set aside with their amount, and the rule begins at 0.
func TestRemainderOfAnotherUnitIsSetAside(t *testing.T) {
	l := open(t, t.TempDir())
	bytes := tensWith("quantity fields.bytes per 10", "dn2tens", 10)
	countAt(t, l, bytes, minute(0), 12, 0) // one unit, 2 left
	countAt(t, l, bytes, minute(0), 7, 10) // 9 left
	if aside := keepRemainders(t, l, bytes, mails); aside != nil {
		t.Fatalf("an unchanged rule: %+v", aside)
	}
	if aside := keepRemainders(t, l, mails); aside != nil {
		t.Fatalf("a rule that is gone: %+v", aside)
	}
	kilobytes := tensWith("quantity fields.kb per 10", "dn2tens", 10)
	aside := keepRemainders(t, l, kilobytes, mails)
	if len(aside) != 1 || aside[0].Remainder != 9 || aside[0].Rule != "tens" || aside[0].MadeWith != bytes.Unit {
		t.Fatalf("set aside: %+v", aside)
	}
	countAt(t, l, kilobytes, minute(1), 9, 20) // 9 and 9 would have made a unit
	wantTotals(t, l, map[meter.State]int64{meter.Open: 1})
	countAt(t, l, kilobytes, minute(1), 1, 30)
	wantTotals(t, l, map[meter.State]int64{meter.Open: 2})
	if aside := keepRemainders(t, l, kilobytes); aside != nil {
		t.Errorf("set aside a second time: %+v", aside)
	}
	anomalies, err := l.Anomalies(t.Context())
	check(t, err)
	if len(anomalies) != 1 || anomalies[0].Kind != meter.StaleRemainder || anomalies[0].Subject != "tens" || !strings.Contains(anomalies[0].Example, "9, less than one unit") {
		t.Errorf("anomalies: %+v", anomalies)
	}
}

// Under another SKU the remainder would lie in the ledger for ever.
func TestRemainderOfAnotherSKUIsSetAside(t *testing.T) {
	l := open(t, t.TempDir())
	first, second := tensWith("u", "dn2one", 10), tensWith("u", "dn2two", 10)
	countAt(t, l, first, minute(0), 9, 0)
	if aside := keepRemainders(t, l, first, second); aside != nil {
		t.Fatalf("a rule that bills both: %+v", aside)
	}
	if aside := keepRemainders(t, l, second); len(aside) != 1 || aside[0].SKU != "dn2one" {
		t.Fatalf("set aside: %+v", aside)
	}
	countAt(t, l, second, minute(0), 9, 10)
	wantTotals(t, l, map[meter.State]int64{})
}

// What an older meterlog left over does not say what it was made with, and is
// taken for the rule's.
func TestRemainderOfAnOlderVersionIsKept(t *testing.T) {
	l := open(t, t.TempDir())
	countAt(t, l, tens, minute(0), 9, 0) // without a Unit
	unit := tensWith("u", tens.SKU, 10)
	if aside := keepRemainders(t, l, unit); aside != nil {
		t.Fatalf("set aside: %+v", aside)
	}
	countAt(t, l, unit, minute(0), 1, 10)
	wantTotals(t, l, map[meter.State]int64{meter.Open: 1})
}

// While it is not known whose a remainder is, it is set aside only once.
func TestRemainderInDoubtIsSetAsideOnce(t *testing.T) {
	dir := t.TempDir()
	check(t, used(t, dir).Close()) // with a remainder of 7
	l := open(t, dir)
	bindMachine(t, l, "m1")
	check(t, l.AwaitInstance(t.Context()))
	countAt(t, l, tens, minute(0), 8, 50) // 7 and 8, apart
	changed := tensWith("u", "dn2other", 10)
	if aside := keepRemainders(t, l, changed); len(aside) != 1 || aside[0].Remainder != 15 {
		t.Fatalf("set aside: %+v", aside)
	}
	if f := bindInstance(t, l, "i2"); f.Remainders != 0 {
		t.Errorf("the other instance sets aside %+v", f)
	}
}

// A remainder in thousandths is none in whole units, even if nothing is known of
// the rule that made it.
func TestRemainderOfOtherDecimalsIsSetAside(t *testing.T) {
	l := open(t, t.TempDir())
	whole := tensWith("", "dn2tens", 10)
	countAt(t, l, whole, minute(0), 9, 0)
	thousandths := tensWith("u", "dn2tens", 10_000)
	thousandths.Decimals = 3
	aside := keepRemainders(t, l, thousandths)
	if len(aside) != 1 || aside[0].Text() != "9" {
		t.Fatalf("set aside: %+v", aside)
	}
	countAt(t, l, thousandths, minute(0), 9_750, 10)
	countAt(t, l, thousandths, minute(0), 500, 20) // a unit, and 0.25
	wantTotals(t, l, map[meter.State]int64{meter.Open: 1})
	aside = keepRemainders(t, l, tensWith("u", "dn2tens", 10))
	if len(aside) != 1 || aside[0].Text() != "0.25" {
		t.Fatalf("set aside: %+v", aside)
	}
	anomalies, err := l.Anomalies(t.Context())
	check(t, err)
	if len(anomalies) != 1 || anomalies[0].Count != 2 || !strings.HasPrefix(anomalies[0].Example, "0.25, less than one unit") {
		t.Errorf("anomalies: %+v", anomalies)
	}
}

// What a rule gives to a record is of one kind: after its decimals or per have
// changed, it opens another.
func TestSharesOfOtherUnitsAreApart(t *testing.T) {
	l := open(t, t.TempDir())
	first := tensWith("a", "dn2tens", 10)
	countAt(t, l, first, minute(0), 20, 0)
	second := tensWith("b", "dn2tens", 100)
	second.Decimals = 1
	keepRemainders(t, l, second)
	countAt(t, l, second, minute(0), 300, 10)
	all := records(t, l, Filter{})
	if len(all) != 2 || all[0].Quantity != 2 || all[1].Quantity != 3 || all[0].State != meter.Sealed {
		t.Errorf("%+v", all)
	}
	a := must(l.Account(t.Context(), all[1].UUID))
	if len(a.Shares) != 1 || a.Shares[0].Decimals != 1 || a.Contributions[0].Decimals != 1 {
		t.Errorf("%+v", a)
	}
}

// Amounts of nine decimals reach the end of 63 bits soon. No sum wraps.
func TestSumsOfManyDecimals(t *testing.T) {
	l := open(t, t.TempDir())
	rule := &meter.Rule{Name: "nano", ProductID: product, SKU: sku, Per: 1e9, Decimals: 9}
	for i := range int64(5) {
		countAt(t, l, rule, minute(0), math.MaxInt64, 10*i)
	}
	// 5 × 9223372036.854775807 = 46116860184.273879035
	got := totals(t, l)
	if sum := got[meter.Open] + got[meter.Sealed]; sum != 46116860184 {
		t.Errorf("%d units", sum)
	}
	countAt(t, l, rule, minute(0), 726_120_965, 60) // what is left to a unit
	got = totals(t, l)
	if sum := got[meter.Open] + got[meter.Sealed]; sum != 46116860185 {
		t.Errorf("%d units", sum)
	}
}
