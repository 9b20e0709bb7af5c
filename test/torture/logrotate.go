package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// modes are logrotate's, each for a writer of its own. logrotate keeps every
// file until it is read. A source follows the other folder of a mode as well.
var modes = []struct {
	name, directives string
	rotate           func(*writer) error
	folder           string
}{
	{"lr-create", "create 0644", (*writer).logrotateLate, ""},
	{"lr-copytruncate", "copytruncate", (*writer).logrotateOnce, ""},
	{"lr-compress", "create 0644\n\tcompress", (*writer).logrotateOnce, ""},
	{"lr-delaycompress", "create 0644\n\tcompress\n\tdelaycompress", (*writer).logrotateLate, ""},
	{"lr-copycompress", "copytruncate\n\tcompress\n\tdelaycompress", (*writer).logrotateOnce, ""},
	{"lr-dateext", "create 0644\n\tdateext\n\tdateformat -%Y%m%d-%s", (*writer).logrotateLate, ""},
	{"lr-datecompress", "create 0644\n\tdateext\n\tdateformat -%Y%m%d-%s\n\tcompress", (*writer).logrotateOnce, ""},
	{"lr-copygzip", "copytruncate\n\tcompress", (*writer).logrotateOnce, ""},
	{"lr-olddir", "create 0644\n\tcompress\n\tolddir old\n\tcreateolddir 755", (*writer).logrotateOnce, "old"},
}

// logrotateWriters returns the writers whose logs logrotate rotates. If logrotate
// is not installed it prints so and returns none.
func logrotateWriters(dir string) ([]*writer, error) {
	if _, err := exec.LookPath("logrotate"); err != nil {
		fmt.Println("logrotate is not installed: only the built-in rotations")
		return nil, nil
	}
	var writers []*writer
	for _, m := range modes {
		path := filepath.Join(dir, m.name+".log")
		w := &writer{name: m.name, patterns: []string{path}, rotate: m.rotate}
		if m.folder != "" {
			w.patterns = append(w.patterns, filepath.Join(dir, m.folder, m.name+".log*"))
		}
		w.logrotate = filepath.Join(dir, m.name+".conf")
		text := fmt.Sprintf("%s {\n\tmissingok\n\tmaxage 7\n\trotate 2000\n\t%s\n}\n", path, m.directives)
		if err := os.WriteFile(w.logrotate, []byte(text), 0o644); err != nil {
			return nil, err
		}
		writers = append(writers, w)
	}
	return writers, nil
}

// logrotateOnce has logrotate rotate the log while nothing is written.
func (w *writer) logrotateOnce() error {
	old, err := w.runLogrotate()
	if err != nil || old == nil {
		return err
	}
	return old.Close()
}

// logrotateLate goes on writing to the old file for a while.
func (w *writer) logrotateLate() error {
	old, err := w.runLogrotate()
	if err != nil || old == nil {
		return err
	}
	return w.writeLate(old)
}

// runLogrotate has logrotate rotate the log and opens the new one. It returns
// the file that was the log before; nil where the log is the same as before:
// it was truncated, or one date is good for one rotation.
func (w *writer) runLogrotate() (old *os.File, err error) {
	out, err := exec.Command("logrotate", "--force", "--state", w.logrotate+".state", w.logrotate).CombinedOutput()
	if bytes.Contains(out, []byte("already exists, skipping rotation")) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("logrotate: %w: %s", err, out)
	}
	before, err := w.file.Stat()
	if err != nil {
		return nil, err
	}
	if now, err := os.Stat(w.path); err != nil || os.SameFile(before, now) {
		return nil, err
	}
	old = w.file
	return old, w.open()
}
