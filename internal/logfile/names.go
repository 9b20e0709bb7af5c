package logfile

import (
	"path/filepath"
	"slices"
	"strings"
)

// Rotation renames or copies app.log to a form of its name: app.log.1,
// app.log-20260101, app.log.2026-01-01.gz, app-20260101.log, app.1.log,
// app.log.old. multilog renames current to @4000000069254d0012345678.s. Each of
// them may be compressed, with one more ending that says so (see decompressors).
var words = []string{"old", "prev", "bak", "orig", "backup", "save"}

// isNumbered reports whether a mark is a number or a date.
func isNumbered(mark string) bool {
	for _, c := range []byte(mark) {
		if (c < '0' || c > '9') && !strings.ContainsRune("T:Z._+-", rune(c)) {
			return false
		}
	}
	return mark != "" && '0' <= mark[0] && mark[0] <= '9'
}

// RotatedFrom returns the names that name may be a rotated form of, the shortest
// first. Names in its own folder come first, then names in the folder above:
// logrotate's olddir moves files into a folder. The caller knows which are followed.
func RotatedFrom(name string) []string {
	dir, base := filepath.Split(name)
	base = strings.TrimSuffix(base, Compression(base))
	var names []string
	add := func(n string) {
		if n != "" && !slices.Contains(names, dir+n) {
			names = append(names, dir+n)
		}
	}
	if isTAI64N(base) {
		add("current")
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
	if Compression(name) != "" {
		add(base) // app.log.gz beside app.log
	}
	above := filepath.Dir(filepath.Clean(dir))
	for _, n := range names {
		if above != "." && above != filepath.Clean(dir) {
			names = append(names, filepath.Join(above, filepath.Base(n)))
		}
	}
	return names
}

func isSeparator(c byte) bool { return c == '.' || c == '-' || c == '_' }

// yymmdd is how many digits a date has at least.
const yymmdd = 6

// isInserted reports whether a mark before the extension comes from a rotation: .1,
// or a date. worker-1.log is a file of its own beside worker.log.
func isInserted(separator byte, mark string) bool {
	mark = strings.TrimLeft(mark, "_-") // pm2-logrotate writes app-out__2026-01-01_00-00-00.log
	return isNumbered(mark) && (separator == '.' || isSeparator(separator) && digits(mark) >= yymmdd)
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

// isTAI64N reports whether a name is what multilog, svlogd and s6-log call a
// file that was current: @, 24 hexadecimal digits, and .s, or .u if it was not
// finished.
func isTAI64N(base string) bool {
	stamp, found := strings.CutPrefix(base, "@")
	if !found || len(stamp) != 26 || stamp[24:] != ".s" && stamp[24:] != ".u" {
		return false
	}
	return strings.Trim(stamp[:24], "0123456789abcdef") == ""
}

func isRotationMark(text string) bool {
	return isNumbered(text) || slices.Contains(words, strings.TrimRight(text, "0123456789"))
}

// Newer reports whether a rotated form of a path was rotated after another one, by the
// numbers or the dates in their names. The path itself is the newest. known is false if
// the names do not tell.
func Newer(name, other, path string) (newer, known bool) {
	a, b := rotationMark(name, path), rotationMark(other, path)
	switch {
	case a == b:
		return false, false
	case a == "" || b == "":
		return a == "", true
	case digits(a) == len(a) && digits(b) == len(b) && len(a) <= mostCounted && len(b) <= mostCounted:
		return len(a) < len(b) || len(a) == len(b) && a < b, true // app.log.1 is newer than app.log.2
	case digits(a) >= yymmdd && digits(b) >= yymmdd && len(a) == len(b):
		return a > b, true
	}
	return false, false
}

// mostCounted is how many digits the number of a rotated form has at most. More are a
// date.
const mostCounted = 4

// rotationMark returns what a rotation added to the name of a path, or the whole name.
func rotationMark(name, path string) string {
	base, of := strings.TrimSuffix(filepath.Base(name), Compression(name)), filepath.Base(path)
	if mark, ok := strings.CutPrefix(base, of); ok {
		return strings.TrimLeft(mark, ".-_")
	}
	return base
}

// Families maps folders to names, and names to the paths that own their rotated forms.
type Families map[string]map[string]string

// Add takes in a name and the path that owns its rotated forms: the name's own folder
// and, for a symbolic link, the folder of its target. The name of an earlier target
// differs from the target's only in a date or a number.
func (f Families) Add(name, path string) {
	f.put(name, path)
	if target, err := filepath.EvalSymlinks(name); err == nil && target != name {
		f.put(target, path)
		f.put(series(target), path)
		for _, base := range RotatedFrom(target) {
			f.put(base, path)
		}
	}
}

func (f Families) put(name, path string) {
	dir := filepath.Dir(name)
	if f[dir] == nil {
		f[dir] = make(map[string]string)
	}
	f[dir][name] = path
}

// series returns what the names of numbered or dated files of one folder have in
// common. No file has that name.
func series(name string) string {
	dir, base := filepath.Split(name)
	var b strings.Builder
	b.WriteString(dir)
	for i := range len(base) {
		digit := '0' <= base[i] && base[i] <= '9'
		switch {
		case !digit:
			b.WriteByte(base[i])
		case i == 0 || base[i-1] < '0' || base[i-1] > '9':
			b.WriteByte(0)
		}
	}
	return b.String()
}

// Owner returns which path of its folder a name belongs to.
func Owner(paths map[string]string, name string, basesOf func(string) []string) (path string, ok bool) {
	if path, ok = ownerOf(paths, name); ok {
		return path, true
	}
	for _, base := range basesOf(name) {
		if path, ok = ownerOf(paths, base); ok {
			return path, true
		}
	}
	return "", false
}

func ownerOf(paths map[string]string, name string) (path string, ok bool) {
	if path, ok = paths[name]; !ok {
		path, ok = paths[series(name)]
	}
	return path, ok
}
