package rules

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/program"
)

// Expressions that multiply come to an error, before they have cost the time
// and the memory that they would need.
func TestBudget(t *testing.T) {
	line := `{"text":"` + strings.Repeat("a", 1<<19) + `","list":[1,2,3],"pattern":"a{999}b{999}c{999}d{999}e{999}","long":"` + strings.Repeat("x", 2000) + `"}`
	doubled := "let v0 = [line, line]; "
	for i := range 60 {
		doubled += fmt.Sprintf("let v%d = [v%d, v%d]; ", i+1, i, i)
	}
	mapped := strings.ReplaceAll(strings.ReplaceAll(doubled, "[", `{"a": `), ", v", `, "b": v`)
	mapped = strings.ReplaceAll(strings.ReplaceAll(mapped, ", line", `, "b": line`), "]", "}")
	const work, text, nested = "!the expression costs too much on this line", "!the expression makes a text of more than 1048576 bytes", "!the expression nests values deeper than 1000"
	for _, tt := range []struct {
		text string
		want any // an error's beginning where it begins with "!"
	}{
		// Loops within loops.
		{`let a = 1..9999; all(a, all(a, all(a, all(a, true))))`, work},
		{`let a = 1..9999; count(a, any(a, none(a, # == 0)))`, work},
		{`let a = 1..9999; all(a, let x = #; all(a, # + x > 0))`, work},
		{`let a = 1..9999; sum(a, sum(a, sum(a, #)))`, work},
		{`let a = 1..9999; len(sortBy(a, count(a, count(a, true) > 0)))`, work},
		{`let a = 1..9999; len(groupBy(a, findIndex(a, one(a, false))))`, work},
		{`let a = 1..9999; reduce(a, reduce(a, reduce(a, # + #acc, 0), 0), 0)`, work},
		{`let a = 1..9999; map(a, map(a, 1))`, work},
		// Long texts in a loop.
		{`all(1..99999, not (line contains "b" + "c"))`, work},
		{`all(1..99999, not (fields.text contains "bc"))`, work},
		{`all(1..99999, fields.text == fields.text)`, work},
		{`all(1..99999, fields.text <= fields.text)`, work},
		{"all(1..99999, not (line matches `b+c`))", work},
		{"all(1..99999, extract(line, `b(c)`) == \"\")", work},
		{`all(1..99999, not (line in ["b", "c"]))`, work},
		{`len(map(1..9999, upper(line)))`, work},
		{`len(map(1..9999, split(line, "")))`, work},
		{`len(map(1..9999, fromJSON(line)))`, work},
		{`len(map(1..9999, line + "x"))`, work},
		{`len(map(1..9999, trimPrefix(line, "x") + "y"))`, work},
		{`len(map(1..9999, replace("` + strings.Repeat("a", 1000) + `", "a", "` + strings.Repeat("b", 1000) + `")))`, work},
		{`len(map(1..9999, join(map(1..99, "` + strings.Repeat("b", 1000) + `"), "")))`, work},
		{`len(map(1..9999, let s = line; s endsWith s))`, work},
		// Texts that grow.
		{`replace(line, "", line)`, text},
		{`replace(line, "a", "bbb")`, text},
		{`len(replace(line, "a", "bbb", 3))`, len(line) + 6},
		{`join(split(line, ""), line)`, text},
		{`join(map(1..999, line), "")`, text},
		{`reduce(1..999, toBase64(#acc), "x")`, text},
		{`reduce(1..999, toJSON(#acc), "\"")`, text},
		{`reduce(1..999, string([#acc, #acc]), "x")`, text},
		{`reduce(1..999, replace(#acc, "x", "xx"), "x")`, text},
		{`len(reduce(1..999, # > 0 ? #acc + upper(#acc) : 0, "x"))`, text},
		{`reduce(1..999, join([#acc, #acc]), "x")`, text},
		{`repeat(repeat("x", 1000), 1000000)`, text},
		{`repeat(line, 9223372036854775807)`, text},
		{`repeat("", 9223372036854775807)`, ""},
		{`repeat("x", -1)`, "!repeat needs a number that is not negative, not -1"},
		{`let s = repeat("x", 999999); len(s + s)`, text},
		// Values that hold others many times over.
		{doubled + `len(string(v60))`, work},
		{doubled + `len(toJSON(v60))`, work},
		{doubled + `len(flatten(v60))`, work},
		{doubled + `max(v60) == 1`, work},
		{doubled + `min(1, v60) == 1`, work},
		{doubled + `mean(v60) == 1`, work},
		{doubled + `median(v60) == 1`, work},
		{doubled + `len(uniq(v60))`, work},
		{doubled + `v60 == v59`, work},
		{doubled + `v60 != [v59, v59]`, work},
		{doubled + `[v60] == v60`, work},
		{doubled + `v59 in v60`, work},
		{doubled + `v60 in [v59, v60]`, work},
		{doubled + `len(v60)`, 2},
		{mapped + `len(string(v60))`, work},
		{mapped + `len(toJSON(v60))`, work},
		{`len(reduce(1..60, [#acc, #acc], 0))`, work},
		{`len(reduce(1..60, ({"a": #acc, "b": #acc}), 0))`, work},
		{`len(reduce(1..9999, [#acc], 0))`, work},
		{`len(uniq(1..99999))`, work},
		{`len(uniq(1..4000))`, 4000},
		{`len(1..999999)`, 999999},
		{`1..999999999`, "!memory budget exceeded"},
		{`len(fromJSON(repeat("[", 9999) + repeat("]", 9999)))`, 1},
		{`len(string(fromJSON(repeat("[", 9999) + repeat("]", 9999))))`, nested},
		// Patterns that are made of a line.
		{`line matches fields.pattern`, "!the pattern \"a{999}b{999}c{999}d{999}e{999}\" repeats too much"},
		{`line matches fields.long`, "!a pattern of 2000 bytes: at most 1000 may be made of a line"},
		{`extract(line, fields.pattern)`, "!the pattern \"a{999}b{999}c{999}d{999}e{999}\" repeats too much"},
		// What is within bounds.
		{`count(split(line, ","), # contains "list")`, 1},
		{`len(filter(1..1000, any(1..100, # == 0)))`, 0},
		{`reduce(1..1000, concat(#acc, [#]), [])[999]`, 1000},
		{`toJSON({"a": [1, "b"]})`, "{\n  \"a\": [\n    1,\n    \"b\"\n  ]\n}"},
		{`string([1, "b"])`, "[1 b]"},
		{`uniq([1, 1.0, "a", "a", [1], [1]])[2][0]`, 1},
		{`toBase64("ab")`, "YWI="},
		{`join(split("a-b-c", "-", 2), "+")`, "a+b-c"},
		{`splitAfter("a-b", "-")[0]`, "a-"},
		{`replace("aaa", "a", "b", -1)`, "bbb"},
		{`replace("aaa", "a", "b", 1)`, "baa"},
		{`join(fields.list)`, "!a number where a string is needed"},
		{`max([1, 5], 3)`, 5},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := evaluateOn(t, "json", tt.text, line)
		runtime.ReadMemStats(&after)
		name := tt.text
		if len(name) > 100 {
			name = "…" + name[len(name)-60:]
		}
		const most = 512 << 20
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			t.Errorf("%s: %d MiB were allocated", name, n>>20)
		}
		if want, isError := strings.CutPrefix(asString(tt.want), "!"); isError {
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: got %.100v, %v, want error %q", name, got, err, want)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("%s: got %.100v (%T), %v, want %v (%T)", name, got, got, err, tt.want, tt.want)
		}
	}
}

// Brackets within brackets are a mistake, and not the end of the process.
func TestLongExpressions(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("(", 3_000_000), strings.Repeat("(", program.MaxExpression), strings.Repeat("not ", program.MaxExpression/4), strings.Repeat("[", program.MaxExpression),
		strings.Repeat("any([1],", program.MaxExpression/8), "true" + strings.Repeat(" and true", 11_000), "line" + strings.Repeat(".a", 40_000),
	} {
		var slots program.Slots
		if _, problem := slots.Condition(text); problem == nil || problem.Message == "" {
			t.Errorf("%.20s… of %d characters is taken", text, len(text))
		}
	}
}
