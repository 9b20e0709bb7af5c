package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// handOver gives a file that root opens to the owner of its folder: root's work by
// hand must not lock the service's user out. SQLite does the same with its
// journals, after the database. The mode does not depend on the umask: who may
// read the ledger may read the file.
func handOver(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	folder, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	file, owner := info.Sys().(*syscall.Stat_t), folder.Sys().(*syscall.Stat_t)
	if os.Geteuid() == 0 && file.Nlink > 1 && file.Uid != owner.Uid {
		// A link to somebody else's file, which root would give away.
		return fmt.Errorf("%s is a file of user %d that has another name as well: remove it", f.Name(), file.Uid)
	}
	f.Chmod(0o640)
	if os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

// ActAsOwner gives up root's rights for the rest of the process, and takes the
// rights of the folder's owner. So a command of root changes nothing
// that this user could not change, whatever the folder holds.
func ActAsOwner(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if os.Geteuid() != 0 || owner.Uid == 0 {
		return nil
	}
	err = syscall.Setgroups([]int{int(owner.Gid)})
	if err == nil {
		err = syscall.Setresgid(int(owner.Gid), int(owner.Gid), int(owner.Gid))
	}
	if err == nil {
		err = syscall.Setresuid(int(owner.Uid), int(owner.Uid), int(owner.Uid))
	}
	if err != nil {
		return fmt.Errorf("act as the user %d, who owns %s: %w", owner.Uid, dir, err)
	}
	return nil
}
