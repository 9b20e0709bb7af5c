package glob

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		set  Set
		path string
		want bool
	}{
		{Set{Paths: []string{"/var/log/app.log"}}, "/var/log/app.log", true},
		{Set{Paths: []string{"/var/log/app.log"}}, "/var/log/app.log.1", false},
		{Set{Paths: []string{"/var/log/*.log"}}, "/var/log/sub/app.log", false},
		{Set{Paths: []string{"/var/log/**/*.log"}}, "/var/log/sub/app.log", true},
		{Set{Paths: []string{"/a/*.log", "/b/*.log"}}, "/b/x.log", true},
		{Set{Paths: []string{"/a/**"}, Exclude: []string{"*.debug.log"}}, "/a/b/x.debug.log", false},
		{Set{Paths: []string{"/a/**"}, Exclude: []string{"/a/b/*"}}, "/a/b/x.log", false},
		{Set{Paths: []string{"/a/**"}, Exclude: []string{"/a/b/*"}}, "/a/c/x.log", true},
		{Set{}, "/a", false},
	} {
		if got := tt.set.Covers(tt.path); got != tt.want {
			t.Errorf("%v covers %s: %v", tt.set, tt.path, got)
		}
	}
}

// Files returns each file once, no folder, and nothing that is excluded.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.log", "a.log", "a.debug.log", "sub/c.log"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := Set{Paths: []string{dir + "/*", dir + "/**/*.log"}, Exclude: []string{"*.debug.log"}}
	want := []string{dir + "/a.log", dir + "/b.log", dir + "/sub/c.log"}
	if got, err := s.Files(); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// A folder that cannot be read is an error, and what the others hold is found.
func TestUnreadableFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads every folder")
	}
	dir := t.TempDir()
	for _, name := range []string{"open", "closed"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "a.log"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "closed"), 0o700) })
	got, err := Set{Paths: []string{dir + "/*/a.log"}}.Files()
	if err == nil || !slices.Equal(got, []string{dir + "/open/a.log"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// Two stars cross no links: two links to the folder itself would have no end.
func TestTwoStarsCrossNoLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app.log", "d/app.log"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"one": ".", "two": ".", "d/up": "..", "to.log": "app.log"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Expand(filepath.Join(dir, "**", "*.log"))
	slices.Sort(got)
	want := []string{filepath.Join(dir, "app.log"), filepath.Join(dir, "d", "app.log"), filepath.Join(dir, "to.log")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if got, err := Expand(filepath.Join(dir, "*", "app.log")); err != nil || len(got) != 3 {
		t.Errorf("a single star follows links to folders: got %q, %v", got, err)
	}
}

// The folder that a pattern names literally decides which links may be followed.
func TestFixed(t *testing.T) {
	patterns := []string{"/var/log/*.log", "/var/log/app/*.log", "/var/log/app/today/a.log", "/srv/**/x.log", "/*.txt"}
	for name, want := range map[string]string{
		"/var/log/a.log":             "/var/log",
		"/var/log/app/a.log":         "/var/log/app",
		"/var/log/app/today/a.log":   "/var/log/app/today",
		"/var/log/app/today/a.log.1": "/", // matched by none: the shortest above it
		"/srv/a/b/x.log":             "/srv",
		"/a.txt":                     "/",
	} {
		if got := Fixed(patterns, name); got != want {
			t.Errorf("Fixed of %s is %q, want %q", name, got, want)
		}
	}
	if got := Fixed(patterns[:3], "/srv/a.log"); got != "" {
		t.Errorf("a file below no pattern has the folder %q", got)
	}
}
