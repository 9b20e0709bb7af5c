package logfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// somebody and nobody are users that need not exist.
const somebody, nobody = 64001, 64002

// place makes a folder with a log of somebody's, folders of two users, and links
// between them.
func place(t *testing.T) (dir string) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir = t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	make := func(name string, owner int) {
		check(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		check(os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
		check(os.Chown(filepath.Join(dir, name), owner, owner))
		check(os.Chown(filepath.Dir(filepath.Join(dir, name)), owner, owner))
	}
	link := func(target, name string, owner int) {
		check(os.Symlink(target, filepath.Join(dir, name)))
		check(os.Lchown(filepath.Join(dir, name), owner, owner))
	}
	make("logs/app.log", somebody)
	make("logs/deep/app.log", somebody)
	make("secret/shadow", 0)
	make("other/x.log", nobody)
	link("app.log", "logs/own.log", somebody)
	link("../secret/shadow", "logs/shadow.log", somebody)
	link(filepath.Join(dir, "secret/shadow"), "logs/absolute.log", somebody)
	link("../secret/shadow", "logs/of-root.log", 0)
	link("../other/x.log", "logs/other.log", somebody)
	link("../secret", "logs/folder", somebody)
	link("deep", "logs/own-folder", somebody)
	link("shadow.log", "logs/twice.log", 0)
	link("own.log", "logs/twice-own.log", somebody)
	link("folder/shadow", "logs/through.log", 0)
	link("loop.log", "logs/loop.log", somebody)
	link("nowhere", "logs/nowhere.log", somebody)
	link("logs", "entrance", nobody)
	check(unix.Mkfifo(filepath.Join(dir, "logs/fifo.log"), 0o644))
	return dir
}

// A link is followed only if it shows nothing that its owner does not own, or if
// root made it. The way down to the root is the configuration's.
func TestLinkPolicy(t *testing.T) {
	dir := place(t)
	for _, tt := range []struct {
		name, root string
		err        error
		link       string // that is refused
	}{
		{"logs/app.log", "logs", nil, ""},
		{"logs/own.log", "logs", nil, ""},
		{"logs/shadow.log", "logs", ErrLinkRefused, "logs/shadow.log"},
		{"logs/shadow.log", "", ErrLinkRefused, "logs/shadow.log"},
		{"logs/absolute.log", "logs", ErrLinkRefused, "logs/absolute.log"},
		{"logs/of-root.log", "logs", nil, ""},
		{"logs/other.log", "logs", ErrLinkRefused, "logs/other.log"},
		{"logs/folder/shadow", "logs", ErrLinkRefused, "logs/folder"},
		{"logs/folder/shadow", "logs/folder", nil, ""}, // the configuration names it
		{"logs/own-folder/app.log", "logs", nil, ""},
		{"logs/twice.log", "logs", ErrLinkRefused, "logs/shadow.log"},
		{"logs/twice-own.log", "logs", nil, ""},
		{"logs/through.log", "logs", ErrLinkRefused, "logs/folder"},
		{"logs/loop.log", "logs", unix.ELOOP, ""},
		{"logs/nowhere.log", "logs", fs.ErrNotExist, ""},
		{"entrance/app.log", "entrance", nil, ""},
		{"entrance/app.log", "", nil, ""},
		{"logs/fifo.log", "logs", ErrNotRegular, ""},
		{"logs/deep", "logs", ErrNotRegular, ""},
		{"logs/gone.log", "logs", fs.ErrNotExist, ""},
	} {
		root := tt.root
		if root != "" {
			root = filepath.Join(dir, root)
		}
		name := filepath.Join(dir, tt.name)
		f, err := Open(name, root)
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("Open %s below %q: %v, want %v", tt.name, tt.root, err, tt.err)
		}
		if err == nil {
			f.Close()
		}
		var at *fs.PathError
		if tt.link != "" && (!errors.As(err, &at) || at.Path != filepath.Join(dir, tt.link)) {
			t.Errorf("Open %s: %v does not name %s", tt.name, err, tt.link)
		}
		info, err := NewDisk(func(string) string { return root }).Stat(name)
		if errors.Is(tt.err, ErrNotRegular) {
			if err != nil || info.Mode().IsRegular() {
				t.Errorf("Stat %s: %v, %v", tt.name, info, err)
			}
		} else if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("Stat %s below %q: %v, want %v", tt.name, tt.root, err, tt.err)
		}
	}
}

// A link that is put in a file's place is never followed unchecked, and a FIFO
// never waits for its writer.
func TestSwappedWhileOpened(t *testing.T) {
	dir := place(t)
	logs := filepath.Join(dir, "logs")
	name := filepath.Join(logs, "swapped.log")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		next := filepath.Join(logs, "next")
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			switch i % 3 {
			case 0:
				os.WriteFile(next, []byte("a log"), 0o644)
			case 1:
				os.Symlink("../secret/shadow", next)
				os.Lchown(next, somebody, somebody)
			case 2:
				unix.Mkfifo(next, 0o644)
			}
			os.Rename(next, name)
		}
	}()
	if _, err := Open("", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open no name: %v", err)
	}
	opened := 0
	for range 20_000 {
		f, err := Open(name, logs)
		if err != nil {
			continue
		}
		opened++
		text := make([]byte, 100)
		n, _ := f.ReadAt(text, 0)
		f.Close()
		if got := string(text[:n]); got != "a log" && got != "" {
			t.Fatalf("read %q", got)
		}
	}
	close(stop)
	<-done
	if opened == 0 {
		t.Error("the log was never there")
	}
}
