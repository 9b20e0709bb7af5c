package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/internal/sender"
)

// season is a machine at some time of the year, with a whole agent: what it
// reads, it counts and delivers. It lives in a bubble of synctest.
type season struct {
	*site
	agent   *Agent
	end     func()
	minutes map[int64]int64 // by minute, since 1970: lines that count
}

// localClock counts the lines of an application that writes local times.
const localClock = `
sources:
  - {path: DIR/logs/app.log, timestamp: {pattern: '^(.+) sent$', TIMESTAMP}}
rules:
  - {name: mails, when: line contains "sent", sku_id: ` + sku + `}
`

// newSeason begins at a time of RFC 3339. timestamp is keys of the source's
// timestamp, or it is the sources and rules.
func newSeason(t *testing.T, dir, begin, timestamp string) *season {
	s := &season{site: &site{t: t, dir: dir, box: sandbox.New(sandbox.Config{AnyToken: true})}, minutes: map[int64]int64{}}
	s.http = s.box.Transport()
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(must(time.Parse(time.RFC3339, begin))))
	s.write("app.log", "")
	s.start(timestamp)
	return s
}

// start starts an agent.
func (s *season) start(timestamp string) {
	s.t.Helper()
	text := timestamp
	if !strings.Contains(text, "sources:") {
		text = strings.Replace(localClock, "TIMESTAMP", timestamp, 1)
	}
	s.configure(text)
	s.config.Interval = time.Minute
	book := must(ledger.Open(s.t.Context(), filepath.Join(s.dir, "state")))
	deliver := must(sender.New(s.delivery()))
	s.agent = must(New(s.t.Context(), Config{Rules: s.config, Ledger: book, Sender: deliver, Log: slog.New(&s.logged), noWatch: true}))
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.agent.Run(ctx)
		s.agent.Close()
		deliver.Close()
		book.Close()
	}()
	s.end = func() { cancel(); <-ended }
	time.Sleep(time.Second)
}

// live has the application write a line a minute, by its own clock.
func (s *season) live(minutes int, clock func(time.Time) string) {
	s.t.Helper()
	for range minutes {
		now := time.Now()
		s.write("app.log", clock(now)+" sent\n")
		if err := os.Chtimes(s.path("app.log"), now, now); err != nil {
			s.t.Fatal(err)
		}
		s.minutes[now.Unix()/60]++
		time.Sleep(time.Minute)
	}
}

// problems returns what the status shows, each with its hint.
func (s *season) problems() (all []string) {
	s.t.Helper()
	subject := monitor.Subject{Dir: filepath.Join(s.dir, "state"), Config: s.config, Health: s.agent.meter.health}
	for _, p := range must(subject.Status(s.t.Context(), time.Now())).Problems {
		all = append(all, p.Code+": "+p.Message+": "+p.Hint)
	}
	return all
}

// wantExact ends the agent and checks that each event is billed, in its own minute.
func (s *season) wantExact() {
	s.t.Helper()
	time.Sleep(2 * time.Minute)
	s.end()
	s.agree()
	for _, r := range s.box.Records() {
		s.minutes[r.Timestamp.Unix()/60] -= r.Quantity
	}
	var wrong []string
	for minute, n := range s.minutes {
		if n != 0 {
			wrong = append(wrong, fmt.Sprintf("%s: %+d", time.Unix(minute*60, 0).UTC().Format(time.TimeOnly), -n))
		}
	}
	if slices.Sort(wrong); len(wrong) > 0 {
		s.t.Errorf("billed in another minute, or not at all: %d minutes, such as %q", len(wrong), wrong[:min(5, len(wrong))])
	}
	if other := s.records(meter.Open, meter.Sealed, meter.Refused, meter.Expired, meter.InDoubt); len(other) > 0 {
		s.t.Errorf("not accepted: %+v", other)
	}
}

// inSeason runs a test in a bubble, with a folder that outlives it.
func inSeason(t *testing.T, name string, test func(t *testing.T, dir string)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		dir := memoryDir(t)
		synctest.Test(t, func(t *testing.T) { test(t, dir) })
	})
}

// writesIn returns an application that writes the time of a place in a layout.
func writesIn(place, layout string) func(time.Time) string {
	location := must(time.LoadLocation(place))
	return func(now time.Time) string { return now.In(location).Format(layout) }
}

const syslogLayout, dateTimeLayout = "Jan _2 15:04:05", "2006-01-02 15:04:05"

// Summer time begins and ends, and a year: every event is billed in its own
// minute, and nothing is reported.
func TestSeasons(t *testing.T) {
	for _, test := range []struct{ name, place, begin, layout string }{
		{"Berlin, autumn", "Europe/Berlin", "2026-10-24T23:30:00Z", dateTimeLayout},
		{"Berlin, autumn, syslog", "Europe/Berlin", "2026-10-24T23:30:00Z", syslogLayout},
		{"Berlin, autumn, iso8601", "Europe/Berlin", "2026-10-24T23:30:00Z", "2006-01-02T15:04:05,000"},
		{"Berlin, spring", "Europe/Berlin", "2027-03-28T00:00:00Z", dateTimeLayout},
		{"Berlin, spring, syslog", "Europe/Berlin", "2027-03-28T00:00:00Z", syslogLayout},
		{"New York, autumn", "America/New_York", "2026-11-01T04:30:00Z", dateTimeLayout},
		{"New York, autumn, syslog", "America/New_York", "2026-11-01T04:30:00Z", syslogLayout},
		{"New York, spring", "America/New_York", "2027-03-14T06:00:00Z", dateTimeLayout},
		{"Lord Howe, autumn", "Australia/Lord_Howe", "2027-04-03T14:00:00Z", dateTimeLayout},
		{"Moscow, New Year, syslog", "Europe/Moscow", "2026-12-31T20:30:00Z", syslogLayout},
		{"UTC, New Year, syslog", "UTC", "2026-12-31T23:30:00Z", syslogLayout},
		{"Tokyo, New Year, syslog", "Asia/Tokyo", "2027-12-31T14:30:00Z", syslogLayout},
		{"leap day, syslog", "Europe/Moscow", "2028-02-28T20:30:00Z", syslogLayout},
		{"leap day over, syslog", "Europe/Moscow", "2028-02-29T20:30:00Z", syslogLayout},
	} {
		inSeason(t, test.name, func(t *testing.T, dir string) {
			layout := test.layout
			if strings.Contains(layout, "T") {
				layout = "iso8601"
			}
			s := newSeason(t, dir, test.begin, fmt.Sprintf("layout: '%s', location: %s", layout, test.place))
			s.live(150, writesIn(test.place, test.layout))
			if found := s.problems(); len(found) > 0 {
				t.Errorf("problems: %q", found)
			}
			s.wantExact()
		})
	}
}

// An application that missed the beginning of summer time writes an hour that its
// place does not have: that hour is billed when it was.
func TestHourThatDoesNotExist(t *testing.T) {
	for _, test := range []struct {
		place, begin string
		offset       int // of the application's clock, in hours
	}{{"Europe/Berlin", "2027-03-28T00:50:00Z", 1}, {"America/New_York", "2027-03-14T06:50:00Z", -5}} {
		inSeason(t, test.place, func(t *testing.T, dir string) {
			s := newSeason(t, dir, test.begin, fmt.Sprintf("layout: '%s', location: %s", dateTimeLayout, test.place))
			winter := time.FixedZone("", test.offset*3600)
			s.live(69, func(now time.Time) string { return now.In(winter).Format(dateTimeLayout) })
			s.wantExact()
		})
	}
}

// A log is read when the year is over: its lines are of the old year.
func TestYearThatIsOver(t *testing.T) {
	inSeason(t, "read late", func(t *testing.T, dir string) {
		s := newSeason(t, dir, "2026-12-31T23:40:00Z", "layout: '"+syslogLayout+"'")
		s.live(10, writesIn("UTC", syslogLayout))
		s.end()
		s.live(15, writesIn("UTC", syslogLayout)) // nobody reads it
		s.start("layout: '" + syslogLayout + "'")
		s.live(10, writesIn("UTC", syslogLayout))
		s.wantExact()
	})
}

// A location that is forgotten is reported, and its hint leads to success.
func TestForgottenLocation(t *testing.T) {
	for _, test := range []struct {
		place, layout, says string
		within              int // minutes
	}{
		{"Europe/Moscow", dateTimeLayout, "3h ahead of the clock", 10},
		{"Europe/Moscow", syslogLayout, "3h ahead of the clock", 10},
		{"America/New_York", dateTimeLayout, "5h behind the clock", 10},
		{"Asia/Kolkata", dateTimeLayout, "5h30m ahead of the clock", 10},
	} {
		inSeason(t, test.place+", "+test.layout, func(t *testing.T, dir string) {
			s := newSeason(t, dir, "2026-12-01T12:00:00Z", "layout: '"+test.layout+"'")
			s.live(test.within, writesIn(test.place, test.layout))
			var off string
			for _, p := range s.problems() {
				if strings.HasPrefix(p, timesOff+":") {
					off = p
				}
			}
			if !strings.Contains(off, test.says) || !strings.Contains(off, "location:") {
				t.Fatalf("problems: %q", s.problems())
			}
			s.end()
			s.start(fmt.Sprintf("layout: '%s', location: %s", test.layout, test.place))
			clear(s.minutes)
			s.live(30, writesIn(test.place, test.layout))
			for _, p := range s.problems() {
				if strings.HasPrefix(p, timesOff+":") {
					t.Errorf("it does not end: %s", p)
				}
			}
		})
	}
}

// A product that writes another format from midnight on is reported within minutes.
// Until then nothing is, and every event is billed.
func TestFormatThatChangesAtMidnight(t *testing.T) {
	inSeason(t, "JSON to text", func(t *testing.T, dir string) {
		s := newSeason(t, dir, "2026-12-01T23:30:00Z", `
sources:
  - {path: DIR/logs/app.log, format: json, timestamp: {field: ts, layout: rfc3339}}
rules:
  - {name: mails, when: 'fields.event == "mail.sent"', sku_id: `+sku+`}
`)
		s.live(30, func(now time.Time) string {
			return now.UTC().Format(`{"event":"mail.sent","ts":"`+time.RFC3339+`","text":"`) + `it was"}` + "\nnothing"
		})
		if found := s.problems(); len(found) > 0 {
			t.Fatalf("before midnight: %q", found)
		}
		billed := maps.Clone(s.minutes)
		s.live(3, func(now time.Time) string { return now.UTC().Format(time.RFC3339) + ` INFO event=mail.sent was` })
		found := s.problems()
		if len(found) != 1 || !strings.HasPrefix(found[0], "not_parsed: ") || !strings.Contains(found[0], ": app: 3 times") || !strings.Contains(found[0], "format:") {
			t.Errorf("after midnight: %q", found)
		}
		s.minutes = billed
		s.wantExact()
	})
}
