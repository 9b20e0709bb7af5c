package fields

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// plainLogfmt reads a line byte by byte.
func plainLogfmt(line string) map[string]string {
	pairs := map[string]string{}
	for i := 0; i < len(line); {
		if line[i] <= ' ' {
			i++
			continue
		}
		start := i
		for i < len(line) && line[i] > ' ' && line[i] != '=' {
			i++
		}
		key, value := line[start:i], ""
		if i == len(line) || line[i] != '=' {
			pairs[key] = ""
			continue
		}
		i++
		if i < len(line) && line[i] == '"' {
			i++
			from, escaped := i, false
			for i < len(line) && line[i] != '"' {
				if line[i] == '\\' {
					escaped = true
					i++
				}
				i++
			}
			value = line[from:min(i, len(line))]
			if escaped {
				value = string(unescape(nil, []byte(value)))
			}
			i = min(i+1, len(line))
		} else {
			from := i
			for i < len(line) && line[i] > ' ' {
				i++
			}
			value = line[from:i]
		}
		if key != "" {
			pairs[key] = value
		}
	}
	return pairs
}

func checkLogfmt(t *testing.T, line string) {
	t.Helper()
	got := map[string]string{}
	for key, value := range (Reader{Format: "logfmt"}).Map([]byte(line)) {
		got[key] = value.(string)
	}
	if want := plainLogfmt(line); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: got %q, want %q", line, got, want)
	}
}

func TestLogfmt(t *testing.T) {
	for seed := range uint64(20_000) {
		c := chance{rand.New(rand.NewPCG(seed, 7))}
		var b strings.Builder
		for range c.IntN(14) {
			b.WriteString(c.of("a", "key", "=", "=", `"`, `"`, `\`, " ", "\t", "longer-than-a-word", "é", "\xff", "\x00", "\x1f", "!", "x y", `\"`, `\u0041`))
		}
		checkLogfmt(t, b.String())
	}
}
