package search

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The search finds in every line exactly the literals that bytes.Contains
// finds, whatever their lengths, wherever they stand.
func TestSearch(t *testing.T) {
	found := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		letters := []byte("abcdefghijklmnop\n")[:2+r.IntN(15)]
		random := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = letters[r.IntN(len(letters))]
			}
			return b
		}
		data := random(r.IntN(300))
		clauses := make([]*Clause, 1+r.IntN(20))
		longest := 1 + r.IntN(14)
		for i := range clauses {
			clauses[i] = &Clause{}
			for range r.IntN(4) {
				literal := bytes.ReplaceAll(random(1+r.IntN(longest)), []byte("\n"), []byte("z"))
				if at := r.IntN(len(data) + 1); r.IntN(2) == 0 {
					literal, _, _ = bytes.Cut(data[at:min(len(data), at+1+r.IntN(longest))], []byte("\n"))
				}
				if len(literal) > 0 {
					clauses[i].Literals = append(clauses[i].Literals, string(literal))
				}
			}
		}
		s := New(clauses)
		s.Begin(data)
		for start := 0; start < len(data); {
			end := len(data)
			if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
				end = start + i + 1
			}
			line := data[start:end]
			got, want := NewSet(len(clauses)), NewSet(len(clauses))
			for i, c := range clauses {
				if slices.ContainsFunc(c.Literals, func(l string) bool { return bytes.Contains(line, []byte(l)) }) {
					want.Add(i)
					found++
				}
			}
			if at := s.Next(data); (at < end) == want.Empty() {
				t.Fatalf("seed %d: the next literal should be at %d of %q", seed, at, data)
			}
			s.Take(data, end, got)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("seed %d: %q has %x, want %x of %v", seed, line, got, want, clauses)
			}
			start = end
		}
	}
	if found < 10000 {
		t.Errorf("only %d literals found: the cases prove little", found)
	}
}

// Words and names are found where a regular expression finds them, alone and among
// many.
func TestSearchOfWordsAndNames(t *testing.T) {
	const word = `[0-9A-Za-z_]`
	found := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 4))
		letters := []byte("abcde_-.: =\"'{1\n")[:4+r.IntN(13)]
		random := func(n int) string {
			b := make([]byte, n)
			for i := range b {
				b[i] = letters[r.IntN(len(letters))]
			}
			return string(b)
		}
		data := []byte(random(r.IntN(400)))
		clauses, patterns := make([]*Clause, 1+r.IntN(12)), make([]*regexp.Regexp, 0, 12)
		for i := range clauses {
			text := strings.Trim("a"+random(r.IntN(9)), "\n\"")
			if at := bytes.IndexAny(data, "abcde"); at >= 0 && r.IntN(4) > 0 {
				at += r.IntN(len(data) - at)
				text = "a" + string(data[at:min(len(data), at+r.IntN(3))])
			}
			text, _, _ = strings.Cut(text, "\n")
			clauses[i] = &Clause{Words: []string{text}}
			pattern := "(?:^|[^0-9A-Za-z_])" + regexp.QuoteMeta(text)
			behind := ""
			if regexp.MustCompile(word + "$").MatchString(text) {
				behind = "(?:$|[^0-9A-Za-z_])"
			}
			if r.IntN(2) == 0 {
				clauses[i] = &Clause{Names: []string{text}}
				behind = `\\?["']?[ \t\r]*[:=]`
			}
			patterns = append(patterns, regexp.MustCompile(pattern+behind))
		}
		s := New(clauses)
		s.Begin(data)
		for start := 0; start < len(data); {
			end := len(data)
			if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
				end = start + i + 1
			}
			got, want := NewSet(len(clauses)), NewSet(len(clauses))
			for i, p := range patterns {
				if p.Match(bytes.TrimSuffix(data[start:end], []byte("\n"))) {
					want.Add(i)
					found++
				}
			}
			s.Take(data, end, got)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("seed %d: %q has %x, want %x of %v", seed, data[start:end], got, want, patterns)
			}
			start = end
		}
	}
	if found < 3000 {
		t.Errorf("only %d words and names found: the cases prove little", found)
	}
}

// A literal is found where bytes.Index finds it, however common its rarest byte is.
func TestLiteral(t *testing.T) {
	found := 0
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 4))
		letters := []byte("ab\"=e")[:1+r.IntN(5)]
		random := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = letters[r.IntN(len(letters))]
			}
			return b
		}
		text, literal := random(r.IntN(200)), random(r.IntN(8))
		got, want := NewLiteral(string(literal)).Index(text), bytes.Index(text, literal)
		if got != want {
			t.Fatalf("seed %d: %q is said to be at %d of %q, and is at %d", seed, literal, got, text, want)
		}
		if want > 0 {
			found++
		}
	}
	if found < 1000 {
		t.Errorf("only %d literals found behind the beginning: the cases prove little", found)
	}
}
