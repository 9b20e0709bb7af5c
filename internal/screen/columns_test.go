package screen

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// A table fits the page, whatever its cells hold, and keeps every cell whole.
func TestColumnsFit(t *testing.T) {
	uuid, sku := "f69e330a-6b67-4e9c-9150-bfb2266de738", "dn272e8979uvek5cnuhk"
	for _, test := range []struct {
		name string
		left int
		rows [][]string
		want string
	}{
		{"narrow", 1, [][]string{{"SKU", "UNITS"}, {"a", "12"}}, "SKU  UNITS\na       12\n"},
		{"two lines of titles", 1, [][]string{{"SKU", "IN\nDOUBT", "TOTAL"}, {"a", "12", "3"}}, "        IN\nSKU  DOUBT  TOTAL\na       12      3\n"},
		{"the last column wraps", 3, [][]string{{"RULE", "SKU", "SOURCES"}, {"emails", sku, strings.TrimSuffix(strings.Repeat("mailer-one, ", 6), ", ")}},
			"RULE    SKU                   SOURCES\nemails  " + sku + "  mailer-one, mailer-one, mailer-one, mailer-one,\n" +
				"                              mailer-one, mailer-one\n"},
		{"rows fold", 5, [][]string{{"WINDOW", "SKU", "STATE", "UUID", "REASON"}, {"2026-03-01T12:00:00Z", sku, "refused", uuid, "INVALID"}, {"2026-03-01T12:00:00Z", sku, "refused", uuid, ""}},
			"WINDOW                SKU                   STATE\n    UUID                                  REASON\n" +
				"2026-03-01T12:00:00Z  " + sku + "  refused\n    " + uuid + "  INVALID\n" +
				"2026-03-01T12:00:00Z  " + sku + "  refused\n    " + uuid + "\n"},
		{"titles of two lines fold as one", 1, [][]string{{"SKU", "IN\nDOUBT", "TOTAL"}, {strings.Repeat("s", 50), strings.Repeat("1", 19), strings.Repeat("2", 19)}},
			"SKU                                                            IN DOUBT\n                  TOTAL\n" + strings.Repeat("s", 50) + "  " + strings.Repeat("1", 19) + "\n    " + strings.Repeat("2", 19) + "\n"},
		{"a text longer than a line", 2, [][]string{{"UUID", "REASON"}, {uuid + uuid, strings.Repeat("no such thing ", 8)}},
			"UUID\n    REASON\n" + uuid + uuid + "\n    " + strings.TrimSpace(strings.Repeat("no such thing ", 5)) + " no\n    such thing no such thing no such thing\n"},
	} {
		var b strings.Builder
		WriteColumns(&b, test.rows, test.left)
		if b.String() != test.want {
			t.Errorf("%s: got\n%swant\n%s", test.name, b.String(), test.want)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > PageWidth {
				t.Errorf("%s: %d columns: %s", test.name, n, line)
			}
		}
	}
}

// A text is wrapped between its words, and never within a command.
func TestWriteWrapped(t *testing.T) {
	var b bytes.Buffer
	WriteWrapped(&b, "  ", "    ", "usage was refused for a reason that is not known here, so see `meterlog records --state refused`, then go on\nand this")
	want := "  usage was refused for a reason that is not known here, so see\n    `meterlog records --state refused`, then go on\n    and this\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
