// Package glob says which files a source has. It is the one answer for all who
// ask: check, test, run and status.
package glob

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Set is a set of files, by patterns.
type Set struct {
	Paths   []string // absolute patterns; ** crosses folders
	Exclude []string // patterns, of the whole path or, without a slash, of its last element
}

// Covers reports whether the patterns choose this absolute path.
func (s Set) Covers(path string) bool {
	return slices.ContainsFunc(s.Paths, func(pattern string) bool { return Match(pattern, path) }) && !s.Excludes(path)
}

// Excludes reports whether the set leaves out this absolute path.
func (s Set) Excludes(path string) bool {
	return slices.ContainsFunc(s.Exclude, func(pattern string) bool {
		if !strings.Contains(pattern, "/") {
			return Match(pattern, filepath.Base(path))
		}
		return Match(pattern, path)
	})
}

// Match reports whether a pattern chooses a name. A malformed one chooses none.
func Match(pattern, name string) bool {
	ok, err := doublestar.PathMatch(pattern, name)
	return ok && err == nil
}

// Files returns the files that the set has now, sorted, without folders.
// With an error some folder could not be read, and Files returns what the
// others hold.
func (s Set) Files() (paths []string, err error) {
	for _, pattern := range s.Paths {
		found, e := Expand(pattern)
		err = errors.Join(err, e)
		for _, path := range found {
			if info, e := os.Stat(path); e == nil && !info.IsDir() && s.Covers(path) {
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), err
}

// Expand returns the paths that match the pattern now. A pattern with ** crosses
// no links to folders. With an error that is
// not doublestar.ErrBadPattern some folder could not be read, and Expand
// returns what the others hold.
func Expand(pattern string) ([]string, error) {
	if !HasMeta(pattern) {
		if _, err := os.Lstat(pattern); err != nil {
			if os.IsNotExist(err) {
				return nil, nil
			}
			return nil, err
		}
		return []string{pattern}, nil
	}
	var options []doublestar.GlobOption
	if strings.Contains(pattern, "**") { // or two links to . would never end
		options = append(options, doublestar.WithNoFollow())
	}
	paths, err := doublestar.FilepathGlob(pattern, append(options, doublestar.WithFailOnIOErrors())...)
	if err == nil {
		return paths, nil
	}
	paths, bad := doublestar.FilepathGlob(pattern, options...)
	if bad == nil && errors.Is(err, fs.ErrNotExist) { // it went while we looked
		return paths, nil
	}
	var below *fs.PathError
	if errors.As(err, &below) {
		base, _ := doublestar.SplitPattern(pattern)
		return paths, &fs.PathError{Op: below.Op, Path: filepath.Join(base, below.Path), Err: below.Err}
	}
	return paths, fmt.Errorf("pattern %s: %w", pattern, err)
}

// HasMeta reports whether a pattern is more than a path.
func HasMeta(pattern string) bool { return strings.ContainsAny(pattern, `*?[{\`) }

// Root returns the folder that holds all that the pattern can match.
func Root(pattern string) string {
	dir, _ := doublestar.SplitPattern(filepath.ToSlash(pattern))
	if !HasMeta(pattern) {
		return filepath.Dir(pattern)
	}
	return dir
}

// Fixed returns the folder that the patterns name literally on the way to a file. If
// patterns match the file, the longest one decides, otherwise the shortest one above
// the file. It returns "" for a file below no pattern.
func Fixed(patterns []string, name string) string { return RootsOf(patterns).Of(name) }

// Roots are patterns with the folder that each names literally, for those who ask
// about many files.
type Roots []rooted

type rooted struct{ pattern, root, above string }

// RootsOf returns the roots of patterns.
func RootsOf(patterns []string) Roots {
	roots := make(Roots, len(patterns))
	for i, pattern := range patterns {
		root := Root(pattern)
		roots[i] = rooted{pattern, root, strings.TrimSuffix(root, "/") + "/"}
	}
	return roots
}

// Of returns what Fixed returns of a file.
func (r Roots) Of(name string) string {
	longest, shortest := "", ""
	for _, at := range r {
		if !strings.HasPrefix(name, at.above) {
			continue
		}
		if len(at.root) > len(longest) && Match(at.pattern, name) {
			longest = at.root
		}
		if shortest == "" || len(at.root) < len(shortest) {
			shortest = at.root
		}
	}
	return cmp.Or(longest, shortest)
}
