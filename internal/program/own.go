package program

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/fields"
)

// own are the functions that expressions have beside those of expr. To add one, name
// it in remedy.Own as well, and on the page of rules. They may be called from
// several goroutines.
var own = map[string]struct {
	call  func(args ...any) (any, error)
	types any // a pointer to a function that has the types of call
}{
	"extract": {extractBy, new(func(any, string) string)},
	"items":   {itemsOf, new(func(any) any)},
	"bytes":   {bytesOf, new(func(any) any)},
	"seconds": {secondsOf, new(func(any) any)},
}

// extractBy returns what extract does, for a pattern that is not constant.
func extractBy(args ...any) (any, error) {
	pattern, ok := args[1].(string)
	if !ok {
		return nil, fmt.Errorf("extract needs a pattern, not %s", KindOf(args[1]))
	}
	re, err := patterns.compile(pattern)
	if err != nil {
		return nil, err
	}
	if re.Groups() == 0 {
		return nil, fmt.Errorf("the pattern %q has no group to extract", pattern)
	}
	return extract(args[0], re)
}

// itemsOf returns how many items a value has: the length of a list, 0 for nil,
// and 1 for everything else. Logs write one recipient as a text and two as a list.
func itemsOf(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return 0, nil
	case []any:
		return len(v), nil
	}
	return 1, nil
}

// sizeUnits are the units of bytes, in lower case. A letter alone, such as K, has
// two meanings, so it is not among them.
var sizeUnits = map[string]int64{
	"": 1, "b": 1, "byte": 1, "bytes": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "pb": 1e15,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50,
}

var sizeText = regexp.MustCompile(`^([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([A-Za-z]*)$`)

// bytesOf returns the bytes that a text such as "1.5 GiB" names: an integer where
// they are whole. Nil and numbers stay as they are.
func bytesOf(args ...any) (any, error) {
	text, isText := args[0].(string)
	if !isText {
		return unchanged("bytes", args[0])
	}
	parts := sizeText.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return nil, fmt.Errorf("bytes(%q): write a number and a unit, such as 1.5 GiB", text)
	}
	unit, known := sizeUnits[strings.ToLower(parts[2])]
	if !known {
		return nil, fmt.Errorf("bytes(%q): the unit %s is not known; kB is 1000 bytes, KiB is 1024", text, parts[2])
	}
	amount, _ := new(big.Rat).SetString(parts[1])
	return numberOf(amount.Mul(amount, new(big.Rat).SetInt64(unit)))
}

// secondsOf returns the seconds that a text such as "1h2m3.5s" names: an integer
// where they are whole. Nil and numbers stay as they are.
func secondsOf(args ...any) (any, error) {
	text, isText := args[0].(string)
	if !isText {
		return unchanged("seconds", args[0])
	}
	d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		return nil, fmt.Errorf("seconds(%q): write it like 1h2m3.5s or 250ms", text)
	}
	return numberOf(big.NewRat(int64(d), int64(time.Second)))
}

// unchanged returns nil and numbers as they are.
func unchanged(function string, v any) (any, error) {
	if _, isFloat := v.(float64); isFloat || v == nil {
		return v, nil
	}
	if n, isInteger := fields.Integer(v); isInteger {
		return n, nil
	}
	return nil, fmt.Errorf("%s needs a text or a number, not %s", function, KindOf(v))
}

// numberOf returns an amount as an int where it is one, else as the nearest float.
func numberOf(amount *big.Rat) (any, error) {
	if !amount.IsInt() {
		f, _ := amount.Float64()
		return f, nil
	}
	if !amount.Num().IsInt64() {
		return nil, fmt.Errorf("%s does not fit 64 bits", amount.Num())
	}
	return int(amount.Num().Int64()), nil
}

// NoNumber is what web servers write in place of a number, such as the size of an empty
// answer.
const NoNumber = "-"
