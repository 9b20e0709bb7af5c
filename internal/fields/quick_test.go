package fields

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The quick reading and package time agree.
func TestQuickLayouts(t *testing.T) {
	quick := 0
	for seed := range uint64(200_000) {
		r := rand.New(rand.NewPCG(seed, 8))
		c := chance{r}
		name := c.of("rfc3339", "iso8601", "02/Jan/2006:15:04:05 -0700", time.DateTime, time.RFC3339Nano)
		layout, problem, _ := NewLayout(name)
		if problem != "" {
			t.Fatal(name, problem)
		}
		format := map[string]string{"rfc3339": time.RFC3339Nano, "iso8601": time.RFC3339Nano, time.DateTime: "2006-01-02 15:04:05.999"}[name]
		if format == "" {
			format = name
		}
		zone := time.FixedZone("", (r.IntN(49)-24)*1800)
		if c.IntN(2) == 0 {
			zone = time.UTC
		}
		at := time.Unix(r.Int64N(253402300800+62135596800)-62135596800, r.Int64N(2)*r.Int64N(1e9)).In(zone)
		if c.IntN(2) == 0 {
			at = time.Date(1990+r.IntN(60), time.Month(1+r.IntN(12)), 1+r.IntN(31), r.IntN(24), r.IntN(60), r.IntN(60), 0, zone)
		}
		text := []byte(at.Format(format))
		for range c.IntN(3) * c.IntN(2) { // and some that are damaged
			text[r.IntN(len(text))] = c.of("0", "9", "3", ":", " ", "-", "Z", "T", "x", "/", "+")[0]
		}
		if c.IntN(20) == 0 {
			text = text[:r.IntN(len(text))]
		}
		got, ok := quickLayouts[name].parse(text, time.UTC)
		if !ok {
			continue
		}
		quick++
		want, known := layout.parse(string(text), time.UTC, readAt)
		if !known || !want.Equal(got) {
			t.Fatalf("seed %d: %s %q: got %v, want %v, %v", seed, name, text, got, want, known)
		}
	}
	if quick < 100_000 {
		t.Errorf("only %d times were read quickly", quick)
	}
}
