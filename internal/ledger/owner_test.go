package ledger

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The service could not open what root has left to itself in its folder.
func TestRootLeavesTheFoldersOwnerEveryFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const service = 4321
	for name, act := range map[string]func(dir string) error{
		"opened": func(dir string) error {
			l, err := Open(context.Background(), dir)
			if err != nil {
				return err
			}
			return l.Close()
		},
		"removed": func(dir string) error {
			_, err := Remove(context.Background(), dir)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			check(t, os.Chown(dir, service, service))
			check(t, act(dir))
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			check(t, err)
			if len(files) == 0 {
				t.Fatal("no file to look at")
			}
			for _, file := range files {
				info, err := os.Stat(file)
				check(t, err)
				if owner := info.Sys().(*syscall.Stat_t); owner.Uid != service || owner.Gid != service {
					t.Errorf("%s belongs to %d:%d", filepath.Base(file), owner.Uid, owner.Gid)
				}
			}
		})
	}
}
