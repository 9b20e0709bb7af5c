package program

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/remedy"
)

func TestAmounts(t *testing.T) {
	for _, test := range []struct {
		name string
		of   func(...any) (any, error)
		in   any
		want any
	}{
		{"items", itemsOf, nil, 0},
		{"items", itemsOf, []any{}, 0},
		{"items", itemsOf, []any{"a", nil}, 2},
		{"items", itemsOf, "anna@example.org", 1},
		{"items", itemsOf, map[string]any{}, 1},
		{"bytes", bytesOf, nil, nil},
		{"bytes", bytesOf, 17, 17},
		{"bytes", bytesOf, 1.5, 1.5},
		{"bytes", bytesOf, "1.5 GiB", 1610612736},
		{"bytes", bytesOf, "1.5GB", 1500000000},
		{"bytes", bytesOf, "48213", 48213},
		{"bytes", bytesOf, " 2 kB ", 2000},
		{"bytes", bytesOf, "0.1 GiB", 107374182.4},
		{"bytes", bytesOf, "8191 PiB", 8191 << 50},
		{"seconds", secondsOf, nil, nil},
		{"seconds", secondsOf, "1h2m3.5s", 3723.5},
		{"seconds", secondsOf, "1h 2m", 3720},
		{"seconds", secondsOf, "250ms", 0.25},
		{"seconds", secondsOf, 90, 90},
	} {
		if got, err := test.of(test.in); err != nil || got != test.want {
			t.Errorf("%s(%#v) = %#v, %v; want %#v", test.name, test.in, got, err, test.want)
		}
	}
}

func TestAmountsRefuse(t *testing.T) {
	for _, test := range []struct {
		of   func(...any) (any, error)
		in   any
		want string
	}{
		{bytesOf, "10K", "kB is 1000 bytes, KiB is 1024"},
		{bytesOf, "-1 MB", "write a number and a unit"},
		{bytesOf, "1e3 MB", "write a number and a unit"},
		{bytesOf, "8192 PiB", "does not fit 64 bits"},
		{bytesOf, true, "needs a text or a number, not"},
		{secondsOf, "12", "write it like 1h2m3.5s"},
		{secondsOf, []any{}, "needs a text or a number, not"},
	} {
		if got, err := test.of(test.in); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%#v: %#v, %v; want %q", test.in, got, err, test.want)
		}
	}
}

// TestOwnFunctions checks that each function has a name that mistakes are compared
// with, and a row on the page of rules.
func TestOwnFunctions(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range remedy.Own {
		if own[name].call == nil {
			t.Errorf("nothing is called for %s", name)
		}
	}
	for name := range own {
		if !slices.Contains(remedy.Own, name) {
			t.Errorf("remedy.Own lacks %s", name)
		}
		if !strings.Contains(string(page), "\n| `"+name+"(") {
			t.Errorf("docs/rules.md has no row for %s", name)
		}
	}
}
