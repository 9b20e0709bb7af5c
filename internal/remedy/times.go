package remedy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// zones are the names of zones by the abbreviations that people write.
var zones = map[string]string{
	"MSK": "Europe/Moscow", "CET": "Europe/Berlin", "CEST": "Europe/Berlin", "MEZ": "Europe/Berlin", "BST": "Europe/London", "EET": "Europe/Helsinki",
	"EST": "America/New_York", "EDT": "America/New_York", "CST": "America/Chicago", "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles",
	"IST": "Asia/Kolkata", "JST": "Asia/Tokyo", "Z": "UTC", "GMT": "UTC", "ALMT": "Asia/Almaty",
}

var offsetZone = regexp.MustCompile(`^(?:UTC|GMT)?([+-])0?(\d{1,2})(?::?00)?$`)

// Zone returns what to write for a zone that is unknown by this name.
func Zone(name string) string {
	if zone := zones[strings.ToUpper(name)]; zone != "" {
		return "write location: " + zone
	}
	if g := offsetZone.FindStringSubmatch(name); g != nil {
		hours, _ := strconv.Atoi(g[2])
		sign := map[string]string{"+": "-", "-": "+"}[g[1]] // these names count the other way
		return fmt.Sprintf("write location: Etc/GMT%s%d, or a name such as Europe/Moscow", sign, hours)
	}
	if meant := DidYouMean(name, slices.Sorted(maps.Values(zones))); meant != "" {
		return meant
	}
	return "use a name such as Europe/Berlin"
}

// parts of a layout of strftime, and of one of letters, as Go writes them.
var (
	strftimeParts = strings.NewReplacer("%Y", "2006", "%y", "06", "%m", "01", "%d", "02", "%e", "_2", "%H", "15", "%I", "03", "%M", "04", "%S", "05", "%b", "Jan", "%h", "Jan", "%B", "January",
		"%a", "Mon", "%A", "Monday", "%p", "PM", "%z", "-0700", "%Z", "MST", "%f", "000000", "%L", "000", "%T", "15:04:05", "%F", "2006-01-02", "%D", "01/02/06", "%R", "15:04", "%%", "%")
	letterParts = strings.NewReplacer("YYYY", "2006", "yyyy", "2006", "YY", "06", "yy", "06", "MMMM", "January", "MMM", "Jan", "MM", "01", "DD", "02", "dd", "02", "HH", "15", "hh", "03",
		"mm", "04", "ss", "05", "SSSSSS", "000000", "SSS", "000", "XXX", "Z07:00", "ZZZ", "Z07:00", "Z", "-0700", "EEE", "Mon", "'T'", "T", "'", "")
	letters = regexp.MustCompile(`[yY]{2}.*M{2}.*[dD]{2}`)
)

// Layout returns what to write for a layout of another kind, or "".
func Layout(text string) string {
	goes := ""
	switch {
	case text == "%s":
		return "write layout: unix"
	case strings.Contains(text, "%"):
		goes = strftimeParts.Replace(text)
	case letters.MatchString(text):
		goes = letterParts.Replace(text)
	}
	if goes == "" || strings.Contains(goes, "%") {
		return ""
	}
	return fmt.Sprintf("write layout: '%s'", goes)
}
