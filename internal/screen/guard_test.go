package screen

import (
	"bytes"
	"slices"
	"testing"
)

// What is not for people to see becomes an escape, however it is cut into writes.
func TestGuard(t *testing.T) {
	for text, want := range map[string]string{
		"plain ж — ok\n":             "plain ж — ok\n",
		"\x1b[2J\x1b]0;title\a":      `\u001b[2J\u001b]0;title\u0007`,
		"a\rb\x7f\u009b31m\n":        "a\\u000db\\u007f\\u009b31m\n",
		"\u202etxt.exe\u2066\u2028x": `\u202etxt.exe\u2066\u2028x`,
		"\xff\xc3(":                  `\xff\xc3(`,
		"a\tb":                       "a\tb",
		"end \xe2\x82":               `end \xe2\x82`,
		Red + "x" + plain:            "\x1b[31mx\x1b[m",
		"\uFDEF":                     `\ufdef`,
	} {
		for cut := range len(text) + 1 {
			var b bytes.Buffer
			g := NewGuard(&b, PriorityInfo)
			g.Write([]byte(text[:cut]))
			g.Write([]byte(text[cut:]))
			g.End()
			if b.String() != want {
				t.Errorf("%q cut at %d: got %q, want %q", text, cut, b.String(), want)
			}
		}
	}
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb": `a\nb`, "\x1b[31m": `\u001b[31m`, Red + "x": `\ufdd2x`, "ok": "ok",
	} {
		if got := Visible(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// A line of the journal has one priority: its own, or else that of its stream.
func TestGuardOfJournal(t *testing.T) {
	var b bytes.Buffer
	g := &Guard{w: &b, priority: PriorityError}
	for _, text := range []string{"one\n<6>two\nth", "ree\n", "\n"} {
		g.Write([]byte(text))
	}
	if want := "<3>one\n<6>two\n<3>three\n<3>\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestCSVCells(t *testing.T) {
	got := CSVCells("=1+1", "+1", "-1", "@x", "\tx", "\rx", "x=1", "", "12")
	want := []string{"'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "x=1", "", "12"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Of a line that has no room, the part that matched is shown.
func TestFitMarked(t *testing.T) {
	long := "0123456789 0123456789 0123456789 email sent 0123456789 0123456789"
	for _, test := range []struct {
		width int
		marks [][2]int
		want  string
	}{
		{30, nil, "0123456789 0123456789 0123456…"},
		{30, [][2]int{{33, 43}}, "…789 0123456789 email sent 01…"},
		{30, [][2]int{{0, 4}}, "0123456789 0123456789 0123456…"},
		{30, [][2]int{{55, 65}}, "…il sent 0123456789 0123456789"},
		{200, [][2]int{{33, 43}}, long},
	} {
		if got := (Screen{Width: test.width}).FitMarked(long, 0, test.marks); got != test.want {
			t.Errorf("%v: got %q, want %q", test, got, test.want)
		}
	}
}
