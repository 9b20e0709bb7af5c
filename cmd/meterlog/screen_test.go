package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// Help fits 80 columns.
func TestHelpFits(t *testing.T) {
	names := []string{""}
	for _, c := range newRoot().Commands() {
		names = append(names, c.Name())
	}
	for _, name := range names {
		var b bytes.Buffer
		run(strings.Fields("help "+name), nil, &b, &b)
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > pageWidth && len(strings.Fields(line)) > 2 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
		if b.Len() == 0 {
			t.Errorf("%s has no help", name)
		}
	}
}

// A text is wrapped between its words, and never within a command.
func TestWriteWrapped(t *testing.T) {
	var b bytes.Buffer
	writeWrapped(&b, "  ", "    ", "usage was refused for a reason that is not known here, so see `meterlog records --state refused`, then go on\nand this")
	want := "  usage was refused for a reason that is not known here, so see\n    `meterlog records --state refused`, then go on\n    and this\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
