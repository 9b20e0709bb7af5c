package agent

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

var clockStart = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// watchClock shows lines to a clockWatch: each is read at a time and says that
// its event was so long before.
func watchClock(lines []sample) (problems []meter.Problem) {
	w := clockWatch{machine: func() *time.Location { return nil }, timestamps: map[string]*fields.Timestamp{"app": localTimes}}
	for _, line := range lines {
		w.see([]rules.EventTime{{Source: "app", At: line.at.Add(line.offset)}}, line.at)
	}
	return w.problems(clockStart)
}

// localTimes are times that name no zone.
var localTimes = func() *fields.Timestamp {
	layout, _, _ := fields.NewLayout("iso8601")
	return &fields.Timestamp{Layouts: []fields.Layout{layout}, Location: time.UTC}
}()

// The hint names the machine's zone if that explains the difference. Where the log
// names a zone, no location helps.
func TestHintOfTimesOff(t *testing.T) {
	zoned, _, _ := fields.NewLayout("rfc3339")
	moscow := must(time.LoadLocation("Europe/Moscow"))
	for _, test := range []struct {
		machine *time.Location
		stamp   *fields.Timestamp
		off     time.Duration
		hint    string
	}{
		{moscow, localTimes, 3 * time.Hour, "this machine's: `location: Europe/Moscow`"},
		{moscow, &fields.Timestamp{Layouts: localTimes.Layouts, Location: moscow}, -3 * time.Hour, "where it is 09:00 at 09:00 UTC"},
		{moscow, localTimes, -5 * time.Hour, "where it is 04:00 at 09:00 UTC"},
		{nil, localTimes, 3 * time.Hour, "where it is 12:00 at 09:00 UTC"},
		{moscow, &fields.Timestamp{Layouts: []fields.Layout{zoned}, Location: time.UTC}, 3 * time.Hour, "names the zone of its times"},
	} {
		w := clockWatch{machine: func() *time.Location { return test.machine }, timestamps: map[string]*fields.Timestamp{"app": test.stamp}}
		if hint := w.problem("app", test.off, clockStart).Hint; !strings.Contains(hint, test.hint) {
			t.Errorf("%v off, machine in %v: %s; want %s", test.off, test.machine, hint, test.hint)
		}
	}
}

// every makes lines at a pace.
func every(pace time.Duration, n int, offset func(i int) time.Duration) (lines []sample) {
	for i := range n {
		lines = append(lines, sample{clockStart.Add(time.Duration(i) * pace), offset(i)})
	}
	return lines
}

// A zone that is forgotten puts every time off by the same amount.
func TestTimesOff(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	jitter := func(off time.Duration) func(int) time.Duration {
		return func(int) time.Duration { return off - time.Duration(random.Int64N(int64(1500*time.Millisecond))) }
	}
	for _, test := range []struct {
		name          string
		lines         []sample
		message, hint string
	}{
		{"Moscow read as UTC", every(time.Second, 30, jitter(3*time.Hour)), "3h ahead of the clock", "location:"},
		{"New York read as UTC", every(time.Minute, 8, jitter(-5*time.Hour)), "5h behind the clock", "location:"},
		{"India read as UTC", every(10*time.Second, 8, jitter(5*time.Hour+30*time.Minute)), "5h30m ahead", "location:"},
		{"a clock of another machine", every(time.Second, 30, jitter(-17*time.Minute)), "17m behind", "see the clock"},
		{"some lines late", every(time.Second, 200, func(i int) time.Duration {
			if i%15 == 0 {
				return 3*time.Hour - 40*time.Second
			}
			return 3 * time.Hour
		}), "3h ahead", "location:"},
	} {
		found := watchClock(test.lines)
		if len(found) != 1 || found[0].Code != "times_off" || found[0].Subject != "app" ||
			!strings.Contains(found[0].Message, test.message) || !strings.Contains(found[0].Hint, test.hint) {
			t.Errorf("%s: %+v", test.name, found)
		}
	}
}

// Times that differ from the clock by ever other amounts are those of events
// that take long.
func TestTimesThatAreNotOff(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for name, lines := range map[string][]sample{
		"right":         every(time.Second, 100, func(int) time.Duration { return -time.Second }),
		"a little slow": every(time.Second, 100, func(int) time.Duration { return -9 * time.Minute }),
		"jobs that log their start": every(20*time.Second, 500, func(int) time.Duration {
			return -10*time.Minute - time.Duration(random.Int64N(int64(time.Hour)))
		}),
		"short jobs that log their start": every(time.Second, 500, func(int) time.Duration {
			return -15*time.Minute - time.Duration(random.Int64N(int64(5*time.Minute)))
		}),
		"jobs that began together and end one after the other": every(3*time.Second, 60, func(i int) time.Duration {
			return -12*time.Minute - time.Duration(i)*3*time.Second
		}),
		"jobs that end at once": every(0, 100, func(int) time.Duration { return -30 * time.Minute }),
		"a log that is flushed each quarter of an hour": every(15*time.Minute, 40, func(i int) time.Duration {
			return -time.Duration(i*7%15) * time.Minute
		}),
		"too few": every(time.Minute, 4, func(int) time.Duration { return 3 * time.Hour }),
	} {
		if found := watchClock(lines); found != nil {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// The problem ends when the times are right again.
func TestTimesOffEnds(t *testing.T) {
	lines := every(time.Second, 80, func(i int) time.Duration {
		if i < 40 {
			return 3 * time.Hour
		}
		return 0
	})
	if found := watchClock(lines[:40]); len(found) != 1 {
		t.Fatalf("it does not begin: %+v", found)
	}
	if found := watchClock(lines); found != nil {
		t.Errorf("it does not end: %+v", found)
	}
}

// Only what was read of a generation that had been read to its end is fresh.
func TestFreshLines(t *testing.T) {
	var f freshness
	block := func(generation int64, after time.Duration) meter.Block {
		return meter.Block{Generation: generation, ReadAt: clockStart.Add(after)}
	}
	for i, step := range []struct {
		meter.Block
		drained bool
		fresh   bool
	}{
		{block(1, 0), false, false}, // an old file, in two blocks
		{block(1, time.Second), true, false},
		{block(1, 2*time.Second), true, true},
		{block(2, 3*time.Second), false, false}, // another old file
		{block(2, 3*time.Second), true, false},
		{block(2, 4*time.Second), true, true},
		{block(1, 10*time.Minute), true, false}, // nobody had looked for long
		{block(1, 10*time.Minute+time.Second), true, true},
	} {
		if got := f.fresh(step.Block); got != step.fresh {
			t.Errorf("step %d: fresh %v", i, got)
		}
		if step.drained {
			f.drained(step.ReadAt)
		}
	}
}

// history returns how many files and bytes the ledger has as history.
func (s *site) history() (files, bytes int64) {
	s.t.Helper()
	book, err := ledger.OpenReader(filepath.Join(s.dir, "state"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer book.Close()
	for _, a := range must(book.Anomalies(s.t.Context())) {
		if a.Kind == meter.History {
			files, bytes = files+a.Count, bytes+a.Bytes
		}
	}
	return files, bytes
}

// What a source held before its first scan is logged once, with its fate.
func TestHistoryIsSaid(t *testing.T) {
	s := newSite(t, oneRule)
	s.write("old.log", "mail 1 sent\n")
	s.write("empty.log", "")
	s.write("older.log", "mail 2 sent\n")
	s.once()
	s.write("new.log", "mail 3 sent\n") // after the first scan: no history
	s.once()
	if n, bytes := s.history(); n != 2 || bytes != 24 {
		t.Errorf("%d files and %d bytes of history", n, bytes)
	}
	// A pattern that is added brings its own history, but not what is followed already.
	s.configure(strings.Replace(oneRule, "DIR/logs/*.log", "[DIR/logs/*.log, DIR/logs/*]", 1))
	s.write("old.txt", "mail 4 sent\n")
	s.once()
	if n, bytes := s.history(); n != 3 || bytes != 36 {
		t.Errorf("with another pattern %d files and %d bytes of history", n, bytes)
	}
	s.wantBilled(sku, 4)
}
