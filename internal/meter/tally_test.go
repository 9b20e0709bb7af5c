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
	tally.Add(first, 2, 100, 110, 7)
	tally.Add(first, 3, 50, 60, 9) // lines need not come in order
	tally.Add(first, 0, 200, 210, 8)
	others := []CountKey{
		{Rule: bytes, Window: Window{0, 60}, Generation: 1},
		{Rule: mails, Window: Window{60, 120}, Generation: 1},
		{Rule: mails, Window: Window{0, 60}, Generation: 2},
	}
	for i, key := range others {
		tally.Add(key, int64(i), 1, 2, 0)
	}
	want := map[CountKey]Count{
		first:     {Lines: 3, Amount: 5, Start: 50, End: 210, Last: 9},
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
			var tally Tally
			want := new(big.Int)
			for i, amount := range amounts {
				tally.Add(key, amount, int64(i), int64(i+1), 0)
				want.Add(want, big.NewInt(amount))
			}
			wantSum(t, &tally, want, len(amounts))
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

func TestAddAnomalies(t *testing.T) {
	var a, b Tally
	anomaly := AnomalyKey{Kind: RuleError, Subject: "mails"}
	a.AddAnomaly(anomaly, 10, "the first")
	b.AddAnomaly(anomaly, 20, "the second")
	b.AddAnomaly(anomaly, 30, "the third")
	b.AddAnomaly(AnomalyKey{Kind: LineTooLong, Subject: "mails"}, 1, "another")
	a.AddAnomalies(&b)
	want := map[AnomalyKey]*Anomaly{
		anomaly:                               {Count: 3, Bytes: 60, Example: "the first"},
		{Kind: LineTooLong, Subject: "mails"}: {Count: 1, Bytes: 1, Example: "another"},
	}
	if !reflect.DeepEqual(a.Anomalies, want) {
		t.Errorf("anomalies %v, want %v", a.Anomalies, want)
	}
	b.AddAnomaly(anomaly, 1, "")
	if a.Anomalies[anomaly].Count != 3 || b.Anomalies[anomaly].Count != 3 {
		t.Error("the two share an anomaly")
	}
	var empty Tally
	empty.AddAnomalies(&a)
	if !reflect.DeepEqual(empty.Anomalies, a.Anomalies) {
		t.Error("added to an empty one they are not the same")
	}
}
