package rules

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr"
	"github.com/meterlog/meterlog/internal/condition"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/program"
)

// evaluate is what an expression comes to on a line, as a quantity would be
// evaluated, with the plain decoders.
func evaluateOn(t *testing.T, format, text, line string) (any, error) {
	t.Helper()
	c := &Set{Interval: time.Minute}
	c.AddSource(&Source{Name: "s", Reader: fields.Reader{Format: format}})
	p, problem := c.slots.Compile(text, expr.AsAny(), true)
	if problem != nil {
		t.Fatalf("%s: %s", text, problem.Message)
	}
	when, _ := condition.Of(p)
	e := &Expression{Program: p, condition: when}
	c.AddRule(&Rule{Sources: []string{"s"}, When: e})
	m := NewMatcher(c)
	m.env["file"] = "/var/log/app.log"
	m.begin(&reading{Block: meter.Block{Data: []byte(line)}}, m.plans["s"], 0, len(line))
	return m.run(e)
}

func TestExpressions(t *testing.T) {
	const order = `{"n":7,"max":9223372036854775807,"big":18446744073709551615,"f":1.5,"s":"text","yes":true,"null":null,` +
		`"user":{"plan":"pro","tags":["a","b"],"deep":{"x":[{"y":3}]}},"items":[{"price":2,"on":true},{"price":3}],"a b":1}`
	for _, tt := range []struct {
		text string
		want any // an error's text where it begins with "!"
	}{
		{`line startsWith "{"`, true},
		{`int("-")`, 0},
		{`float("-")`, 0.0},
		{`file`, "/var/log/app.log"},
		{`source`, "s"},
		{`fields.n`, 7},
		{`fields.max`, math.MaxInt64},
		{`fields.big`, 18446744073709551615.0},
		{`fields["a b"]`, 1},
		{`fields.user.plan`, "pro"},
		{`fields["user"]["plan"]`, "pro"},
		{`fields.user.tags[1]`, "b"},
		{`fields.user.tags[-1]`, "b"},
		{`fields.user.tags[2]`, nil},
		{`fields.user.deep.x[0].y`, 3},
		{`fields.user.deep.x[0].y.z`, nil},

		// What is missing is nil, and so is all inside of it.
		{`fields.nothing`, nil},
		{`fields.nothing.inside`, nil},
		{`fields.nothing?.inside`, nil},
		{`fields.s.inside`, nil},
		{`fields.s[0]`, nil},
		{`fields?.s[0]`, nil},
		{`let s = fields.s; s[0]`, nil},
		{`(fields.nothing ?? "text")[0]`, nil},
		{`fields?.user.tags[1]`, "b"},
		{`fields.nothing ?? 5`, 5},
		{`fields.nothing.inside ?? "none"`, "none"},
		{`fields.null ?? 5`, 5},
		{`fields[lower("USER")].plan`, "pro"},
		{`split("a b c", " ")[1]`, "b"},
		{`split("a b c", " ")[7]`, nil},
		{`split("a b c", " ")[7] ?? "-"`, "-"},
		{`get(fields, "nothing")`, nil},
		{`let u = fields.user; u.nothing.inside`, nil},

		// nil orders nowhere, equals only nil, and is false.
		{`fields.nothing > 3`, false},
		{`fields.nothing <= 3`, false},
		{`3 >= fields.nothing`, false},
		{`fields.nothing == nil`, true},
		{`fields.nothing != "x"`, true},
		{`not fields.nothing`, true},
		{`fields.nothing && true`, false},
		{`fields.nothing || fields.yes`, true},
		{`fields.nothing ? 1 : 2`, 2},
		{`fields.nothing contains "x"`, false},
		{`fields.nothing matches "x"`, false},
		{`fields.nothing in ["x"]`, false},
		{`count(fields.items, .on)`, 1},
		{`any(fields.items, .price > 2)`, true},

		// Other kinds than expected are errors, not guesses.
		{`fields.s > 3`, "!invalid operation: string > int"},
		{`fields.n contains "7"`, "!a number where a string is needed"},
		{`fields.s && true`, "!a string is not true or false"},
		{`fields.nothing + 1`, "!invalid operation: <nil> + int"},
		{`len(fields.nothing)`, "!invalid argument for len (type <nil>)"},
		{`fields.n % 0`, "!integer divide by zero"},

		// Integers never wrap, and are never rounded.
		{`fields.max + 0`, math.MaxInt64},
		{`fields.max + 1`, "!integer overflow: 9223372036854775807 + 1"},
		{`1 + fields.max`, "!integer overflow: 1 + 9223372036854775807"},
		{`-2 - fields.max`, "!integer overflow: -2 - 9223372036854775807"},
		{`fields.max * 2`, "!integer overflow: 9223372036854775807 * 2"},
		{`-(-fields.max - 1)`, "!integer overflow: -(-9223372036854775808)"},
		{`(-fields.max - 1) * -1`, "!integer overflow: -9223372036854775808 * -1"},
		{`abs(-fields.max - 1)`, "!integer overflow: -(-9223372036854775808)"},
		{`sum([fields.max, 1])`, "!integer overflow: 9223372036854775807 + 1"},
		{`sum(fields.items, .price)`, 5},
		{`sum(map(fields.items, .price))`, 5},
		{`sum([1, 2.5])`, 3.5},
		{`reduce(fields.items, #acc + .price, 0)`, 5},
		{`reduce([fields.max, 1], #acc + #)`, "!integer overflow: 9223372036854775807 + 1"},
		{`fields.max / 2`, "!9223372036854775807 is too large to be reckoned with as a fraction: it would be rounded"},
		{`fields.max * 1.0`, "!9223372036854775807 is too large to be reckoned with as a fraction: it would be rounded"},
		{`int(fields.big)`, "!int(1.8446744073709552e+19) does not fit 64 bits"},
		{`int(fields.f)`, 1},
		{`int("12")`, 12},
		{`int("9223372036854775808")`, "!invalid operation: int(9223372036854775808)"},
		{`int(fields.nothing)`, nil},
		{`float(fields.nothing)`, nil},
		{`int(fields.nothing) >= 500`, false},
		{`int(fields.nothing) == 500`, false},
		{`int(fields.nothing) ?? 3`, 3},
		{`int(fields.nothing) + 1`, "!invalid operation: <nil> + int"},
		{`int(fields.s) >= 500`, "!invalid operation: int(text)"},
		{`fields.n / 2`, 3.5},
		{`fields.n * 2 + 1`, 15},
		{`-fields.n`, -7},
		{`fields.f + 1`, 2.5},
		{`"a" + fields.s`, "atext"},
		{`fields.s + fields.user.plan`, "!+ would join two strings; convert them with int()"},
		{`fields.n + fields.n`, 14},
		{`2 ** 3`, 8.0},
		{`fields.max ** 1`, "!9223372036854775807 is too large to be reckoned with as a fraction: it would be rounded"},
		{`fromJSON("[9007199254740993]")[0]`, 9007199254740993},
		{`round(fields.f)`, 2.0},
		{`floor(fields.max)`, "!9223372036854775807 is too large to be reckoned with as a fraction: it would be rounded"},

		// What may come from several sides has the type of none.
		{`(fields.n == 9 ? 1.5 : fields.max) + (fields.n == 9 ? 1.5 : fields.max)`, "!integer overflow: 9223372036854775807 + 9223372036854775807"},
		{`let x = fields.n == 9 ? 1.5 : fields.max; x * x`, "!integer overflow: 9223372036854775807 * 9223372036854775807"},
		{`(fields.n == 9 ? 1 : fields.nothing) > 2`, false},
		{`(fields.n == 9 ? 1 : nil) > 2`, false},
		{`(fields.n == 7 ? nil : 1) > 2`, false},
		{`(fields.n == 9 ? true : fields.nothing) or fields.yes`, true},
		{`(fields.n == 9 ? true : fields.s) or fields.yes`, "!a string is not true or false"},
		{`(fields.n == 9 ? 1 : fields.n == 8 ? 2 : fields.nothing) > 2`, false},
		{`let x = fields.n == 9 ? true : fields.nothing; x and true`, false},
		{`any([fields.n == 9 ? 1 : fields.nothing, fields.n == 9 ? 1 : fields.nothing], # > 2)`, false},
		{`reduce([fields.max, fields.max], #index == 0 ? # : #acc + #acc, 1.5)`, "!integer overflow: 9223372036854775807 + 9223372036854775807"},
		{`fields.n == 7 ? 1 : 2`, 1},
		{`(fields.n == 9 ? 1 : int(fields.nothing)) == 3`, false},
		{`(fields.n == 9 ? 1 : int(fields.nothing)) > 3`, false},

		// A list is gone through, and a map is not.
		{`count(fields.user, true)`, "!count goes through a list, and this is a map"},
		{`any(fields.user, true)`, "!any goes through a list, and this is a map"},
		{`fields.s in fields.user`, false},
		{`"plan" in fields.user`, true},
		{`fields.n in fields.user`, false},
		{`fields.nothing in fields.user`, false},
		{`fields.n in fields.nothing`, false},
		{`fields.n in fields.s`, "!operator \"in\" not defined on string"},

		// extract
		{"extract(line, `\"n\":(\\d+)`)", "7"},
		{"extract(line, `(zzz)`)", ""},
		{"extract(line, `(zzz)?`)", ""},
		{"extract(fields.nothing, `(.)`)", ""},
		{"extract(fields.n, `(.)`)", "!extract needs a string, not a number"},
		{"extract(line, \"(\" + fields.s + \")\")", "text"},
		{"extract(line, fields.s)", `!the pattern "text" has no group to extract`},
		{"line matches fields.s", true},

		// Times do not depend on where they are read.
		{`date("2026-01-02 03:04:05").Unix()`, int64(1767323045)},
		{`date("2026-01-02 03:04:05", "2006-01-02 15:04:05", "Europe/Berlin").Unix()`, int64(1767319445)},
		{`date("2026-01-02", "2006-01-02", "Loc" + "al").Unix()`, "!the machine's time zone is not available"},
		{`timezone("Loc" + "al")`, "!the machine's time zone is not available"},
		{`date("2026-01-02").Year() + 1`, 2027},
		{`(date("2026-01-02") - date("2026-01-01")).Hours()`, 24.0},

		{`repeat("x", 2000000)`, "!the expression makes a text of more than 1048576 bytes"},
		{`len(reduce(1..60, # > 0 ? #acc + upper(#acc) : 0, "x"))`, "!the expression makes a text of more than 1048576 bytes"},
		{`1..9999999`, "!memory budget exceeded"},
	} {
		got, err := evaluateOn(t, "json", tt.text, order)
		if want, isError := strings.CutPrefix(asString(tt.want), "!"); isError {
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: got %v, %v, want error %q", tt.text, got, err, want)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: got %v (%T), %v, want %v (%T)", tt.text, got, got, err, tt.want, tt.want)
		}
	}
}

func asString(v any) string {
	s, _ := v.(string)
	return s
}

func TestExpressionMistakes(t *testing.T) {
	for _, tt := range []struct {
		text    string
		offset  int
		message string
		hint    string
	}{
		{`lin contains "x"`, 0, `unknown name "lin"`, `did you mean "line"?`},
		{`line contains "x" and field.a == 1`, 22, `unknown name "field"`, `did you mean "fields"?`},
		{`bytes > 3`, 0, `unknown name "bytes"`, `a field is named fields.bytes, a text is written in quotes`},
		{`line`, 0, `a condition must be true or false, and this is a text`, `compare it with something`},
		{`now().Hour() == 3`, 0, `the wall clock is not available: the same line must always count the same`, "give the source a `timestamp`"},
		{`line == "a" or len(keys(fields)) > 1`, 19, `keys is not available: a map has no order, so the same line could count differently`, `name the fields: fields.a, or fields["a"]`},
		{`date(line).Local().Hour() == 3`, 11, "the machine's time zone is not available: the same line must always count the same", `use .UTC(), or .In(timezone("Europe/Berlin"))`},
		{`$env.line == ""`, 0, `$env is not available`, `use line, fields, file and source by their names`},
		{`__add(1, 2) == 3`, 0, `unknown function "__add"`, "see docs/rules.md for the functions that there are"},
		{"extract(line, `(`) != ''", 14, "error parsing regexp: missing closing ): `(`", ``},
		{"extract(line, `x`) != ''", 14, `the pattern "x" has no group to extract`, `put ( and ) around the part that is wanted`},
		{"line matches `[`", 14, "the pattern has a bracket too many or too few: missing closing ]: `[`", `give each ( its ) and each [ its ], and write \( or \[ for the character itself`},
		{`line contains 5`, 5, `contains takes one text`, `write it in quotes`},
		{`line = "x"`, 5, `there is no operator = here`, `compare with ==; nothing is assigned here`},
		{`fields.n > 9223372036854775807 + 1`, 31, `integer overflow: 9223372036854775807 + 1`, ``},
		{`line matches "\d"`, 15, `a backslash in quotes begins an escape, and this is not one`, `write a regular expression in backticks: they take backslashes as they are`},
		{``, 0, `the expression is empty`, ``},
	} {
		var slots program.Slots
		_, p := slots.Condition(tt.text)
		if p == nil {
			t.Errorf("%s: no problem found", tt.text)
			continue
		}
		if p.Offset != tt.offset || p.Message != tt.message || tt.hint != "" && p.Hint != tt.hint {
			t.Errorf("%s:\n got %d %q %q\nwant %d %q %q", tt.text, p.Offset, p.Message, p.Hint, tt.offset, tt.message, tt.hint)
		}
	}
}

func TestQuantity(t *testing.T) {
	for _, tt := range []struct {
		value any
		want  int64
		err   string
	}{
		{0, 0, ""}, {5, 5, ""}, {math.MaxInt64, math.MaxInt64, ""}, {int64(3), 3, ""}, {uint8(3), 3, ""},
		{12.0, 12, ""}, {math.Copysign(0, -1), 0, ""}, {9007199254740991.0, 9007199254740991, ""},
		{"12", 12, ""}, {"12.0", 12, ""}, {"0012", 12, ""}, {"-0", 0, ""}, {"9223372036854775807", math.MaxInt64, ""}, {"9223372036854775807.00", math.MaxInt64, ""},
		{nil, 0, "the quantity is nil"},
		{true, 0, "the quantity is a boolean"},
		{-1, 0, "the quantity is negative: -1"},
		{-1.0, 0, "the quantity is negative: -1"},
		{1.5, 0, "the quantity is not a whole number: 1.5"},
		{9007199254740992.0, 0, "the quantity may have been rounded: 9007199254740992 as a fractional number"},
		{math.NaN(), 0, "the quantity is NaN"}, {math.Inf(1), 0, "the quantity is +Inf"},
		{uint64(math.MaxUint64), 0, "the quantity does not fit 63 bits: 18446744073709551615"},
		{"", 0, `the quantity is no number: ""`}, {" 12", 0, `the quantity is no number: " 12"`}, {"1e3", 0, `the quantity is no number: "1e3"`},
		{"12.", 0, `the quantity is no number: "12."`}, {".5", 0, `the quantity is no number: ".5"`}, {"--1", 0, `the quantity is no number: "--1"`},
		{"1.50", 0, `the quantity is not a whole number: "1.50"`}, {"-1", 0, `the quantity is negative: "-1"`},
		{"9223372036854775808", 0, `the quantity does not fit 63 bits: "9223372036854775808"`},
		{map[string]any{}, 0, "the quantity is a map"},
	} {
		got, err := toQuantity(tt.value, 0)
		if got != tt.want && err == nil || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%#v: got %d, %v, want %d, %s", tt.value, got, err, tt.want, tt.err)
		}
	}
}
