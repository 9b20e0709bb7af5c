package meter

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"reflect"
	"testing"
)

var (
	mails = &Rule{Name: "mails", Per: 1}
	bytes = &Rule{Name: "bytes", Per: 1}
)

func TestTallyAdds(t *testing.T) {
	var tally Tally
	if !tally.Empty() {
		t.Error("the zero value is not empty")
	}
	first := CountKey{Rule: mails, Window: Window{0, 60}, Generation: 1}
	tally.Add(first, 2, 100, 110)
	tally.Add(first, 3, 50, 60) // lines need not come in order
	tally.Add(first, 0, 200, 210)
	others := []CountKey{
		{Rule: bytes, Window: Window{0, 60}, Generation: 1},
		{Rule: mails, Window: Window{60, 120}, Generation: 1},
		{Rule: mails, Window: Window{0, 60}, Generation: 2},
	}
	for i, key := range others {
		tally.Add(key, int64(i), 1, 2)
	}
	want := map[CountKey]Count{
		first:     {Lines: 3, Amount: 5, Start: 50, End: 210},
		others[0]: {Lines: 1, Amount: 0, Start: 1, End: 2},
		others[1]: {Lines: 1, Amount: 1, Start: 1, End: 2},
		others[2]: {Lines: 1, Amount: 2, Start: 1, End: 2},
	}
	if got := values(tally); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if tally.Reset(); !tally.Empty() {
		t.Errorf("after Reset it holds %v", values(tally))
	}
}

func values(t Tally) map[CountKey]Count {
	held := make(map[CountKey]Count)
	for key, c := range t.Counts {
		held[key] = *c
	}
	return held
}

// A sum that no int64 holds is kept in parts, each of which does.
func TestTallyOverflow(t *testing.T) {
	for _, amounts := range [][]int64{
		{math.MaxInt64, 1},
		{1, math.MaxInt64, 1},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64, 1, 1},
		{math.MaxInt64 - 1, 1, 1},
		{1 << 62, 1 << 62, 1 << 62, 1<<62 - 1},
	} {
		t.Run(fmt.Sprint(amounts), func(t *testing.T) {
			key := CountKey{Rule: mails, Window: Window{0, 60}, Generation: 1}
			var tally, other Tally
			want := new(big.Int)
			for i, amount := range amounts {
				tally.Add(key, amount, int64(i), int64(i+1))
				want.Add(want, big.NewInt(amount))
			}
			wantSum(t, &tally, want, len(amounts))
			other.Merge(&tally)
			other.Merge(&tally)
			wantSum(t, &other, want.Add(want, want), 2*len(amounts))
			for part := range tally.Counts {
				if part.part = 0; part != key {
					t.Errorf("a part is of %+v", part)
				}
			}
		})
	}
}

func wantSum(t *testing.T, tally *Tally, want *big.Int, lines int) {
	t.Helper()
	sum := new(big.Int)
	for _, c := range tally.Counts {
		if c.Amount < 0 || c.Lines < 1 || c.Start >= c.End {
			t.Errorf("a part is %+v", *c)
		}
		sum.Add(sum, big.NewInt(c.Amount))
		lines -= int(c.Lines)
	}
	if sum.Cmp(want) != 0 || lines != 0 {
		t.Errorf("the parts sum to %v, want %v; %d lines are missing", sum, want, lines)
	}
}

func TestTallyMerge(t *testing.T) {
	key := func(r *Rule, generation int64) CountKey { return CountKey{Rule: r, Generation: generation} }
	var a, b, want Tally
	a.Add(key(mails, 1), 5, 0, 10)
	b.Add(key(mails, 1), 7, 10, 20)
	b.Add(key(mails, 1), 1, 30, 40)
	b.Add(key(bytes, 1), 100, 10, 20)
	for _, line := range []struct {
		rule               *Rule
		amount, start, end int64
	}{{mails, 5, 0, 10}, {mails, 7, 10, 20}, {mails, 1, 30, 40}, {bytes, 100, 10, 20}} {
		want.Add(key(line.rule, 1), line.amount, line.start, line.end)
	}
	anomaly := AnomalyKey{Kind: RuleError, Subject: "mails"}
	a.AddAnomaly(anomaly, 10, "the first")
	b.AddAnomaly(anomaly, 20, "the second")
	b.AddAnomaly(anomaly, 30, "the third")
	b.AddAnomaly(AnomalyKey{Kind: LineTooLong, Subject: "mails"}, 1, "another")
	before := values(b)
	a.Merge(&b)
	if got, want := values(a), values(want); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	wantAnomalies := map[AnomalyKey]*Anomaly{
		anomaly:                               {Count: 3, Bytes: 60, Example: "the first"},
		{Kind: LineTooLong, Subject: "mails"}: {Count: 1, Bytes: 1, Example: "another"},
	}
	if !reflect.DeepEqual(a.Anomalies, wantAnomalies) {
		t.Errorf("anomalies %v, want %v", a.Anomalies, wantAnomalies)
	}
	if !maps.Equal(values(b), before) {
		t.Error("the one that was merged has changed")
	}
	var empty Tally
	a.Merge(&empty)
	empty.Merge(&a)
	if !maps.Equal(values(empty), values(a)) || !reflect.DeepEqual(empty.Anomalies, a.Anomalies) {
		t.Error("merged into an empty one it is not the same")
	}
	b.Add(key(bytes, 1), 1, 90, 99)
	if c := a.Counts[key(bytes, 1)]; c.Amount != 100 {
		t.Error("the two share a count")
	}
}
