package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// folders are where journald keeps a machine's journal.
var folders = []string{"/var/log/journal", "/run/log/journal"}

// recent is how long after a change the next one may bear the same time.
const recent = 2 * time.Second

// filesOf returns a function that tells of the files of a machine's journal. What it
// returns changes when a file is made, renamed or deleted, and may change at other
// times.
func filesOf(machine string) func() string {
	return func() (state string) {
		for _, folder := range folders {
			info, err := os.Stat(filepath.Join(folder, machine))
			if err != nil {
				continue
			}
			changed := info.ModTime()
			if since := time.Since(changed); since < recent {
				changed = time.Now()
			}
			state += fmt.Sprint(folder, changed.UnixNano(), " ")
		}
		return state
	}
}
