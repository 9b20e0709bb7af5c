package silence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// An application says with a rule's event when it happens; happens is asked
// once a minute.
type application struct {
	name    string
	happens func(at time.Time, random *rand.Rand) bool
	bytes   func(at time.Time) int // written in this minute, matching or not
}

func chatty(time.Time) int { return 200 << 10 }

func office(at time.Time) bool {
	d := at.Weekday()
	return d != time.Saturday && d != time.Sunday && at.Hour() >= 9 && at.Hour() < 18
}

// applications are ordinary logs.
var applications = []application{
	{"a shop that sells day and night", func(at time.Time, r *rand.Rand) bool { return r.Float64() < 0.3 }, chatty},
	{"a seldom event", func(at time.Time, r *rand.Rand) bool { return r.Float64() < 1.0/90 }, chatty},
	{"an office with nights and weekends, and health checks that never rest", func(at time.Time, r *rand.Rand) bool {
		return office(at) && r.Float64() < 0.2
	}, chatty},
	{"an office whose log rests with it", func(at time.Time, r *rand.Rand) bool { return office(at) && r.Float64() < 0.2 }, func(at time.Time) int {
		if office(at) {
			return 1 << 20
		}
		return 100
	}},
	{"a job each night", func(at time.Time, _ *rand.Rand) bool { return at.Hour() == 2 && at.Minute() < 20 }, chatty},
	{"a job each hour", func(at time.Time, _ *rand.Rand) bool { return at.Minute() == 7 }, chatty},
	{"bursts of two hours, three times a day", func(at time.Time, r *rand.Rand) bool {
		return at.Hour()%8 < 2 && r.Float64() < 0.9
	}, func(at time.Time) int {
		if at.Hour()%8 < 2 {
			return 20 << 20
		}
		return 50 << 10
	}},
	{"a nightly burst of lines that nobody bills", func(at time.Time, r *rand.Rand) bool { return r.Float64() < 0.1 }, func(at time.Time) int {
		if at.Hour() == 3 {
			return 200 << 20
		}
		return 10 << 10
	}},
}

// smallApplications are ordinary logs of small products, of some kilobytes a day.
var smallApplications = []application{
	{"a hundred lines in office hours, and a heartbeat", func(at time.Time, r *rand.Rand) bool { return office(at) && r.Float64() < 0.1 }, heartbeat},
	{"a hundred lines a day and night", func(at time.Time, r *rand.Rand) bool { return r.Float64() < 0.07 }, heartbeat},
	{"ten sales a day", func(at time.Time, r *rand.Rand) bool { return r.Float64() < 10.0/1440 }, heartbeat},
	{"a report each night", func(at time.Time, _ *rand.Rand) bool { return at.Hour() == 2 && at.Minute() == 5 }, heartbeat},
	{"a report each Monday", func(at time.Time, _ *rand.Rand) bool {
		return at.Weekday() == time.Monday && at.Hour() == 8 && at.Minute() == 5
	}, heartbeat},
	{"a log that rests with its users", func(at time.Time, r *rand.Rand) bool { return office(at) && r.Float64() < 0.1 }, func(at time.Time) int {
		if office(at) {
			return 20
		}
		return 0
	}},
}

// heartbeat is a line every five minutes.
func heartbeat(at time.Time) int {
	if at.Minute()%5 == 0 {
		return 100
	}
	return 0
}

// monday is a midnight in UTC.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// live lets days pass, minute by minute, with a restart each night. It returns
// the first problem or note that has one of the codes, and when it was noticed.
func live(a application, zone *time.Location, from time.Time, days int, broken time.Time, codes string, random *rand.Rand) (first meter.Problem, at time.Time) {
	rules := []Rule{{"sold", []string{"app"}}}
	w := New(rules, nil, from)
	for now := from; now.Before(from.Add(time.Duration(days) * day)); now = now.Add(time.Minute) {
		if now.Hour() == 4 && now.Minute() == 30 {
			w = New(rules, w.Activities(), now)
		}
		w.Tick(now)
		w.Read([]string{"app"}, a.bytes(now.In(zone)))
		if a.happens(now.In(zone), random) && (broken.IsZero() || now.Before(broken)) {
			w.Matched("sold", now)
		}
		for _, p := range Problems(w.Activities(), now) {
			if strings.Contains(codes, p.Code) {
				return p, now
			}
		}
	}
	return meter.Problem{}, time.Time{}
}

// In weeks of ordinary logs no rule is silent, on whatever day they begin and in
// whatever zone people rest.
func TestOrdinaryWeeksAreNoAlarm(t *testing.T) {
	zones := []*time.Location{time.UTC, time.FixedZone("east", 9*3600), time.FixedZone("west", -8*3600)}
	for _, a := range slices.Concat(applications, smallApplications) {
		for begin := range 7 {
			for seed, zone := range zones {
				if seed > 0 && begin%3 > 0 { // so the test stays short
					continue
				}
				random := rand.New(rand.NewPCG(uint64(begin), uint64(seed)))
				if p, at := live(a, zone, monday.AddDate(0, 0, begin).Add(11*time.Hour), 21, time.Time{}, Silent+Quiet, random); p.Code != "" {
					t.Errorf("%s, begun on day %d, in zone %v: at %v: %s", a.name, begin, zone, at, p.Message)
				}
			}
		}
	}
}

// A product whose log changes at midnight is seen: after three times the longest
// earlier rest.
func TestChangedFormatIsSeen(t *testing.T) {
	within := map[string]time.Duration{ // after two weeks
		applications[0].name: 3 * time.Hour,
		applications[1].name: 3 * day,
		applications[2].name: 9 * day,
		applications[4].name: 3 * day,
		applications[5].name: 4 * time.Hour,
		applications[6].name: 2 * day,
		applications[7].name: 10 * day, // until three nights have brought as much as the longest stretch
	}
	for _, a := range applications {
		most, checked := within[a.name]
		if !checked {
			continue
		}
		broken := monday.AddDate(0, 0, 17)
		p, at := live(a, time.UTC, monday, 40, broken, Silent, rand.New(rand.NewPCG(1, 2)))
		if p.Code != Silent || p.Subject != "sold" || p.Hint == "" {
			t.Errorf("%s: the silence is not seen: %+v", a.name, p)
		} else if after := at.Sub(broken); after > most || after < time.Hour-time.Minute {
			t.Errorf("%s: the silence is seen after %v, want within %v", a.name, after, most)
		}
	}
}

// A small log never brings what an alarm needs. A note says that its rule is quiet.
func TestChangedFormatOfASmallLogIsNoted(t *testing.T) {
	within := map[string]time.Duration{ // after two weeks
		smallApplications[0].name: 9 * day, // three weekends
		smallApplications[1].name: 2 * day,
		smallApplications[2].name: 2 * day,
		smallApplications[3].name: 4 * day,
		smallApplications[4].name: 22 * day,
		smallApplications[5].name: 9 * day,
	}
	for _, a := range smallApplications {
		broken := monday.AddDate(0, 0, 17)
		p, at := live(a, time.UTC, monday, 60, broken, Silent+Quiet, rand.New(rand.NewPCG(1, 2)))
		if after := at.Sub(broken); p.Code != Quiet || !p.Note() || p.Hint == "" || after > within[a.name] {
			t.Errorf("%s: %+v after %v, want a note within %v", a.name, p, after, within[a.name])
		}
	}
}

// A product that goes on in another file is noted, too: its source brings nothing.
func TestMovedLogIsNoted(t *testing.T) {
	broken := monday.AddDate(0, 0, 17)
	shop := applications[0]
	moved := application{shop.name, shop.happens, func(at time.Time) int {
		if at.Before(broken) {
			return chatty(at)
		}
		return 0
	}}
	p, at := live(moved, time.UTC, monday, 40, broken, Silent+Quiet, rand.New(rand.NewPCG(1, 2)))
	if after := at.Sub(broken); p.Code != Quiet || after > day+time.Hour || !strings.Contains(p.Hint, "path:") {
		t.Errorf("%+v after %v, want a note within a day", p, after)
	}
}

// In its first week a rule is silent after a day.
func TestShortPast(t *testing.T) {
	broken := monday.AddDate(0, 0, 1)
	p, at := live(applications[0], time.UTC, monday, 7, broken, Silent, rand.New(rand.NewPCG(1, 2)))
	if after := at.Sub(broken); p.Code != Silent || after < day-time.Hour || after > day+time.Hour {
		t.Errorf("%q after %v, want a day", p.Code, after)
	}
}

// Both measures count: a log that nobody writes is not silent, nor is one that
// is written all at once.
func TestSilenceNeedsBytesAndTime(t *testing.T) {
	a := meter.Activity{Rule: "r", FirstMatch: monday.AddDate(0, 0, -20), LastMatch: monday,
		Longest: []meter.LongestOver{{Day: monday, Stretch: meter.Stretch{Bytes: 10 << 20, Time: 2 * time.Hour}}}}
	for _, test := range []struct {
		silence meter.Stretch
		silent  bool
	}{
		{meter.Stretch{Bytes: 31 << 20, Time: 7 * time.Hour}, true},
		{meter.Stretch{Bytes: 29 << 20, Time: 7 * time.Hour}, false},
		{meter.Stretch{Bytes: 1 << 40, Time: 5 * time.Hour}, false},
		{meter.Stretch{Bytes: 31 << 20, Time: 6 * time.Hour}, false},
	} {
		a.Silence = test.silence
		if got := len(Problems([]meter.Activity{a}, monday.Add(7*time.Hour))) == 1; got != test.silent {
			t.Errorf("%+v: silent %v, want %v", test.silence, got, test.silent)
		}
	}
	a.Longest = nil // the past is forgotten: an hour and a mebibyte are left
	a.Silence = meter.Stretch{Bytes: 1<<20 + 1, Time: time.Hour + 1}
	if len(Problems([]meter.Activity{a}, monday.Add(2*time.Hour))) != 1 {
		t.Error("the least silence is 0")
	}
}

func TestOldSilencesAreForgotten(t *testing.T) {
	w := New([]Rule{{"r", []string{"s"}}}, nil, monday)
	at := monday
	for n := range 40 {
		at = monday.AddDate(0, 0, n)
		w.Tick(at)
		w.Read([]string{"s"}, 100-n)
		w.Matched("r", at)
	}
	a := w.Activities()[0]
	if len(a.Longest) > 16 {
		t.Errorf("%d days are kept", len(a.Longest))
	}
	if got, want := usual(a, at).Bytes, int64(100-40+1+15); got != want {
		t.Errorf("the longest silence has %d bytes, want %d", got, want)
	}
}

func TestNeverMatched(t *testing.T) {
	w := New([]Rule{{"r", []string{"a", "b"}}, {"other", []string{"c"}}}, nil, monday)
	for n := range 11 {
		w.Tick(monday.Add(time.Duration(n) * time.Minute))
		w.Read([]string{"a", "c"}, 1<<19)
		w.Read([]string{"b"}, 1<<19)
	}
	found := Problems(w.Activities(), monday)
	if len(found) != 1 || found[0].Code != NeverMatched || found[0].Subject != "r" || !found[0].Note() {
		t.Fatalf("%+v", found)
	}
	w.Matched("r", monday.Add(time.Hour))
	if found = Problems(w.Activities(), monday.Add(time.Hour)); len(found) != 0 {
		t.Errorf("after a match: %+v", found)
	}
}

// Time for which nobody watched is no silence.
func TestPausesAreNoSilence(t *testing.T) {
	w := New([]Rule{{"r", []string{"s"}}}, nil, monday)
	w.Matched("r", monday)
	for n := range 5 {
		w.Tick(monday.Add(time.Duration(n) * day))
	}
	if got := w.Activities()[0].Silence.Time; got != 4*longestStep {
		t.Errorf("the silence lasts %v", got)
	}
	w.Tick(monday) // the clock was set back
	if got := w.Activities()[0].Silence.Time; got != 4*longestStep {
		t.Errorf("the silence lasts %v after the clock was set back", got)
	}
}

func ExampleProblems() {
	a := meter.Activity{Rule: "emails", FirstMatch: monday, LastMatch: monday.AddDate(0, 0, 9), Silence: meter.Stretch{Bytes: 7 << 20, Time: 31 * time.Hour},
		Longest: []meter.LongestOver{{Day: monday, Stretch: meter.Stretch{Bytes: 200 << 10, Time: 9 * time.Hour}}}}
	for _, p := range Problems([]meter.Activity{a}, monday.AddDate(0, 0, 11)) {
		fmt.Println(p.Message)
	}
	// Output: the rule emails matched last at 2026-03-11T00:00:00Z and has found nothing since, in 7 MiB and 31 hours of its sources; in the last 14 days its longest silence had 200 KiB and 9 hours
}
