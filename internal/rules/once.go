package rules

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/program"
)

// Once has a rule count the first line of each key and no other. It is immutable.
type Once struct {
	meter.Once
	Key      *Expression
	Each     Calendar       // with Within: ""
	Location *time.Location // of Each
}

// Calendar is a stretch of the calendar, in the configuration's words.
type Calendar string

const (
	EachHour  Calendar = "hour"
	EachDay   Calendar = "day"
	EachMonth Calendar = "month"
)

// Calendars are all there are.
var Calendars = []string{string(EachHour), string(EachDay), string(EachMonth)}

// Stretch returns the hour, day or month that holds a time, by the clocks of a
// place.
func (c Calendar) Stretch(at time.Time, location *time.Location) meter.Window {
	at = at.In(location)
	year, month, day := at.Date()
	switch c {
	case EachHour: // where clocks go back, the hour that comes twice is two
		_, offset := at.Zone()
		local := at.Unix() + int64(offset)
		start := local - ((local%3600)+3600)%3600 - int64(offset)
		return meter.Window{Start: start, End: start + 3600}
	case EachMonth:
		return meter.Window{Start: midnight(year, month, 1, location), End: midnight(year, month+1, 1, location)}
	}
	return meter.Window{Start: midnight(year, month, day, location), End: midnight(year, month, day+1, location)}
}

// midnight returns when a day begins. Where clocks go forward at midnight, the day
// begins later.
func midnight(year int, month time.Month, day int, location *time.Location) int64 {
	start := time.Date(year, month, day, 0, 0, 0, 0, location)
	for want := time.Date(year, month, day, 12, 0, 0, 0, location).Day(); start.Day() != want; {
		start = start.Add(15 * time.Minute)
	}
	return start.Unix()
}

// keyed is what a matcher needs for a rule with once or peak.
type keyed struct {
	hash    hash.Hash
	stretch meter.Window // of the last line
	text    []byte
	sum     [sha256.Size]byte
	ref     meter.KeyRef
	peak    meter.PeakRef
}

// stretchOf returns the stretch that holds a time.
func (k *keyed) stretchOf(each Calendar, at time.Time, location *time.Location) meter.Window {
	if unix := at.Unix(); unix < k.stretch.Start || unix >= k.stretch.End {
		k.stretch = each.Stretch(at, location)
	}
	return k.stretch
}

// SetSecret has keys hashed with a secret. It comes before the first block.
func (m *Matcher) SetSecret(secret []byte) {
	m.keys = make([]keyed, len(m.set.Rules))
	for i, r := range m.set.Rules {
		if r.key() != nil {
			of := hmac.New(sha256.New, secret)
			fmt.Fprintf(of, "%s\x00%s", r.Name, r.form())
			m.keys[i].hash = hmac.New(sha256.New, of.Sum(nil))
		}
	}
}

// key returns the key of the current line, and its text, until the next call.
func (m *Matcher) key(r *Rule, at time.Time) (*meter.KeyRef, []byte, error) {
	k := &m.keys[r.index]
	if err := m.hashKey(r.Once.Key, k, &k.ref.Hash); err != nil {
		return nil, nil, fmt.Errorf("once: %w", err)
	}
	k.ref.Once = &r.Once.Once
	if r.Once.Within > 0 {
		k.ref.Stretch, k.ref.At = meter.StretchWithin(at, r.Once.Within)
		return &k.ref, k.text, nil
	}
	k.ref.Stretch = k.stretchOf(r.Once.Each, at, r.Once.Location)
	return &k.ref, k.text, nil
}

// key returns the key's expression of a rule with once or peak, or nil.
func (r *Rule) key() *Expression {
	switch {
	case r.Once != nil:
		return r.Once.Key
	case r.Peak != nil:
		return r.Peak.Key
	}
	return nil
}

// Remembers reports whether the rule remembers keys.
func (r *Rule) Remembers() bool { return r.key() != nil }

// form returns what the rule remembers, in the configuration's words.
func (r *Rule) form() string {
	if r.Peak != nil {
		return r.Peak.Form
	}
	return r.Once.Form
}

// hashKey hashes the current line's key. The key's text is in k then.
func (m *Matcher) hashKey(key *Expression, k *keyed, into *meter.KeyHash) error {
	if err := m.keyText(key, k); err != nil {
		return err
	}
	k.hash.Reset()
	k.hash.Write(k.text)
	k.hash.Sum(k.sum[:0])
	copy(into[:], k.sum[:])
	return nil
}

// keyText writes the current line's key to k.
func (m *Matcher) keyText(key *Expression, k *keyed) error {
	if m.plain == nil {
		if v := key.value.Read(&m.line.Line); v.IsText() {
			k.text = append(k.text[:0], v.Text()...)
			return nil
		}
	}
	v, err := m.run(key)
	if err != nil {
		return err
	}
	text, err := keyOf(v)
	if v == nil && len(key.Slots) == 1 {
		err = fmt.Errorf("%w: %s is missing", err, fields.PathText(m.set.slots.Paths[key.Slots[0]]))
	}
	k.text = append(k.text[:0], text...)
	return err
}

// keyOf returns a key's text. The number 5 and the text "5" are one key.
func keyOf(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", errors.New("the key is nil")
	case float64:
		if v != math.Trunc(v) || math.Abs(v) >= fields.MaxExact {
			return "", fmt.Errorf("the key is not a whole number: %v", v)
		}
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	if text, ok := scalarText(v); ok {
		return text, nil
	}
	return "", fmt.Errorf("the key is %s, and not a text, whole number or boolean", program.KindOf(v))
}

// scalarText returns a text as it is, and a whole number or boolean as text. It
// reports false for a value of another kind.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	}
	if n, ok := fields.Integer(v); ok {
		return strconv.Itoa(n), true
	}
	if value := reflect.ValueOf(v); value.CanUint() {
		return strconv.FormatUint(value.Uint(), 10), true
	}
	return "", false
}
