package fields

import (
	"math"
	"reflect"
	"strconv"
	"strings"
)

// jsonNumber returns an int if the text is a whole number that fits, else a
// float64. A number that is too large is infinite.
func jsonNumber(text string) any {
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return int(i)
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

// MaxExact bounds the integers that a float64 holds exactly: below it, no two whole
// numbers are the same float64.
const MaxExact = 1 << 53

// Integer returns v as an int, if it is of an integer type and fits.
func Integer(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case int64:
		return int(v), true
	case int8, int16, int32:
		return int(reflect.ValueOf(v).Int()), true
	case uint, uint8, uint16, uint32, uint64:
		if u := reflect.ValueOf(v).Uint(); u <= math.MaxInt64 {
			return int(u), true
		}
	}
	return 0, false
}
