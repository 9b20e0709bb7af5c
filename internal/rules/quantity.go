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
)

// toQuantity is the whole number ≥ 0 that a value stands for, exactly, or why
// it stands for none. A string may hold a decimal number without a fraction.
func toQuantity(v any) (int64, error) {
	switch v := v.(type) {
	case nil:
		return 0, errors.New("the quantity is nil")
	case float64:
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			return 0, fmt.Errorf("the quantity is %v", v)
		case v < 0:
			return 0, fmt.Errorf("the quantity is negative: %v", v)
		case v != math.Trunc(v):
			return 0, fmt.Errorf("the quantity is not a whole number: %v", v)
		case v >= fields.MaxExact:
			return 0, fmt.Errorf("the quantity may have been rounded: %.0f as a fractional number", v)
		}
		return int64(v), nil
	case string:
		return stringQuantity(v)
	}
	i, ok := fields.Integer(v)
	switch {
	case !ok && reflect.ValueOf(v).CanUint():
		return 0, fmt.Errorf("the quantity does not fit 63 bits: %d", v)
	case !ok:
		return 0, fmt.Errorf("the quantity is %s", kindOf(v))
	case i < 0:
		return 0, fmt.Errorf("the quantity is negative: %d", i)
	}
	return int64(i), nil
}

// noNumber is what web servers write for a number where there is nothing to
// count, such as the size of an empty answer.
const noNumber = "-"

func stringQuantity(s string) (int64, error) {
	if s == noNumber {
		return 0, nil
	}
	whole, fraction, point := strings.Cut(s, ".")
	digits := strings.TrimPrefix(whole, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" || strings.Trim(fraction, "0123456789") != "" || point && fraction == "" {
		return 0, fmt.Errorf("the quantity is no number: %q", meter.Clip(s, 40))
	}
	if strings.Trim(fraction, "0") != "" {
		return 0, fmt.Errorf("the quantity is not a whole number: %q", meter.Clip(s, 40))
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	switch {
	case len(digits) < len(whole) && (err != nil || n < 0):
		return 0, fmt.Errorf("the quantity is negative: %q", meter.Clip(s, 40))
	case err != nil:
		return 0, fmt.Errorf("the quantity does not fit 63 bits: %q", meter.Clip(s, 40))
	}
	return n, nil
}
