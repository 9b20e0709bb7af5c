package program

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm/runtime"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
)

// checked are the functions that the patcher puts in the place of expr's own.
// They may be called from several goroutines.
var checked = map[string]func(args ...any) (any, error){
	"__any":         func(args ...any) (any, error) { return args[0], nil },
	"__add":         add,
	"__addNumbers":  addNumbers,
	"__sub":         binaryInt("-", subExact, func(a, b any) any { return runtime.Subtract(a, b) }),
	"__mul":         binaryInt("*", mulExact, func(a, b any) any { return runtime.Multiply(a, b) }),
	"__div":         divide,
	"__power":       power,
	"__neg":         negate,
	"__less":        compare(runtime.Less),
	"__lessOrEqual": compare(runtime.LessOrEqual),
	"__more":        compare(runtime.More),
	"__moreOrEqual": compare(runtime.MoreOrEqual),
	"__in":          isIn,
	"__bool":        truthOf,
	"__list":        listOf,
	"__member":      memberOf,
	"__sum":         sum,
	"__abs":         abs,
	"__int":         toInt,
	"__float":       toFloat,
	"__ceil":        rounding(builtin.Ceil),
	"__floor":       rounding(builtin.Floor),
	"__round":       rounding(builtin.Round),
	"__date":        date,
	"__timezone":    timezone,
	"__fromJSON":    fromJSON,
	"__extract":     extract,
	"__matches":     matches,
}

var add = binaryInt("+", addExact, func(a, b any) any {
	s, ok1 := a.(string)
	t, ok2 := b.(string)
	if ok1 && ok2 && len(s)+len(t) > maxString {
		panic(errString)
	}
	return runtime.Add(a, b)
})

// addNumbers adds, and does not join two strings.
func addNumbers(args ...any) (any, error) {
	_, ok1 := args[0].(string)
	_, ok2 := args[1].(string)
	if ok1 && ok2 {
		return nil, errors.New("+ would join two strings; convert them with int()")
	}
	return add(args...)
}

func divide(args ...any) (any, error) {
	if err := exactPair(args[0], args[1]); err != nil {
		return nil, err
	}
	return runtime.Divide(args[0], args[1]), nil
}

func power(args ...any) (any, error) {
	if err := exactPair(args[0], args[1]); err != nil {
		return nil, err
	}
	return runtime.Exponent(args[0], args[1]), nil
}

func negate(args ...any) (any, error) {
	if i, ok := fields.Integer(args[0]); ok {
		if i == math.MinInt {
			return nil, fmt.Errorf("integer overflow: -(%d)", i)
		}
		return -i, nil
	}
	return runtime.Negate(args[0]), nil
}

func abs(args ...any) (any, error) {
	if i, ok := fields.Integer(args[0]); ok {
		if i < 0 {
			return negate(i)
		}
		return i, nil
	}
	return builtin.Abs(args[0]), nil
}

// isIn reports whether a list has a value, or a map a name. It is an error to look
// into anything else but nil.
func isIn(args ...any) (any, error) {
	switch list := args[1].(type) {
	case []any:
		return slices.ContainsFunc(list, func(v any) bool { return runtime.Equal(v, args[0]) }), nil
	case map[string]any:
		name, isText := args[0].(string)
		_, there := list[name]
		return isText && there, nil
	}
	return runtime.In(args[0], args[1]), nil
}

// truthOf takes nil, which a missing field is, for false.
func truthOf(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	}
	return nil, fmt.Errorf("%s is not true or false", KindOf(args[0]))
}

// memberOf returns a map's value or an array's element, or nil. It takes no byte of a
// text, as that could become a quantity.
func memberOf(args ...any) (any, error) {
	switch base := args[0].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		key, _ := args[1].(string)
		return base[key], nil
	case []any:
		i, ok := fields.Integer(args[1])
		if !ok {
			return nil, nil
		}
		if i < 0 {
			i += len(base)
		}
		if i < 0 || i >= len(base) {
			return nil, nil
		}
		return base[i], nil
	}
	v := reflect.ValueOf(args[0])
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		if i, ok := fields.Integer(args[1]); ok {
			if i < 0 {
				i += v.Len()
			}
			if i >= 0 && i < v.Len() {
				return v.Index(i).Interface(), nil
			}
		}
	case reflect.Map:
		key := reflect.ValueOf(args[1])
		if key.IsValid() && key.Type().AssignableTo(v.Type().Key()) && key.Comparable() {
			if value := v.MapIndex(key); value.IsValid() {
				return value.Interface(), nil
			}
		}
	}
	return nil, nil
}

func sum(args ...any) (any, error) {
	v := reflect.ValueOf(args[0])
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return nil, fmt.Errorf("sum needs an array, not %s", KindOf(args[0]))
	}
	var total any = 0
	for i := range v.Len() {
		var err error
		if total, err = add(total, v.Index(i).Interface()); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// toInt does what expr's int does, which cuts fractions off. It returns
// nil for nil, and fails where the number does not fit.
func toInt(args ...any) (any, error) {
	switch v := args[0].(type) {
	case float64:
		if !(v >= math.MinInt64 && v < math.MaxInt64) { // the latter is 2^63 as a float64
			return nil, fmt.Errorf("int(%v) does not fit 64 bits", v)
		}
	case uint64, uint:
		if _, ok := fields.Integer(v); !ok {
			return nil, fmt.Errorf("int(%v) does not fit 64 bits", v)
		}
	case nil:
		return nil, nil
	case string:
		if v == NoNumber {
			return 0, nil
		}
	}
	return builtin.Int(args[0]), nil
}

// toFloat does what expr's float does. It returns nil for nil.
func toFloat(args ...any) (any, error) {
	switch args[0] {
	case nil:
		return nil, nil
	case NoNumber:
		return 0.0, nil
	}
	return rounding(builtin.Float)(args...)
}

// date does what expr's date does, with UTC for times without a zone.
func date(args ...any) (any, error) {
	for _, arg := range args {
		if arg == "Local" {
			return nil, errLocal
		}
	}
	if len(args) > 0 {
		if _, ok := args[0].(*time.Location); !ok {
			args = append([]any{time.UTC}, args...)
		}
	}
	return builtin.Builtins[builtin.Index["date"]].Func(args...)
}

func timezone(args ...any) (any, error) {
	name, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("timezone needs a name, not %s", KindOf(args[0]))
	}
	if name == "Local" {
		return nil, errLocal
	}
	return time.LoadLocation(name)
}

var errLocal = errors.New("the machine's time zone is not available")

func fromJSON(args ...any) (any, error) {
	text, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("fromJSON needs a string, not %s", KindOf(args[0]))
	}
	return fields.DecodeJSON([]byte(text))
}

// extract returns the first group of a compiled pattern in a text, "" where the
// text is nil, the pattern does not match or the group takes no part.
func extract(args ...any) (any, error) {
	if args[0] == nil {
		return "", nil
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("extract needs a string, not %s", KindOf(args[0]))
	}
	from, to := args[1].(*fields.Pattern).GroupOf(text)
	if from < 0 {
		return "", nil
	}
	return text[from:to], nil
}

// matches does what expr's operator does, for a pattern that is not constant.
func matches(args ...any) (any, error) {
	if args[0] == nil || args[1] == nil {
		return false, nil
	}
	text, ok1 := args[0].(string)
	pattern, ok2 := args[1].(string)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("matches needs strings, not %s and %s", KindOf(args[0]), KindOf(args[1]))
	}
	re, err := patterns.compile(pattern)
	if err != nil {
		return nil, err
	}
	return re.MatchString(text), nil
}

// patternCache keeps the patterns that expressions made lately.
type patternCache struct {
	mu       sync.Mutex
	compiled map[string]*fields.Pattern
}

var patterns patternCache

const (
	maxPatterns     = 256
	maxPattern      = 1000 // bytes of a pattern that is not constant
	maxInstructions = 4000 // of its program: what it holds in memory, and pays for each byte
)

func (c *patternCache) compile(pattern string) (*fields.Pattern, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if re := c.compiled[pattern]; re != nil {
		return re, nil
	}
	pattern = strings.Clone(pattern) // it may be part of a block, whose memory is used again
	if err := checkPattern(pattern); err != nil {
		return nil, err
	}
	re, err := fields.Compile(pattern)
	if err != nil {
		return nil, err
	}
	if c.compiled == nil || len(c.compiled) >= maxPatterns {
		c.compiled = make(map[string]*fields.Pattern, maxPatterns)
	}
	c.compiled[pattern] = re
	return re, nil
}

// checkPattern refuses a pattern that would cost too much. A constant one is
// taken as its author wrote it.
func checkPattern(pattern string) error {
	if len(pattern) > maxPattern {
		return fmt.Errorf("a pattern of %d bytes: at most %d may be made of a line", len(pattern), maxPattern)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return err
	}
	if len(program.Inst) > maxInstructions {
		return fmt.Errorf("the pattern %q repeats too much", meter.Clip(pattern, 40))
	}
	return nil
}

// KindOf names what a value is, for messages.
func KindOf(v any) string {
	switch v.(type) {
	case nil:
		return "nil"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case map[string]any:
		return "a map"
	case []any:
		return "an array"
	case float64, float32:
		return "a fractional number"
	}
	if _, ok := fields.Integer(v); ok {
		return "a number"
	}
	return fmt.Sprintf("a %T", v)
}

// listOf returns its argument, which must be neither a text nor a map. The second
// argument names the function that goes through it.
func listOf(args ...any) (any, error) {
	switch args[0].(type) {
	case string:
		return nil, fmt.Errorf("%s goes through a list, and this is a text: items() counts one or many", args[1])
	case map[string]any:
		return nil, fmt.Errorf("%s goes through a list, and this is a map", args[1])
	}
	return args[0], nil
}
