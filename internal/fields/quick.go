package fields

import "time"

// quickLayout is a layout that most logs have. Its times are read here, without
// package time, as long as they have the usual form.
type quickLayout byte

const (
	notQuick      quickLayout = iota
	quickRFC3339              // 2006-01-02T15:04:05.999Z, 2006-01-02T15:04:05+07:00
	quickCombined             // 02/Jan/2006:15:04:05 -0700
	quickLocal                // 2006-01-02 15:04:05.999, in UTC
)

var quickLayouts = map[string]quickLayout{
	"rfc3339": quickRFC3339, "iso8601": quickRFC3339, time.RFC3339: quickRFC3339, time.RFC3339Nano: quickRFC3339,
	"02/Jan/2006:15:04:05 -0700": quickCombined, time.DateTime: quickLocal,
}

// parse reads a time. It reports false if the text has another form or cannot be
// right. Then package time must decide.
func (l quickLayout) parse(text []byte, location *time.Location) (time.Time, bool) {
	var days, clock, zone, nanos int
	switch {
	case l == quickRFC3339 && len(text) >= len("2006-01-02T15:04:05Z") && text[10] == 'T':
		days, clock = isoDays(text), clockSeconds(text[11:])
		text, nanos = fraction(text[19:])
		if len(text) == 6 && text[3] == ':' {
			zone = zoneSeconds(text[0], text[1:3], text[4:])
		} else if len(text) != 1 || text[0] != 'Z' {
			return time.Time{}, false
		}
	case l == quickCombined && len(text) == len("02/Jan/2006:15:04:05 -0700") &&
		text[2] == '/' && text[6] == '/' && text[11] == ':' && text[20] == ' ':
		days = daysSince1970(number4(text[7:]), monthOf(text[3:6]), number2(text))
		clock, zone = clockSeconds(text[12:]), zoneSeconds(text[21], text[22:24], text[24:])
	case l == quickLocal && location == time.UTC && len(text) >= len(time.DateTime) && text[10] == ' ':
		days, clock = isoDays(text), clockSeconds(text[11:])
		if text, nanos = fraction(text[19:]); len(text) > 0 {
			return time.Time{}, false
		}
	default:
		return time.Time{}, false
	}
	if days == wrong || clock == wrong || zone == wrong || nanos == wrong {
		return time.Time{}, false
	}
	return time.Unix(int64(days)*86400+int64(clock-zone), int64(nanos)).UTC(), true
}

// wrong is a part of a time that is out of its range or no number.
const wrong = -1 << 31

// number2 returns the number that two digits make.
func number2(text []byte) int {
	tens, ones := text[0]-'0', text[1]-'0'
	if tens > 9 || ones > 9 {
		return wrong
	}
	return int(tens)*10 + int(ones)
}

// number4 returns the number that four digits make.
func number4(text []byte) int {
	high, low := number2(text), number2(text[2:])
	if high == wrong || low == wrong {
		return wrong
	}
	return high*100 + low
}

// isoDays returns the days of a date such as 2006-01-02.
func isoDays(text []byte) int {
	if text[4] != '-' || text[7] != '-' {
		return wrong
	}
	return daysSince1970(number4(text), number2(text[5:]), number2(text[8:]))
}

// clockSeconds returns the seconds of a time of day such as 15:04:05.
func clockSeconds(text []byte) int {
	hour, minute, second := number2(text), number2(text[3:]), number2(text[6:])
	if text[2] != ':' || text[5] != ':' || uint(hour) > 23 || uint(minute) > 59 || uint(second) > 59 {
		return wrong
	}
	return hour*3600 + minute*60 + second
}

// zoneSeconds returns how far a zone is ahead of UTC.
func zoneSeconds(sign byte, hours, minutes []byte) int {
	hour, minute := number2(hours), number2(minutes)
	if uint(hour) > 23 || uint(minute) > 59 {
		return wrong
	}
	switch sign {
	case '+':
		return hour*3600 + minute*60
	case '-':
		return -hour*3600 - minute*60
	}
	return wrong
}

// fraction returns the nanoseconds of up to nine digits behind a point, and the
// rest of the text.
func fraction(text []byte) (rest []byte, nanos int) {
	if len(text) == 0 || text[0] != '.' {
		return text, 0
	}
	unit, i := 100_000_000, 1
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		nanos += int(text[i]-'0') * unit
		unit /= 10
	}
	if i == 1 || i > 10 {
		return text, wrong
	}
	return text[i:], nanos
}

func monthOf(text []byte) int {
	switch string(text) {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	}
	return wrong
}

// daysSince1970 returns how many days a date of the Gregorian calendar is after
// the first of January 1970. It returns wrong for a date that does not exist.
func daysSince1970(year, month, day int) int {
	if year < 1 || uint(month-1) > 11 || day < 1 || day > 28 && !lateDay(year, month, day) {
		return wrong
	}
	if month <= 2 { // years that begin with March have their odd day at the end
		year, month = year-1, month+12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 719469
}

// lateDay reports whether a month has a day after the 28th.
func lateDay(year, month, day int) bool {
	switch month {
	case 2:
		return day == 29 && year%4 == 0 && (year%100 != 0 || year%400 == 0)
	case 4, 6, 9, 11:
		return day <= 30
	}
	return day <= 31
}
