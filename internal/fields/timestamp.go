package fields

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Timestamp says where an event's own time is and how to read it.
type Timestamp struct {
	Path     []Step         // of the field, or nil
	Pattern  *Pattern       // its first group is the time, or nil
	Layout   string         // rfc3339, unix, unix_ms or a Go layout
	Location *time.Location // of times without a zone
	HasYear  bool           // with a Go layout
}

// MaxAhead is how far an event may be ahead of its reading before its time is
// not believed.
const MaxAhead = 5 * time.Minute

// badTime is why an event's own time cannot be taken.
type badTime string

func (e badTime) Error() string { return string(e) }

// Read is the time that v, a field or a group, stands for.
func (t *Timestamp) Read(v any, readAt time.Time) (time.Time, error) {
	at, ok := t.parse(v, readAt)
	switch {
	case v == nil:
		return at, badTime("the timestamp is missing")
	case !ok:
		return at, badTime(fmt.Sprintf("the timestamp cannot be read as %s: %s", t.Layout, meter.Clip(fmt.Sprint(v), 60)))
	case at.Sub(readAt) > MaxAhead:
		return at, badTime("the timestamp is in the future: " + at.UTC().Format(time.RFC3339))
	case at.Unix() < 0:
		return at, badTime("the timestamp is before 1970: " + at.UTC().Format(time.RFC3339))
	}
	return at, nil
}

func (t *Timestamp) parse(v any, readAt time.Time) (time.Time, bool) {
	switch t.Layout {
	case "unix":
		return unixTime(v, 1)
	case "unix_ms":
		return unixTime(v, 1000)
	}
	s, ok := v.(string)
	if !ok {
		return time.Time{}, false
	}
	if t.Layout == "rfc3339" {
		at, err := time.Parse(time.RFC3339, s)
		return at, err == nil
	}
	at, err := time.ParseInLocation(t.Layout, s, t.Location)
	if err != nil || inventedZone(at, t.Location) {
		return time.Time{}, false
	}
	if !t.HasYear {
		return withYear(at, readAt), true
	}
	return at, true
}

// inventedZone reports whether package time met the abbreviation of a zone
// that it does not know in the location, and took it for UTC.
func inventedZone(at time.Time, location *time.Location) bool {
	name, offset := at.Zone()
	return offset == 0 && at.Location() != location && at.Location() != time.UTC && name != "" && name != "UTC" && name != "GMT"
}

// withYear gives a time that was written without a year the latest one in
// which it is not in the future.
func withYear(at, readAt time.Time) time.Time {
	latest := readAt.Add(MaxAhead)
	for year := latest.In(at.Location()).Year(); ; year-- {
		t := time.Date(year, at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), at.Location())
		if !t.After(latest) && t.Day() == at.Day() { // else it is a 29th of February elsewhere
			return t
		}
	}
}

// unixTime reads a number of seconds, or of parts of one, since 1970.
func unixTime(v any, perSecond int64) (time.Time, bool) {
	const latest = 253402300800 // the year 10000
	if s, ok := v.(string); ok {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			v = int(i)
		} else if f, err := strconv.ParseFloat(s, 64); err == nil && strings.Trim(s, "-0123456789.") == "" {
			v = f
		}
	}
	if i, ok := Integer(v); ok {
		if int64(i) < 0 || int64(i)/perSecond >= latest {
			return time.Time{}, false
		}
		return time.Unix(int64(i)/perSecond, int64(i)%perSecond*(1e9/perSecond)), true
	}
	f, ok := v.(float64)
	if !ok || !(f >= 0 && f < latest*float64(perSecond)) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(f / float64(perSecond))
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// CheckLayout reports whether a Go layout tells the year, and what it lacks.
func CheckLayout(layout string) (hasYear bool, missing string) {
	// Two Mondays that differ in nothing but what is asked for.
	base := time.Date(2001, 2, 5, 3, 4, 5, 0, time.UTC)
	differs := func(other time.Time) bool { return base.Format(layout) != other.Format(layout) }
	switch {
	case !differs(time.Date(2009, 11, 17, 20, 34, 58, 651387237, time.UTC)):
		return false, "any time"
	case !differs(time.Date(2001, 3, 5, 3, 4, 5, 0, time.UTC)) || !differs(time.Date(2001, 2, 12, 3, 4, 5, 0, time.UTC)):
		return false, "the day"
	case !differs(time.Date(2001, 2, 5, 5, 4, 5, 0, time.UTC)):
		return false, "the hour"
	case !differs(time.Date(2001, 2, 5, 3, 14, 5, 0, time.UTC)):
		return false, "the minute"
	}
	return differs(time.Date(2007, 2, 5, 3, 4, 5, 0, time.UTC)), ""
}
