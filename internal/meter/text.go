package meter

import (
	"fmt"
	"strings"
)

// Clip returns at most n bytes of s, for messages: valid UTF-8, marked where cut,
// and not bound to the memory of s.
func Clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return strings.Clone(strings.ToValidUTF8(s, "�"))
}

// Plural returns a number with what it counts: 1 line, 2 lines.
func Plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
