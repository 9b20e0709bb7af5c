package rules

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/program"
)

// toQuantity returns a value as an exact number ≥ 0, as a whole number of the last
// decimal place. It returns an error for other values, and for numbers with more
// places. A string may hold a decimal number.
func toQuantity(v any, decimals int) (int64, error) {
	switch v := v.(type) {
	case nil:
		return 0, errors.New("the quantity is nil")
	case float64:
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			return 0, fmt.Errorf("the quantity is %v", v)
		case v < 0:
			return 0, fmt.Errorf("the quantity is negative: %v", v)
		case decimals == 0 && v != math.Trunc(v):
			return 0, fmt.Errorf("the quantity is not a whole number: %v", v)
		case v >= fields.MaxExact:
			return 0, fmt.Errorf("the quantity may have been rounded: %.0f as a fractional number", v)
		}
		text := strconv.FormatFloat(math.Abs(v), 'f', -1, 64)
		whole, fraction, _ := strings.Cut(text, ".")
		return decimalQuantity(whole, fraction, decimals, text)
	case string:
		return stringQuantity(v, decimals)
	}
	i, ok := fields.Integer(v)
	switch {
	case !ok && reflect.ValueOf(v).CanUint():
		return 0, fmt.Errorf("the quantity does not fit 63 bits: %d", v)
	case !ok:
		return 0, fmt.Errorf("the quantity is %s", program.KindOf(v))
	case i < 0:
		return 0, fmt.Errorf("the quantity is negative: %d", i)
	}
	return wholeQuantity(int64(i), decimals)
}

// wholeQuantity returns a whole number ≥ 0 in units of the last decimal place.
func wholeQuantity(n int64, decimals int) (int64, error) {
	if n > math.MaxInt64/meter.One(decimals) {
		return 0, fmt.Errorf("the quantity does not fit 63 bits with %s: %d", meter.Plural(int64(decimals), "decimal"), n)
	}
	return n * meter.One(decimals), nil
}

// ParseDecimal returns a decimal number ≥ 0 in units of the last of these places.
func ParseDecimal(text string, decimals int) (int64, error) {
	if text == program.NoNumber {
		return 0, errors.New("the quantity is no number: -")
	}
	return stringQuantity(text, decimals)
}

func stringQuantity(s string, decimals int) (int64, error) {
	if s == program.NoNumber {
		return 0, nil
	}
	whole, fraction, point := strings.Cut(s, ".")
	digits := strings.TrimPrefix(whole, "-")
	if !allDigits(digits) || digits == "" || !allDigits(fraction) || point && fraction == "" {
		return 0, fmt.Errorf("the quantity is no number: %q", meter.Clip(s, 40))
	}
	n, err := decimalQuantity(digits, fraction, decimals, s)
	if negative := len(digits) < len(whole); negative && (n > 0 || errors.Is(err, errTooLarge)) {
		return 0, fmt.Errorf("the quantity is negative: %q", meter.Clip(s, 40))
	}
	return n, err
}

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// errTooLarge says that a quantity does not fit 63 bits.
var errTooLarge = errors.New("the quantity does not fit 63 bits")

// decimalQuantity returns the number whole.fraction in units of the last decimal
// place. It ignores zeros at the end of the fraction. text is what the line
// has, for messages.
func decimalQuantity(whole, fraction string, decimals int, text string) (int64, error) {
	fraction = strings.TrimRight(fraction, "0")
	switch {
	case fraction != "" && decimals == 0:
		return 0, fmt.Errorf("the quantity is not a whole number: %q", meter.Clip(text, 40))
	case len(fraction) > decimals:
		return 0, fmt.Errorf("the quantity has more than %s: %q", meter.Plural(int64(decimals), "decimal"), meter.Clip(text, 40))
	}
	n, err := strconv.ParseInt(whole+fraction+"000000000"[:decimals-len(fraction)], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q", errTooLarge, meter.Clip(text, 40))
	}
	return n, nil
}

// longestExponent bounds the exponents of JSON numbers that are read by their
// digits: a number of more places is too large, or has too many of them.
const longestExponent = 400

// jsonQuantity returns the number that JSON writes as text, by its digits. ok is false
// for a negative number, and for an exponent that is too large.
func jsonQuantity(text string, decimals int) (n int64, ok bool, err error) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	shift := 0
	if exponent != "" {
		if shift, err = strconv.Atoi(exponent); err != nil || shift > longestExponent || shift < -longestExponent {
			return 0, false, nil
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole == "" || !allDigits(whole) || !allDigits(fraction) {
		return 0, false, nil
	}
	digits, point := whole+fraction, len(whole)+shift
	if point < 0 {
		digits, point = strings.Repeat("0", -point)+digits, 0
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	n, err = decimalQuantity("0"+digits[:point], digits[point:], decimals, text)
	return n, true, err
}
