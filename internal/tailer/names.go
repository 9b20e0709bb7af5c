package tailer

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Rotation renames or copies app.log to a form of its name: app.log.1,
// app.log-20260101, app.log.2026-01-01.gz, app-20260101.log, app.1.log,
// app.log.old.
var (
	numbered = regexp.MustCompile(`^[0-9][0-9T:Z._+-]*$`)
	words    = []string{"old", "prev", "bak", "orig"}
)

// rotatedFrom returns the names of which name may be a rotated form, the
// shortest first. Whether such a name is followed decides the rest.
func rotatedFrom(name string) []string {
	dir, base := filepath.Split(name)
	base = strings.TrimSuffix(base, compression(base))
	var names []string
	add := func(n string) {
		if n != "" && !slices.Contains(names, dir+n) {
			names = append(names, dir+n)
		}
	}
	for i := 1; i < len(base); i++ {
		if isSeparator(base[i]) && isRotationMark(base[i+1:]) {
			add(base[:i])
		}
	}
	if ext := filepath.Ext(base); ext != "" && ext != base {
		stem := strings.TrimSuffix(base, ext)
		for i := 1; i < len(stem); i++ {
			if isSeparator(stem[i]) && isRotationMark(stem[i+1:]) {
				add(stem[:i] + ext)
			}
		}
	}
	if compression(name) != "" {
		add(base) // app.log.gz beside app.log
	}
	return names
}

func isSeparator(c byte) bool { return c == '.' || c == '-' || c == '_' }

func isRotationMark(text string) bool {
	return numbered.MatchString(text) || slices.Contains(words, text)
}
