package meter

import (
	"math"
	"math/big"
	"testing"
)

func TestDecimal(t *testing.T) {
	for _, test := range []struct {
		amount   int64
		decimals int
		want     string
	}{
		{1500, 3, "1.5"},
		{1500, 0, "1500"},
		{1000, 3, "1"},
		{1, 9, "0.000000001"},
		{0, 9, "0"},
		{-25, 2, "-0.25"},
		{-300, 2, "-3"},
		{10, 1, "1"},
		{math.MaxInt64, 9, "9223372036.854775807"},
		{math.MinInt64, 1, "-922337203685477580.8"},
	} {
		if got := Decimal(test.amount, test.decimals); got != test.want {
			t.Errorf("%d to %d places is %s, want %s", test.amount, test.decimals, got, test.want)
		}
		if got := BigDecimal(big.NewInt(test.amount), test.decimals); got != test.want {
			t.Errorf("%d to %d places is %s, want %s", test.amount, test.decimals, got, test.want)
		}
	}
	if got := BigDecimal(new(big.Int).Lsh(big.NewInt(1), 64), 3); got != "18446744073709551.616" {
		t.Errorf("2^64 thousandths are %s", got)
	}
}
