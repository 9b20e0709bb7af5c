package meter

import (
	"testing"
	"time"
)

func TestWindowAt(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, test := range []struct {
		at     string
		length time.Duration
		start  string
	}{
		{"2026-03-14T12:34:56Z", time.Minute, "2026-03-14T12:34:00Z"},
		{"2026-03-14T12:34:00Z", time.Minute, "2026-03-14T12:34:00Z"},
		{"2026-03-14T12:34:59.999999999Z", time.Minute, "2026-03-14T12:34:00Z"},
		{"2026-03-14T12:34:56.7Z", time.Second, "2026-03-14T12:34:56Z"},
		{"2026-03-14T12:34:56Z", 30 * time.Minute, "2026-03-14T12:30:00Z"},
		{"2026-03-14T12:34:56Z", 7 * time.Second, "2026-03-14T12:34:52Z"},
		{"2026-03-14T18:04:56+05:45", time.Minute, "2026-03-14T12:19:00Z"},
		{"2026-03-14T18:04:56+05:45", 30 * time.Minute, "2026-03-14T12:00:00Z"}, // aligned in UTC, not in the zone
		{"1970-01-01T00:00:00Z", time.Minute, "1970-01-01T00:00:00Z"},
		{"1969-12-31T23:59:59Z", time.Minute, "1969-12-31T23:59:00Z"},
		{"1969-12-31T23:59:00Z", time.Minute, "1969-12-31T23:59:00Z"},
		{"1969-12-31T23:58:59.5Z", time.Minute, "1969-12-31T23:58:00Z"},
		{"0001-01-01T00:00:01Z", time.Minute, "0001-01-01T00:00:00Z"},
	} {
		w := WindowAt(at(test.at), test.length)
		if got := w.StartTime().Format(time.RFC3339); got != test.start {
			t.Errorf("the window of %v at %s begins at %s, want %s", test.length, test.at, got, test.start)
		}
		if got := w.EndTime().Sub(w.StartTime()); got != test.length {
			t.Errorf("the window of %v at %s is %v long", test.length, test.at, got)
		}
	}
}

// Windows of a length lie side by side: every instant is in one of them.
func TestWindowsTile(t *testing.T) {
	for _, length := range []time.Duration{time.Second, 7 * time.Second, time.Minute, 30 * time.Minute} {
		before := WindowAt(time.Unix(-4000, 0), length)
		for unix := int64(-4000); unix < 4000; unix++ {
			w := WindowAt(time.Unix(unix, 0), length)
			if unix < w.Start || unix >= w.End || w != before && w.Start != before.End {
				t.Fatalf("%d is put into %v, behind %v", unix, w, before)
			}
			before = w
		}
	}
}
