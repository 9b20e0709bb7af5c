package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LockedError is returned when another process writes the ledger.
type LockedError struct {
	Dir string
	PID int // the other process; 0 where it could not be told
}

func (e *LockedError) Error() string {
	who := ""
	if e.PID != 0 {
		who = fmt.Sprintf(" (pid %d)", e.PID)
	}
	return fmt.Sprintf("ledger: open %s: locked by another meterlog%s: stop it first, or give this one a folder of its own with --state", e.Dir, who)
}

const lockName = "lock"

// Owner has the lock for an instant; another that keeps it through so many
// tries writes the ledger.
const (
	lockTries = 10
	lockPause = 10 * time.Millisecond
)

// lock takes the folder for this process until the file is closed or the
// process ends, however it ends.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("ledger: lock: %w", err)
	}
	f.Chmod(0o640) // whatever the umask: who may read the ledger sees whether it is written
	if err := handOver(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("ledger: lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for tries := 1; errors.Is(err, syscall.EWOULDBLOCK) && tries < lockTries; tries++ {
		time.Sleep(lockPause)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &LockedError{Dir: dir, PID: readPID(f)}
		}
		return nil, fmt.Errorf("ledger: lock %s: %w", dir, err)
	}
	// The pid is for people: a full disk must not keep the agent from starting.
	if f.Truncate(0) == nil {
		f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// Owner returns the pid of the process that writes the ledger in dir, and
// whether there is one. The pid is 0 where it cannot be told.
func Owner(dir string) (pid int, running bool) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return 0, false
	}
	return readPID(f), true
}

func readPID(f *os.File) int {
	text := make([]byte, 32)
	n, err := f.ReadAt(text, 0)
	if err != nil && err != io.EOF {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return pid
}
