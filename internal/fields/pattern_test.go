package fields

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is walked, and why the others are not.
func TestSlowPatterns(t *testing.T) {
	for _, tt := range []struct{ pattern, why string }{
		{`^(?P<client>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<method>[A-Z]+) (?P<path>\S+)[^"]*" (?P<status>\d{3}) (?P<bytes>\d+)`, ""},
		{`"(\S+) (\S+) (\S+)" (\d+)`, ""},
		{`^(?P<event>\S+) (?P<n>\d+)(?: (?P<user>.*))?$`, ""},
		{`size=(\d+)`, ""},
		{`(\d*)`, ""},
		{`a.*?b`, ""},
		{`(?i)sent`, "it ignores case"},
		{`sent|event`, ""},
		{`(ab)??`, ""},
		{`^(\d+|-)(?:x|y|(z))$`, ""},
		{`\bsent`, "it looks for the boundary of a word"},
		{`(?m)^a`, "it looks for the beginning or end of a line"},
		{`(ab)+`, "it repeats more than one character of ASCII"},
		{`[а-я]+`, "it tells characters beyond ASCII apart"},
		{`a*^`, "the beginning of the text is not at its beginning"},
		{"\ufffd", "it has the character U+FFFD, which also stands for broken text"},
	} {
		p, err := Compile(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if p.Slow() != tt.why {
			t.Errorf("%s: got %q, want %q", tt.pattern, p.Slow(), tt.why)
		}
	}
}

// chance makes patterns of the form that is walked, and texts that they meet.
type chance struct{ *rand.Rand }

func (c chance) of(list ...string) string { return list[c.IntN(len(list))] }

func (c chance) class() string {
	return c.of(`\S`, `\d`, `\w`, `.`, `[^"]`, `[^\]]`, `[a-c]`, `[^ab]`, `[^\n"]`, `\s`, `\D`, `[a-z0-9é]`, `(?s:.)`, `[^\x00-\x7f]`, `a`, `[ab"]`, `[^ ]`)
}

func (c chance) repeat() string {
	return c.of("", "", "+", "+", "*", "*", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "+?", "*?", "??", "{1,3}?")
}

func (c chance) part(depth int) string {
	switch n := c.IntN(12); {
	case n < 4:
		return regexp.QuoteMeta(c.of("a", " ", `"`, "ab", `" `, "[", "é", "b", "1", "aa", `a"`))
	case n < 9 || depth == 0:
		return c.class() + c.repeat()
	case n < 10:
		return "(?:" + c.sequence(depth-1) + c.of("", "|"+c.sequence(depth-1)) + ")" + c.of("", "?", "??")
	}
	return "(" + c.sequence(depth-1) + c.of("", "", "|"+c.sequence(depth-1), "|-|"+c.sequence(depth-1)) + ")" + c.of("", "", "?", "??")
}

func (c chance) sequence(depth int) string {
	var b strings.Builder
	for range c.IntN(5) {
		b.WriteString(c.part(depth))
	}
	return b.String()
}

func (c chance) pattern() string { return c.of("", "", "^") + c.sequence(3) + c.of("", "", "$") }

func (c chance) text() string {
	var b strings.Builder
	for range c.IntN(14) {
		b.WriteString(c.of("a", "b", "c", "1", " ", `"`, `" `, "[", "]", "é", "\xff", "\xc3", "\xe2\x82", "\n", "\t", "ab", "\xa9", "日", "aaaa", "\x00"))
	}
	return b.String()
}

func checkPattern(t *testing.T, pattern, text string) (walked, found bool) {
	t.Helper()
	p, err := Compile(pattern)
	if err != nil {
		return false, false
	}
	if p.steps == nil {
		return false, false
	}
	got, want := p.Find([]byte(text), nil), p.re.FindStringSubmatchIndex(text)
	if !slices.Equal(got, want) {
		t.Fatalf("%s on %q: got %v, want %v", pattern, text, got, want)
	}
	if p.Match([]byte(text)) != (want != nil) {
		t.Fatalf("%s on %q: Match is wrong", pattern, text)
	}
	return true, want != nil
}

// Steps find in every text what package regexp finds.
func TestStepsEqualRegexp(t *testing.T) {
	walked, found := 0, 0
	for seed := range uint64(30_000) {
		c := chance{rand.New(rand.NewPCG(seed, 5))}
		pattern := c.pattern()
		for range 4 {
			is, has := checkPattern(t, pattern, c.text())
			if is {
				walked++
			}
			if has {
				found++
			}
		}
	}
	if walked < 80_000 || found < 30_000 {
		t.Errorf("only %d walked, and %d found: the cases prove little", walked, found)
	}
}

func FuzzSteps(f *testing.F) {
	f.Add(`^(\S+) "([^"]*)" (\d{3})`, `a "b" 200`)
	f.Add(`(\S+)"(?: (x))?$`, "\xff\" x")
	f.Add(`(.*?)a(b*)`, "éab\xc3")
	f.Fuzz(func(t *testing.T, pattern, text string) { checkPattern(t, pattern, text) })
}

func FuzzStepsBySeed(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		c := chance{rand.New(rand.NewPCG(seed, 6))}
		checkPattern(t, c.pattern(), c.text())
	})
}

// A text cannot make a walk slow: the search is given up, and package regexp
// finds the same.
func TestStepsGiveUp(t *testing.T) {
	for _, pattern := range []string{`a[^b]*b`, `a.*a.*a.*a.*b`, `.*.*.*b`, `[^ ]* [^"]*"`, `x*y`} {
		p, err := Compile(pattern)
		if err != nil || p.steps == nil {
			t.Fatalf("%s: %v, %s", pattern, err, p.Slow())
		}
		gaveUp := false
		for _, text := range []string{strings.Repeat("a", 5000), strings.Repeat("a ", 5000), strings.Repeat("x", 5000)} {
			_, known := p.steps.find([]byte(text), slices.Clone(p.none))
			gaveUp = gaveUp || !known
			checkPattern(t, pattern, text)
		}
		if !gaveUp {
			t.Errorf("%s is never given up", pattern)
		}
	}
}

func BenchmarkPattern(b *testing.B) {
	line := []byte(`10.12.200.7 - - [01/Jan/2026:00:00:17 +0000] "GET /static/abcdefghi.js HTTP/1.1" 200 483922 "-" "Mozilla/5.0 (X11; Linux x86_64) abcdefghijkl mnopqrst uvwxyz"`)
	for i, pattern := range []string{
		`^(?P<addr>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d+) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"`,
		`^(\S+) \S+ \S+ \[([^\]]+)\] "(\S+) (\S+) (\S+)" (\d{3}) (\d+)`,
		`" (\d+) (\d+)`,
	} {
		p, err := Compile(pattern)
		if err != nil || p.steps == nil || p.Find(line, nil) == nil {
			b.Fatal(pattern, err)
		}
		b.Run(fmt.Sprint(i), func(b *testing.B) {
			buffer := make([]int, 0, 40)
			for b.Loop() {
				p.Find(line, buffer)
			}
		})
	}
}
