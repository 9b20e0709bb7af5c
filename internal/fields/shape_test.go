package fields

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// shapePaths are what the tests of shapes ask for.
var shapePaths = []string{"a", "b", "a.b", "c[0]", "c[1].a", "b.b", `["a b"]`, "d"}

func shapeTree(t testing.TB) *Tree {
	tree := NewTree()
	for slot, text := range shapePaths {
		path, ok := ParsePath(text)
		if !ok {
			t.Fatal(text)
		}
		tree.Add(path, slot)
	}
	return tree
}

// checkShapes reads lines with one finder that learns each of them. It reads each
// line with a new finder as well. It returns how many lines had a known shape.
func checkShapes(t testing.TB, format string, lines []string) (known int) {
	t.Helper()
	learned := Reader{Format: format}.Finder(shapeTree(t))
	for _, line := range lines {
		got, want := make([]Span, len(shapePaths)), make([]Span, len(shapePaths))
		unknown := learned.shapes.seen
		learned.shapes.seen = 0
		ok := learned.Find([]byte(line), got)
		if ok && learned.shapes.seen == 0 {
			known++
		}
		learned.shapes.seen = unknown
		if wantOK := (Reader{Format: format}.Finder(shapeTree(t))).Find([]byte(line), want); ok != wantOK || !slices.Equal(got, want) {
			t.Fatalf("%s %q after %q:\ngot  %v %v\nwant %v %v", format, line, lines, ok, got, wantOK, want)
		}
		var object map[string]json.RawMessage
		if valid := json.Unmarshal([]byte(line), &object) == nil && object != nil; format == "json" && ok != valid {
			t.Fatalf("%q: %v, and encoding/json says %v", line, ok, valid)
		}
	}
	return known
}

func FuzzShapes(f *testing.F) {
	f.Add(`{"a":1,"b":"x"}` + "\n" + `{"a":"y","b":2.5e3}` + "\n" + `{"a":1,"a":{"b":null},"c":[1,{"a":true}]}`)
	f.Add(`{"a":[]}` + "\n" + `{"a":1}` + "\n" + `{"a":01}` + "\n" + `{"a":"}` + "\n" + `{"\u0061":1} `)
	f.Add(`a=1 b="x y" c d=` + "\n" + `a="" b=2 c d="` + "\n" + `a="x"b=1` + "\n" + `="x" a`)
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		lines = append(lines, lines...)
		checkShapes(t, "json", lines)
		checkShapes(t, "logfmt", lines)
	})
}

// randomJSON writes a value with keys that the tests ask for; at depth 3, an object.
func (c chance) randomJSON(depth int) string {
	space := c.of("", "", "", " ")
	if depth == 0 || depth < 3 && c.IntN(3) > 0 {
		return c.of("1", "-0", "12345678901", "0.5", "1e9", "true", "false", "null", `""`, `"x"`, `"a longer text than a word"`, `"\n"`, `"é"`, "\"\xff\"") + space
	}
	var parts []string
	open, end := "[", "]"
	list := depth < 3 && c.IntN(3) == 0
	for range c.IntN(4) {
		part := c.randomJSON(depth - 1)
		if !list {
			part = c.of(`"a"`, `"b"`, `"c"`, `"d"`, `"a b"`, `"\u0061"`, `"other"`) + ":" + space + part
		}
		parts = append(parts, part)
	}
	if !list {
		open, end = "{", "}"
	}
	return open + space + strings.Join(parts, ","+space) + end
}

func TestShapes(t *testing.T) {
	known, lines := map[string]int{}, 0
	for seed := range uint64(3000) {
		c := chance{rand.New(rand.NewPCG(seed, 11))}
		var ofJSON, ofLogfmt []string
		for range 8 {
			var pairs strings.Builder
			for range c.IntN(5) {
				pairs.WriteString(c.of("a", "b", "d", "x", "") + c.of("=1", "=", `="x y"`, `="\""`, `="`, "", `="x"b=2`) + c.of(" ", " ", "  ", ""))
			}
			ofJSON = append(ofJSON, c.damaged(c.randomJSON(3)))
			ofLogfmt = append(ofLogfmt, c.damaged(pairs.String()))
		}
		for format, some := range map[string][]string{"json": ofJSON, "logfmt": ofLogfmt} {
			for range 16 {
				some = append(some, some[c.IntN(8)])
			}
			known[format] += checkShapes(t, format, some)
		}
		lines += 24
	}
	for format, n := range known {
		if n < lines/3 {
			t.Errorf("%s: only %d of %d lines had a known shape", format, n, lines)
		}
	}
}

// damaged returns the line, and now and then replaces or removes one byte.
func (c chance) damaged(line string) string {
	if line == "" || c.IntN(8) > 0 {
		return line
	}
	at := c.IntN(len(line))
	return line[:at] + c.of("", " ", `"`, "}", ",", "0") + line[at+1:]
}
