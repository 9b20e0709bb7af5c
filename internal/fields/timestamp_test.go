package fields

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func layouts(t *testing.T, names ...string) (list []Layout) {
	t.Helper()
	for _, name := range names {
		l, problem, _ := NewLayout(name)
		if problem != "" {
			t.Fatalf("%q %s", name, problem)
		}
		list = append(list, l)
	}
	return list
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestTimestamps(t *testing.T) {
	const syslog, local = "Jan _2 15:04:05", "2006-01-02 15:04:05"
	for _, test := range []struct {
		layout, zone, text, readAt string
		want                       string // an error's beginning where it begins with "!"
	}{
		// Without a year.
		{syslog, "UTC", "Mar  1 12:00:00", "2026-03-01T12:00:30Z", "2026-03-01T12:00:00Z"},
		{syslog, "UTC", "Dec 31 23:59:59", "2027-01-01T00:00:05Z", "2026-12-31T23:59:59Z"},
		{syslog, "UTC", "Jan  1 00:00:01", "2026-12-31T23:59:58Z", "2027-01-01T00:00:01Z"},
		{syslog, "UTC", "Mar  1 15:00:00", "2026-03-01T12:00:00Z", "!the timestamp is in the future: 2026-03-01T15:00:00Z"}, // Moscow, read as UTC
		{syslog, "UTC", "Mar  1 12:06:00", "2026-03-01T12:00:00Z", "!the timestamp is in the future"},
		{syslog, "UTC", "Mar  3 11:59:59", "2026-03-01T12:00:00Z", "!the timestamp is in the future"},
		{syslog, "UTC", "Mar  3 12:00:01", "2026-03-01T12:00:00Z", "2025-03-03T12:00:01Z"},
		{syslog, "UTC", "Jan  1 02:00:00", "2026-12-31T23:00:00Z", "!the timestamp is in the future: 2027-01-01T02:00:00Z"},
		{syslog, "UTC", "Feb 29 10:00:00", "2026-03-01T12:00:00Z", "2024-02-29T10:00:00Z"},
		{syslog, "Asia/Tokyo", "Jan  1 00:30:00", "2026-12-31T15:31:00Z", "2026-12-31T15:30:00Z"},

		// At the end of summer time an hour comes twice.
		{local, "Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T00:30:01Z", "2026-10-25T00:30:00Z"},
		{local, "Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T01:30:01Z", "2026-10-25T01:30:00Z"},
		{local, "Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T01:29:59.5Z", "2026-10-25T01:30:00Z"}, // the clock was looked at a little before
		{local, "Europe/Berlin", "2026-10-25 02:59:59", "2026-10-25T01:00:00Z", "2026-10-25T00:59:59Z"},
		{local, "Europe/Berlin", "2026-10-25 01:59:59", "2026-10-25T05:00:00Z", "2026-10-24T23:59:59Z"},
		{local, "Europe/Berlin", "2026-10-25 03:00:00", "2026-10-25T05:00:00Z", "2026-10-25T02:00:00Z"},
		{local, "America/New_York", "2026-11-01 01:15:00", "2026-11-01T05:15:02Z", "2026-11-01T05:15:00Z"},
		{local, "America/New_York", "2026-11-01 01:15:00", "2026-11-01T06:15:02Z", "2026-11-01T06:15:00Z"},
		{syslog, "America/New_York", "Nov  1 01:15:00", "2026-11-01T06:15:02Z", "2026-11-01T06:15:00Z"},
		{syslog, "America/New_York", "Nov  1 01:15:00", "2026-11-01T05:15:02Z", "2026-11-01T05:15:00Z"},
		{local, "Australia/Lord_Howe", "2026-04-05 01:45:00", "2026-04-04T14:46:00Z", "2026-04-04T14:45:00Z"}, // half an hour
		{local, "Australia/Lord_Howe", "2026-04-05 01:45:00", "2026-04-04T15:16:00Z", "2026-04-04T15:15:00Z"},

		// At its beginning an hour is missing. Who writes it has not set the clock.
		{local, "Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29T01:30:01Z", "2026-03-29T01:30:00Z"},
		{local, "America/New_York", "2026-03-08 02:30:00", "2026-03-08T07:30:01Z", "2026-03-08T07:30:00Z"},
		{syslog, "America/New_York", "Mar  8 02:30:00", "2026-03-08T07:30:01Z", "2026-03-08T07:30:00Z"},
		{local, "America/New_York", "2026-03-08 02:30:00", "2026-03-08T06:30:01Z", "2026-03-08T06:30:00Z"}, // the clock was set early
		{local, "America/New_York", "2026-03-08 03:30:00", "2026-03-08T07:30:01Z", "2026-03-08T07:30:00Z"},

		{local + " MST", "Europe/Berlin", "2026-10-25 02:30:00 CEST", "2026-10-25T05:00:00Z", "2026-10-25T00:30:00Z"},
		{local + " -0700", "Europe/Berlin", "2026-10-25 02:30:00 +0200", "2026-10-25T05:00:00Z", "2026-10-25T00:30:00Z"},

		// Numbers since 1970.
		{"unix", "UTC", "1772366400.25", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00.25Z"},
		{"unix_ms", "UTC", "1772366400250", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00.25Z"},
		{"unix_us", "UTC", "1772366400000250", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00.00025Z"},
		{"unix_ns", "UTC", "1772366400000000250", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00.00000025Z"},
		{"unix_ms", "UTC", "1772366400000000250", "2026-03-01T12:00:01Z", "!the timestamp cannot be read as unix_ms"},

		// ISO 8601 as it is written.
		{"iso8601", "UTC", "2026-03-01T12:00:00Z", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z"},
		{"iso8601", "UTC", "2026-03-01 12:00:00", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z"},
		{"iso8601", "Europe/Moscow", "2026-03-01 15:00:00,123", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00.123Z"},
		{"iso8601", "UTC", "2026-03-01 15:00:00.5+0300", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00.5Z"},
		{"iso8601", "UTC", "2026-03-01T15:00:00+03", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z"},
		{"iso8601", "UTC", "2026-03-01T15:00:00,25+03:00", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00.25Z"},
		{"iso8601", "UTC", "2026-03-01 15:00:00 +0300", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z"},
		{"iso8601", "UTC", "2026-03-01 07:00:00-05:00", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z"},
		{"iso8601", "Europe/Moscow", "2026-03-01 12:00:00 UTC", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z"},
		{"iso8601", "UTC", "2026-03-01T12:00Z", "2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z"},
		{"iso8601", "Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T01:30:01Z", "2026-10-25T01:30:00Z"},
		{"iso8601", "UTC", "2026-03-01", "2026-03-01T12:00:01Z", "!the timestamp cannot be read as iso8601"},
		{"iso8601", "UTC", "2026-03-01x12:00:00Z", "2026-03-01T12:00:01Z", "!the timestamp cannot be read"},
		{"iso8601", "UTC", "2026-03-01T12:00:00Zebra", "2026-03-01T12:00:01Z", "!the timestamp cannot be read"},
		{"iso8601", "UTC", "", "2026-03-01T12:00:01Z", "!the timestamp cannot be read"},
	} {
		stamp := Timestamp{Layouts: layouts(t, test.layout), Location: zone(t, test.zone)}
		at, err := stamp.Read(test.text, instant(t, test.readAt))
		if message, wrong := strings.CutPrefix(test.want, "!"); wrong {
			if err == nil || !strings.HasPrefix(err.Error(), message) {
				t.Errorf("%s of %s read at %s: %v, %v, want %s", test.text, test.zone, test.readAt, at, err, message)
			}
		} else if err != nil || !at.Equal(instant(t, test.want)) {
			t.Errorf("%s of %s read at %s: %v, %v, want %s", test.text, test.zone, test.readAt, at.UTC(), err, test.want)
		}
	}
}

// What a clock at some place shows is read as the instant at which it showed it, at
// any hour of a year.
func TestEveryHourOfAYear(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "America/Scoresbysund", "Pacific/Apia"} {
		location := zone(t, name)
		for _, layout := range []string{"2006-01-02 15:04:05", "Jan _2 15:04:05", "iso8601"} {
			stamp := Timestamp{Layouts: layouts(t, layout), Location: location}
			write := layout
			if layout == "iso8601" {
				write = "2006-01-02T15:04:05"
			}
			for at := time.Date(2025, 12, 31, 0, 1, 0, 0, time.UTC); at.Year() < 2027; at = at.Add(29 * time.Minute) {
				text := at.In(location).Format(write)
				if got, err := stamp.Read(text, at.Add(time.Second)); err != nil || !got.Equal(at) {
					t.Fatalf("%s: %s is read as %v, %v, want %v", name, text, got.UTC(), err, at)
				}
			}
		}
	}
}

// Of several layouts the first that fits is taken.
func TestSeveralLayouts(t *testing.T) {
	stamp := Timestamp{Layouts: layouts(t, "unix", "rfc3339", "2006-01-02 15:04:05"), Location: time.UTC}
	for _, v := range []any{1772366400, "1772366400", "2026-03-01T12:00:00Z", "2026-03-01 12:00:00"} {
		if at, err := stamp.Read(v, readAt); err != nil || at.Unix() != 1772366400 {
			t.Errorf("%v: %v, %v", v, at, err)
		}
	}
	if _, err := stamp.Read("noon", readAt); err == nil || !strings.Contains(err.Error(), "unix or rfc3339 or 2006") {
		t.Error(err)
	}
}

// A layout that can never parse a time of a log is refused.
func TestLayoutsThatCannotParse(t *testing.T) {
	for layout, want := range map[string]string{
		"15:04:05":                      "does not tell the day",
		"%Y-%m-%d %H:%M:%S":             "does not tell any time",
		"YYYY-MM-DD HH:mm:ss":           "does not tell any time",
		"2006-01-02 03:04:05":           "does not tell morning from afternoon",
		"2006-01-02 15:04:05:000":       "can match no time, because 000",
		"2006-01-02 15:04:05 +0300":     "can match no time",
		"2026-01-02 15:04:05":           "can match no time",
		"2006-01-02T15:04:05.123Z":      "can match no time",
		"02/Jan/2006:15:04:05 +0000":    "can match no time, because 0000",
		"2006-01-02 15:04:05.000":       "",
		"2006-01-02 15:04:05,000":       "",
		"2006-01-02 15:04:05.999999":    "",
		"2006-01-02 15:04:05.00":        "",
		"02/Jan/2006:15:04:05 -0700":    "",
		"Jan _2 15:04:05":               "",
		"Jan 2 15:04:05":                "",
		"Mon Jan _2 15:04:05 2006":      "",
		"Mon, 02 Jan 2006 15:04:05 MST": "",
		"2006/01/02 15:04:05":           "",
		"20060102150405":                "",
		"20060102T150405Z0700":          "",
		"2006.002 15:04":                "",
		"1/2/06 3:04 PM":                "",
		"2006-01-02 15:04:05.000 MST":   "",
		"2006-01-02T15:04:05.000000Z":   "",
	} {
		if _, problem, _ := NewLayout(layout); !strings.HasPrefix(problem, want) || want == "" && problem != "" {
			t.Errorf("%q %q, want %q", layout, problem, want)
		}
	}
}

func TestParsePath(t *testing.T) {
	for text, want := range map[string]string{
		"ts":                `fields.ts`,
		"meta.ts":           `fields.meta.ts`,
		`["event.created"]`: `fields["event.created"]`,
		`event["a.b"].c`:    `fields.event["a.b"].c`,
		`event["a.b"][0]`:   `fields.event["a.b"][0]`,
		`["a]b\"c"]`:        `fields["a]b\"c"]`,
		`@timestamp`:        `fields["@timestamp"]`,
		`a..b`:              "", `.a`: "", `a.`: "", `["a]`: "", `a[b]`: "", "": "", `["a"]b`: "",
	} {
		path, ok := ParsePath(text)
		if ok != (want != "") || ok && PathText(path) != want {
			t.Errorf("%s: %v %v, want %s", text, PathText(path), ok, want)
		}
	}
}
