package fields

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Timestamp says where an event's own time is and how to read it.
type Timestamp struct {
	Path     []Step         // of the field, or nil
	Pattern  *Pattern       // its first group is the time, or nil
	Layouts  []Layout       // tried in this order
	Location *time.Location // of times without a zone
}

// MaxAhead is how far an event may be ahead of its reading before its time is
// not believed.
const MaxAhead = 5 * time.Minute

// NamesZone reports whether every time that can be read says which zone it is of.
// Then the location does not matter.
func (t *Timestamp) NamesZone() bool {
	return !slices.ContainsFunc(t.Layouts, func(l Layout) bool { return l.units == 0 && !l.hasZone })
}

// badTime is why an event's own time cannot be taken.
type badTime string

func (e badTime) Error() string { return string(e) }

// Read returns the time in v, a field or a group. With an error, the time is not to
// be believed. It is zero if v could not be read at all.
func (t *Timestamp) Read(v any, readAt time.Time) (time.Time, error) {
	at, ok := t.parse(v, readAt)
	switch {
	case v == nil:
		return time.Time{}, badTime("the timestamp is missing")
	case !ok:
		return time.Time{}, badTime(fmt.Sprintf("the timestamp cannot be read as %s: %s", t.layoutText(), meter.Clip(fmt.Sprint(v), 60)))
	}
	return Believed(at, readAt)
}

// ReadText does what Read does, for a text.
func (t *Timestamp) ReadText(text []byte, readAt time.Time) (time.Time, error) {
	if at, ok := t.Layouts[0].quick.parse(text, t.Location); ok {
		return Believed(at, readAt)
	}
	return t.Read(View(text), readAt)
}

// Believed returns a time, and why it is not to be believed.
func Believed(at, readAt time.Time) (time.Time, error) {
	switch {
	case at.Sub(readAt) > MaxAhead:
		return at, badTime("the timestamp is in the future: " + at.UTC().Format(time.RFC3339))
	case at.Unix() < 0:
		return at, badTime("the timestamp is before 1970: " + at.UTC().Format(time.RFC3339))
	}
	return at, nil
}

func (t *Timestamp) layoutText() string {
	names := make([]string, len(t.Layouts))
	for i, l := range t.Layouts {
		names[i] = l.Text
	}
	return strings.Join(names, " or ")
}

// parse reads v by the first layout that fits.
func (t *Timestamp) parse(v any, readAt time.Time) (time.Time, bool) {
	for _, l := range t.Layouts {
		if at, ok := l.parse(v, t.Location, readAt); ok {
			return at, true
		}
	}
	return time.Time{}, false
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
