package tailer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Source is a set of files that share rules.
type Source struct {
	Name    string
	Paths   []string // glob patterns; ** crosses folders
	Exclude []string // glob patterns, of the whole path or, without a slash, of the last element
	AtEnd   bool     // files found at the first start are read from their end
}

// follows reports whether the source's patterns choose the path.
func (s Source) follows(path string) bool {
	for _, pattern := range s.Paths {
		if match(pattern, path) {
			return !s.excludes(path)
		}
	}
	return false
}

func (s Source) excludes(path string) bool {
	return slices.ContainsFunc(s.Exclude, func(pattern string) bool {
		if !strings.Contains(pattern, "/") {
			return match(pattern, filepath.Base(path))
		}
		return match(pattern, path)
	})
}

func match(pattern, name string) bool {
	ok, err := doublestar.PathMatch(pattern, name)
	return ok && err == nil
}

// expand returns the paths that match the pattern now. With an error that is
// not doublestar.ErrBadPattern some folder could not be looked at: what the
// others hold is returned all the same.
func expand(pattern string) ([]string, error) {
	if !hasMeta(pattern) {
		if _, err := os.Lstat(pattern); err != nil {
			if os.IsNotExist(err) {
				return nil, nil
			}
			return nil, err
		}
		return []string{pattern}, nil
	}
	paths, err := doublestar.FilepathGlob(pattern, doublestar.WithFailOnIOErrors())
	if err == nil {
		return paths, nil
	}
	paths, bad := doublestar.FilepathGlob(pattern)
	if bad == nil && isMissing(err) { // it went while we looked
		return paths, nil
	}
	var below *fs.PathError
	if errors.As(err, &below) {
		base, _ := doublestar.SplitPattern(pattern)
		return paths, &fs.PathError{Op: below.Op, Path: filepath.Join(base, below.Path), Err: below.Err}
	}
	return paths, fmt.Errorf("pattern %s: %w", pattern, err)
}

func hasMeta(pattern string) bool { return strings.ContainsAny(pattern, `*?[{\`) }

// root returns the folder below which all that the pattern matches lies.
func root(pattern string) string {
	dir, _ := doublestar.SplitPattern(filepath.ToSlash(pattern))
	if !hasMeta(pattern) {
		return filepath.Dir(pattern)
	}
	return dir
}
