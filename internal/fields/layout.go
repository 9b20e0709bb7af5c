package fields

import (
	"regexp"
	"strings"
	"time"
)

// Layout is one way to write a time.
type Layout struct {
	Text    string // rfc3339, iso8601, unix, unix_ms, unix_us, unix_ns or a Go layout
	units   int64  // of the layouts that count since 1970: how many make a second; 0 of the others
	noYear  bool   // a Go layout without a year
	hasZone bool   // a time in this layout names its zone
	quick   quickLayout
}

// LayoutNames are the layouts that have a name.
var LayoutNames = []string{"rfc3339", "iso8601", "unix", "unix_ms", "unix_us", "unix_ns"}

var unixUnits = map[string]int64{"unix": 1, "unix_ms": 1e3, "unix_us": 1e6, "unix_ns": 1e9}

// NewLayout returns the layout that a text names. Otherwise problem says what is
// wrong with it, as the end of a sentence that begins with the layout, and hint
// what to write; either may be empty.
func NewLayout(text string) (l Layout, problem, hint string) {
	l = Layout{Text: text, units: unixUnits[text], quick: quickLayouts[text]}
	switch {
	case l.units > 0 || text == "iso8601":
		return l, "", ""
	case text == "rfc3339":
		l.hasZone = true
		return l, "", ""
	}
	var missing string
	if l.noYear, l.hasZone, missing = tells(text); missing != "" {
		return l, "does not tell " + missing, ""
	}
	if digits := meaningless(text); digits != "" {
		return l, "can match no time, because " + digits + " in it means nothing", "write the time 2006-01-02 15:04:05.000 -0700 the way the log would"
	}
	for _, probe := range probes {
		at, ok := l.parse(probe.Format(text), time.UTC, probe)
		if !ok {
			return l, "can match no time: " + probe.Format(text) + " is written in it and cannot be read", ""
		}
		if at.Hour() != probe.Hour() {
			return l, "does not tell morning from afternoon", "write 15 for the hour, or add PM"
		}
		if !at.Truncate(time.Minute).Equal(probe.Truncate(time.Minute)) {
			return l, "reads " + probe.Format(text) + " as another time", ""
		}
	}
	return l, "", ""
}

// probes are times that a layout must be able to write and read again.
var probes = []time.Time{
	time.Date(2024, 2, 29, 0, 5, 9, 0, time.UTC),
	time.Date(2026, 11, 17, 20, 34, 58, 0, time.UTC),
	time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC),
}

// tells reports what a Go layout holds of a time.
func tells(layout string) (noYear, hasZone bool, missing string) {
	// Two Mondays that differ in one part alone.
	base := time.Date(2001, 2, 5, 3, 4, 5, 0, time.UTC)
	differs := func(other time.Time) bool { return base.Format(layout) != other.Format(layout) }
	switch {
	case !differs(time.Date(2009, 11, 17, 20, 34, 58, 651387237, time.UTC)):
		return false, false, "any time"
	case !differs(time.Date(2001, 3, 5, 3, 4, 5, 0, time.UTC)) || !differs(time.Date(2001, 2, 12, 3, 4, 5, 0, time.UTC)):
		return false, false, "the day"
	case !differs(time.Date(2001, 2, 5, 5, 4, 5, 0, time.UTC)):
		return false, false, "the hour"
	case !differs(time.Date(2001, 2, 5, 3, 14, 5, 0, time.UTC)):
		return false, false, "the minute"
	}
	elsewhere := time.Date(2001, 2, 5, 3, 4, 5, 0, time.FixedZone("XST", 3600))
	return !differs(time.Date(2007, 2, 5, 3, 4, 5, 0, time.UTC)), differs(elsewhere), ""
}

// element is a part of a Go layout with a meaning; see package time.
var element = regexp.MustCompile(`_?2006|__2|_2|Z0700(00)?|Z07(:00(:00)?)?|-0700(00)?|-07(:00(:00)?)?|[.,](0+|9+)|002|0[1-6]|15|[1-5]`)

var digitRun = regexp.MustCompile(`\d+`)

// meaningless returns digits of a layout without a meaning: the times of a log have
// other digits there. It returns "" if all have one.
func meaningless(layout string) string {
	return digitRun.FindString(element.ReplaceAllString(layout, ""))
}

// parse reads a time. Where the text does not name a zone it is of location; where
// it does not name a year, or a local time comes twice, readAt decides.
func (l Layout) parse(v any, location *time.Location, readAt time.Time) (time.Time, bool) {
	if l.units > 0 {
		return unixTime(v, l.units)
	}
	text, ok := v.(string)
	if !ok {
		return time.Time{}, false
	}
	layout, hasZone := l.Text, l.hasZone
	switch layout {
	case "rfc3339":
		at, err := time.Parse(time.RFC3339, text)
		return at, err == nil
	case "iso8601":
		layout, hasZone = isoLayout(text)
	}
	if !hasZone {
		clock, err := time.Parse(layout, text)
		if err != nil {
			return time.Time{}, false
		}
		if l.noYear {
			clock = withYear(clock, location, readAt)
		}
		return nearest(clock, location, readAt), true
	}
	at, err := time.ParseInLocation(layout, text, location)
	if err != nil || inventedZone(at, location) {
		return time.Time{}, false
	}
	if l.noYear {
		at = withYear(at, at.Location(), readAt)
	}
	return at, true
}

// isoLayout returns the Go layout of a time of ISO 8601:
// with a blank for T, a comma before fractions, without seconds, with a zone such
// as Z, +03, +0300, +03:00 or UTC, or without one.
func isoLayout(text string) (layout string, hasZone bool) {
	const date, whole = "2006-01-02", "2006-01-02T15:04:05"
	if len(text) <= len(date) {
		return whole, false
	}
	if c := text[len(date)]; c != 'T' && c != 't' && c != ' ' {
		return whole, false
	}
	layout = date + text[len(date):len(date)+1]
	clock := text[len(date)+1:]
	zone := strings.IndexAny(clock, "Z+- zUG")
	if zone < 0 {
		zone = len(clock)
	}
	layout += "15:04:05"
	if strings.Count(clock[:zone], ":") == 1 {
		layout = strings.TrimSuffix(layout, ":05")
	}
	rest := clock[zone:]
	if strings.HasPrefix(rest, " ") {
		layout, rest = layout+" ", rest[1:]
	}
	switch {
	case rest == "":
	case rest == "UTC" || rest == "GMT":
		return layout + "MST", true
	case strings.Contains(rest, ":"):
		return layout + "Z07:00", true
	case len(rest) == 3:
		return layout + "Z07", true
	default:
		return layout + "Z0700", true
	}
	return layout, false
}

// inventedZone reports whether package time met the abbreviation of a zone
// that it does not know in the location, and took it for UTC.
func inventedZone(at time.Time, location *time.Location) bool {
	name, offset := at.Zone()
	return offset == 0 && at.Location() != location && at.Location() != time.UTC && name != "" && name != "UTC" && name != "GMT"
}

// lastYear is how far ahead of the clock a time without a year must be to be of
// last year. A time less far ahead is wrong, not old.
const lastYear = 48 * time.Hour

// withYear returns a clock's time that was written without a year. Its year is the
// latest one in which it is not far ahead of its reading at that location.
func withYear(clock time.Time, location *time.Location, readAt time.Time) time.Time {
	latest := readAt.Add(lastYear)
	for year := latest.In(location).Year(); ; year-- {
		t := inYear(clock, year, location)
		if !t.After(latest) && t.Day() == clock.Day() { // else it is a 29th of February elsewhere
			return inYear(clock, year, clock.Location())
		}
	}
}

func inYear(clock time.Time, year int, location *time.Location) time.Time {
	return time.Date(year, clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), location)
}

// sameInstant is how much later than its reading a line may seem to be written
// because the clock is looked at first.
const sameInstant = 2 * time.Second

// nearest returns the instant that a clock shows at a location. The clock's time is
// given as if it were of UTC. At the end of summer time an hour comes twice. At its
// beginning an hour is missing, but an application that does not know of summer time
// writes it. Then the later instant is meant, unless that is ahead of the reading.
func nearest(clock time.Time, location *time.Location, readAt time.Time) time.Time {
	at := inYear(clock, clock.Year(), location)
	from, to := at.ZoneBounds()
	near := [...]time.Time{at, at, at} // with every offset of about that time
	const day = 24 * time.Hour
	if !from.IsZero() && at.Sub(from) < day {
		near[1] = from.Add(-1)
	}
	if !to.IsZero() && to.Sub(at) < day {
		near[2] = to
	}
	missing := clock.Unix() != at.Unix()+offset(at)
	first, last := at, at
	for _, other := range near {
		t := time.Unix(clock.Unix()-offset(other), int64(clock.Nanosecond())).In(location)
		if !missing && offset(t) != offset(other) {
			continue
		}
		if t.Before(first) {
			first = t
		}
		if t.After(last) {
			last = t
		}
	}
	if last.Sub(readAt) > sameInstant {
		return first
	}
	return last
}

// offset returns how far a time's zone is ahead of UTC, in seconds.
func offset(at time.Time) int64 {
	_, seconds := at.Zone()
	return int64(seconds)
}
