package meter

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
)

// MaxDecimals is the most decimal places that a rule may keep.
const MaxDecimals = 9

// tens are the powers of ten up to MaxDecimals.
var tens = [MaxDecimals + 1]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// One returns what 1 is when amounts have this number of decimal places.
func One(decimals int) int64 { return tens[decimals] }

// Decimal returns an amount with this number of decimal places, exactly and in its
// shortest form: 1.5 for 1500 in thousandths.
func Decimal(amount int64, decimals int) string {
	return pointed(strconv.FormatInt(amount, 10), decimals)
}

// BigDecimal does what Decimal does, for sums without limit.
func BigDecimal(amount *big.Int, decimals int) string { return pointed(amount.String(), decimals) }

// pointed puts the point into a whole number.
func pointed(digits string, decimals int) string {
	if decimals == 0 {
		return digits
	}
	digits, negative := strings.CutPrefix(digits, "-")
	if missing := decimals + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - decimals
	text := digits[:point]
	if fraction := strings.TrimRight(digits[point:], "0"); fraction != "" {
		text += "." + fraction
	}
	if negative {
		text = "-" + text
	}
	return text
}

// Number returns an amount for JSON, exactly.
func Number(amount int64, decimals int) json.Number { return json.Number(Decimal(amount, decimals)) }
