package rules

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
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
		clauses := make([]*clause, 1+r.IntN(20))
		longest := 1 + r.IntN(14)
		for i := range clauses {
			clauses[i] = &clause{}
			for range r.IntN(4) {
				literal := bytes.ReplaceAll(random(1+r.IntN(longest)), []byte("\n"), []byte("z"))
				if at := r.IntN(len(data) + 1); r.IntN(2) == 0 {
					literal, _, _ = bytes.Cut(data[at:min(len(data), at+1+r.IntN(longest))], []byte("\n"))
				}
				if len(literal) > 0 {
					clauses[i].literals = append(clauses[i].literals, string(literal))
				}
			}
		}
		s := newSearch(clauses)
		s.begin(data)
		for start := 0; start < len(data); {
			end := lineEnd(data, start)
			line := data[start:end]
			got, want := newRuleSet(len(clauses)), newRuleSet(len(clauses))
			for i, c := range clauses {
				if slices.ContainsFunc(c.literals, func(l string) bool { return bytes.Contains(line, []byte(l)) }) {
					want.add(i)
					found++
				}
			}
			if at := s.next(data); (at < end) == want.empty() {
				t.Fatalf("seed %d: the next literal is said to be at %d of %q", seed, at, data)
			}
			s.take(data, end, got)
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
