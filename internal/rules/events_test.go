package rules

import (
	"slices"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
)

// An event of a source without files may hold newlines, and has a range of its own.
func TestMatchEvents(t *testing.T) {
	s := &Set{Interval: time.Minute}
	s.AddSource(&Source{Name: "app", Reader: fields.Reader{Format: "json"}})
	when, problem := s.Condition(`fields.event == "sent"`)
	if problem != nil {
		t.Fatal(problem)
	}
	s.AddRule(&Rule{Rule: meter.Rule{Name: "r", Per: 1}, Sources: []string{"app"}, When: when, Constant: 1})
	texts := []string{"{\"event\":\n\"sent\"}\n", "noise\n", "\"sent\" and no JSON\n", "{\"event\":\"sent\"}\n"}
	block := meter.Block{Sources: []string{"app"}, Start: 100, ReadAt: time.Now()}
	for i, text := range texts {
		block.Data = append(block.Data, text...)
		block.Events = append(block.Events, meter.Event{End: len(block.Data), From: int64(100 + i), To: int64(101 + i)})
	}
	m := NewMatcher(s)
	var got, alien [][2]int64
	m.Unparsed = func(u Unparsed) { alien = append(alien, [2]int64{u.Start, u.End}) }
	m.Each(block, func(h Hit) { got = append(got, [2]int64{h.Start, h.End}) })
	if want := [][2]int64{{100, 101}, {103, 104}}; !slices.Equal(got, want) {
		t.Errorf("hits at %v, want %v", got, want)
	}
	if want := [][2]int64{{102, 103}}; !slices.Equal(alien, want) {
		t.Errorf("not parsed at %v, want %v", alien, want)
	}
}
