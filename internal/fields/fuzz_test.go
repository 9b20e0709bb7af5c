package fields

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"
)

func FuzzLogfmt(f *testing.F) {
	for _, line := range []string{`a=1 b="x y" c`, `a="\u0041\ud83d\ude00\n`, `=`, `a==b`, `"`, "\x00=\xff"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		checkLogfmt(t, line)
		found := (Reader{Format: "logfmt"}).Map([]byte(line))
		for key := range found {
			if key == "" {
				t.Fatalf("an empty key in %q", line)
			}
		}
	})
}

// DecodeJSON agrees with encoding/json, except that it keeps whole numbers.
func FuzzJSON(f *testing.F) {
	for _, text := range jsonSeeds {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := DecodeJSON([]byte(text))
		var want any
		wantErr := json.Unmarshal([]byte(text), &want)
		var tooLarge *json.UnmarshalTypeError // 1e999, which is infinite here
		if errors.As(wantErr, &tooLarge) {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, and encoding/json says %v", text, err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(floats(got), want) {
			t.Fatalf("%q: %#v, and encoding/json says %#v", text, got, want)
		}
	})
}

var jsonSeeds = []string{
	`{"a":1,"b":[true,false,null],"c":{"d":"x\n\u00e9\ud83d\ude00\ud83d"}}`, `{"a":1,"a":{"b":2},"a":[3]}`,
	`[1,-0,0.5,1e3,-1E-2,9223372036854775807,9223372036854775808,123456789012345678901234567890]`,
	`{"\u0061":"\"\\\/\b\f\n\r\t"}`, "{\"a\":\"\xff\xc3\"}", `{"a":01}`, `{"a":1,}`, `{,}`, `[1 2]`, ` {} `, `{}x`, "{\"a\":\"\n\"}", `"\ud800\u0041"`,
	`1.`, `-`, `.5`, `1e`, `+1`, `nul`, `truefalse`, ``, `""`, `{"a"}`, `{"a":}`, `{a:1}`, `"\x"`, `"\u12"`, "\ufeff{}", `[[[[]]]]`,
	"{\"a\":\"in the\tmiddle of a word\"}", `{"a":"in the\\tmiddle of a word"}`, "{\"a\":\"in the\x80middle of a word\"}",
}

// floats returns a decoded value with its whole numbers as encoding/json has them.
func floats(v any) any {
	switch v := v.(type) {
	case int:
		return float64(v)
	case map[string]any:
		for key, value := range v {
			v[key] = floats(value)
		}
	case []any:
		for i, value := range v {
			v[i] = floats(value)
		}
	}
	return v
}

// readAt is when the lines are read.
var readAt = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)

func FuzzTimestamp(f *testing.F) {
	f.Add("2026-03-01T12:00:00Z", "Mar  1 15:00:00")
	f.Add("1772366400", "Feb 29 00:00:00")
	f.Add("1772366400.999999", "Dec 31 23:59:59")
	f.Add("99999999999999999999", "")
	f.Add("2026-03-01 12:00:00,5 +0300", "1772366400123456789")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range append([]string{"Jan _2 15:04:05"}, LayoutNames...) {
			layout, problem, _ := NewLayout(name)
			if problem != "" {
				t.Fatal(name, problem)
			}
			stamp := Timestamp{Layouts: []Layout{layout}, Location: time.UTC}
			for _, text := range []string{a, b} {
				at, err := stamp.Read(text, readAt)
				if err == nil && (at.Unix() < 0 || at.Sub(readAt) > MaxAhead) {
					t.Fatalf("%s %q: %v", name, text, at)
				}
			}
		}
	})
}
