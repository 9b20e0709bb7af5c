package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/report"
	"github.com/meterlog/meterlog/internal/screen"
)

// However long paths and messages are and however many, the status fits the page
// and the screen, and no word of a problem is lost.
func TestStatusFitsThePage(t *testing.T) {
	st := monitor.Status{StateDir: "/var/lib/meterlog", LastMinutes: make([]int64, 60)}
	source := monitor.SourceStatus{Name: "mailer"}
	for i := range 5000 {
		path := fmt.Sprintf("/var/lib/containers/%s/%d.log", strings.Repeat("0123456789abcdef", 5), i)
		source.Files = append(source.Files, monitor.FileStatus{Path: path, Size: 1 << 40, Lag: 1023 << 20, State: "renamed"})
		st.Problems = append(st.Problems, monitor.ProblemStatus{Code: "file_unreadable", Message: strings.Repeat("a word or two, ", 20) + "end", Hint: strings.Repeat("what to do ", 20)})
	}
	st.Sources = []monitor.SourceStatus{source}
	var page bytes.Buffer
	report.Status(&page, st)
	lines := strings.Split(page.String(), "\n")
	if len(lines) > 66 {
		t.Errorf("it has %d lines", len(lines))
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > screen.PageWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	words := strings.Join(strings.Fields(page.String()), " ")
	for _, want := range []string{"file_unreadable: " + strings.Repeat("a word or two, ", 20) + "end → " + strings.TrimSpace(strings.Repeat("what to do ", 20)), "…", "/4.log", "file_unreadable: and 4995 more"} {
		if !strings.Contains(words, want) {
			t.Errorf("there is no %q in\n%s", want, page.String())
		}
	}
}
