package ledger

import (
	"math/rand/v2"
	"testing"
)

// A filter has every key that it got, and takes few others for them.
func TestKeyFilter(t *testing.T) {
	var filters keyFilters
	random := rand.New(rand.NewPCG(1, 2))
	filters.begin(7)
	added := make([]row, 100_000)
	for i := range added {
		added[i].word = random.Uint64()
		filters.add(7, added[i:i+1])
	}
	if found := filters.perhaps(7, added, nil); len(found) != len(added) {
		t.Errorf("of %d keys it has %d", len(added), len(found))
	}
	others := make([]row, 100_000)
	for i := range others {
		others[i].word = random.Uint64()
	}
	if found := filters.perhaps(7, others, nil); len(found) > len(others)/20 {
		t.Errorf("of %d other keys it takes %d for its own", len(others), len(found))
	}
	if found := filters.perhaps(8, others, nil); len(found) != len(others) {
		t.Errorf("of %d keys of a stretch that it does not know, it passes %d", len(others), len(found))
	}
	if want := 3 << 17; filters.bytes > want {
		t.Errorf("it takes %d bytes, want at most %d", filters.bytes, want)
	}
}

// Filters that are too large are dropped. Then every key may be there.
func TestKeyFiltersAreBounded(t *testing.T) {
	var filters keyFilters
	rows := []row{{word: 1}}
	stretch := int64(0)
	for ; stretch == 0 || filters.bytes > 0; stretch++ {
		filters.begin(stretch)
		filters.add(stretch, rows)
		if filters.bytes > mostFilterBytes {
			t.Fatalf("the filters take %d bytes", filters.bytes)
		}
	}
	if found := filters.perhaps(0, []row{{word: 2}}, nil); len(found) != 1 {
		t.Error("a key of a dropped filter is not looked up")
	}
}
