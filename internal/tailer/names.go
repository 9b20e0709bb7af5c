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
			if isInserted(stem[i], stem[i+1:]) {
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

// isInserted reports whether a mark before the extension is that of a rotation:
// .1, or a date. worker-1.log is a file of its own beside worker.log.
func isInserted(separator byte, mark string) bool {
	const yymmdd = 6
	return numbered.MatchString(mark) && (separator == '.' || isSeparator(separator) && digits(mark) >= yymmdd)
}

func digits(text string) int {
	n := 0
	for _, c := range text {
		if '0' <= c && c <= '9' {
			n++
		}
	}
	return n
}

func isRotationMark(text string) bool {
	return numbered.MatchString(text) || slices.Contains(words, text)
}

// family is where a path's rotated forms may lie, and the names of which they
// are forms.
type family struct {
	path, dir string
	names     []string
}

// familiesOf returns the path's family in its own folder and, where the path is
// a symbolic link, that of the file it leads to: another of its dated names may
// have been the link's target before.
func familiesOf(path string) []family {
	families := []family{{path: path, dir: filepath.Dir(path), names: []string{path}}}
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		names := append(rotatedFrom(target), target)
		families = append(families, family{path: path, dir: filepath.Dir(target), names: names})
	}
	return families
}

// holds reports whether a name is of the family.
func (f family) holds(name string) bool {
	if slices.Contains(f.names, name) {
		return true
	}
	return slices.ContainsFunc(rotatedFrom(name), func(base string) bool { return slices.Contains(f.names, base) })
}
