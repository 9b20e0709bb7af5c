package store

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
	PID int // the other process; 0 if it is unknown
}

func (e *LockedError) Error() string {
	who := ""
	if e.PID != 0 {
		who = fmt.Sprintf(" (pid %d)", e.PID)
	}
	return fmt.Sprintf("ledger: open %s: locked by another meterlog%s: stop it first, or give this one a folder of its own with --state-dir", e.Dir, who)
}

const LockName = "lock"

// Owner has the lock for an instant. A process that keeps it through all of these
// tries writes the ledger.
const (
	lockTries = 10
	lockPause = 10 * time.Millisecond
)

// lock takes the folder for this process until the file is closed or the
// process ends, however it ends.
func lock(dir string) (*os.File, error) {
	f, err := openFile(filepath.Join(dir, LockName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("ledger: lock: %w", err)
	}
	if err := handOver(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("ledger: lock: %w", err)
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &LockedError{Dir: dir, PID: readPID(f)}
		}
		return nil, fmt.Errorf("ledger: lock %s: %w", dir, err)
	}
	// The pid is for people: a full disk must not keep the agent from starting.
	note(f, recall(f))
	return f, nil
}

// flock takes the exclusive lock of an open file. Where another has it, the
// error is EWOULDBLOCK.
func flock(f *os.File) error {
	for tries := 1; ; tries++ {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || tries == lockTries {
			return err
		}
		time.Sleep(lockPause)
	}
}

// memory is what the lock's file remembers of the ledger. It is written without
// waiting for the disk, after each commit. All of it has happened, and more may
// have. So a ledger with fewer commits is an older state of itself.
type memory struct {
	ledger  string // its id; "" in an empty memory
	commits int64
	boot    string // the start of the machine during which it was written
}

// memoryLength is the size of the file, however long the numbers in it are.
const memoryLength = 160

// note writes the pid of this process and what is to be remembered.
func note(f *os.File, m memory) error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	if m.ledger != "" {
		text += fmt.Sprintf("ledger %s commits %d boot %s", m.ledger, m.commits, m.boot)
	}
	_, err := f.WriteAt([]byte(text+strings.Repeat(" ", max(0, memoryLength-1-len(text)))+"\n"), 0)
	return err
}

// recall reads what the lock's file remembers.
func recall(f *os.File) (m memory) {
	_, rest, _ := strings.Cut(lockText(f), "\n")
	if n, _ := fmt.Sscanf(rest, "ledger %s commits %d boot %s", &m.ledger, &m.commits, &m.boot); n < 2 {
		return memory{}
	}
	return m
}

// forget makes the lock's file remember nothing.
func forget(f *os.File) error {
	return errors.Join(f.Truncate(0), f.Sync())
}

// remember notes the number of a commit that has reached the disk.
func (f *folder) remember(commits int64) {
	f.noting.Lock()
	defer f.noting.Unlock()
	f.commits = max(f.commits, commits)
	note(f.lock, memory{ledger: f.id, commits: f.commits, boot: BootID()})
}

// Owner returns the pid of the process that writes the ledger in dir, and
// whether there is one. The pid is 0 if it is unknown.
func Owner(dir string) (pid int, running bool) {
	f, err := openFile(filepath.Join(dir, LockName), os.O_RDONLY)
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
	first, _, _ := strings.Cut(lockText(f), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(first))
	return pid
}

func lockText(f *os.File) string {
	text := make([]byte, memoryLength)
	n, err := f.ReadAt(text, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	return string(text[:n])
}
