package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meterlog/meterlog/internal/screen"
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
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > screen.PageWidth && len(strings.Fields(line)) > 2 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
		if b.Len() == 0 {
			t.Errorf("%s has no help", name)
		}
	}
}
