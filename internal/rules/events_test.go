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

func journalSet(t *testing.T, when string, more ...string) *Set {
	t.Helper()
	s := &Set{Interval: time.Minute}
	s.AddSource(&Source{Name: "app", Reader: fields.Reader{Format: "text"}, Journal: &Journal{}})
	for _, text := range append([]string{when}, more...) {
		e, problem := s.Condition(text)
		if problem != nil {
			t.Fatal(problem)
		}
		s.AddRule(&Rule{Rule: meter.Rule{Name: text, Per: 1}, Sources: []string{"app"}, When: e, Constant: 1})
	}
	return s
}

// What journalctl printed is an entry, with its own time and fields, and any other
// line is a message.
func TestMatchJournalEntries(t *testing.T) {
	s := journalSet(t, `line contains "sent" and int(entry.PRIORITY ?? "6") <= 6`, `entry._PID in ["12", "13"]`)
	readAt := time.Unix(1_800_000_100, 0)
	lines := `{"__REALTIME_TIMESTAMP":"1800000000000000","_SOURCE_REALTIME_TIMESTAMP":"1799999990000000","MESSAGE":"mail\nsent","PRIORITY":"6","_PID":"12"}
mail sent, without an entry
{"__REALTIME_TIMESTAMP":"1800000000000000","MESSAGE":[115,101,110,116,255],"PRIORITY":"7","_PID":"14"}
{"__REALTIME_TIMESTAMP":"1800009000000000","MESSAGE":"sent ahead","PRIORITY":"5"}
`
	type hit struct {
		rule, line string
		at         int64
		bad        bool
	}
	var got []hit
	NewMatcher(s).Each(meter.Block{Sources: []string{"app"}, Data: []byte(lines), ReadAt: readAt}, func(h Hit) {
		got = append(got, hit{h.Rule.Name[:4], string(h.Line), h.Window.Start, h.TimeErr != nil})
	})
	want := []hit{
		{"line", "mail\nsent", 1799999990 / 60 * 60, false}, {"entr", "mail\nsent", 1799999990 / 60 * 60, false},
		{"line", "mail sent, without an entry", 1800000100 / 60 * 60, false},
		{"line", "sent ahead", 1800000100 / 60 * 60, true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestEntryFields(t *testing.T) {
	names, all := journalSet(t, `entry.PRIORITY == "3"`, `line contains "x" and entry["_PID"] != nil and entry.PRIORITY != "7"`).EntryFields()
	if all || !slices.Equal(names, []string{"PRIORITY", "_PID"}) {
		t.Errorf("%v, %v", names, all)
	}
	for _, when := range []string{`entry[line] == "x"`, `len(entry) > 3`, `get(entry, source) == "x"`} {
		if _, all := journalSet(t, when).EntryFields(); !all {
			t.Errorf("%s may use any field", when)
		}
	}
}
