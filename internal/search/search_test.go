package search

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
				t.Fatalf("seed %d: the next literal is said to be at %d of %q", seed, at, data)
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
