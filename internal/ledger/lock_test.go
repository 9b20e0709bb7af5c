package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/store"
)

const holdVariable = "METERLOG_TEST_HOLD_LEDGER"

// holdLedger opens the ledger, commits one mail in the first minute, says so, and
// keeps the ledger until standard input ends.
func holdLedger(dir string) int {
	l, err := Open(context.Background(), dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer l.Close()
	if err := l.Commit(context.Background(), counts(mails, map[meter.Window]int64{minute(0): 1}), noon); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("open")
	io.Copy(io.Discard, os.Stdin)
	return 0
}

// hold opens the ledger in another process, which lives until the test ends or
// kills it.
func hold(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	c := exec.Command(self)
	c.Env = append(os.Environ(), holdVariable+"="+dir)
	stdin, err := c.StdinPipe()
	check(t, err)
	stdout, err := c.StdoutPipe()
	check(t, err)
	check(t, c.Start())
	t.Cleanup(func() {
		stdin.Close()
		c.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "open\n" {
		t.Fatalf("the other process says %q (%v)", line, err)
	}
	return c
}

func TestOneProcessWrites(t *testing.T) {
	dir := t.TempDir()
	if pid, running := Owner(dir); running || pid != 0 {
		t.Errorf("a folder without a ledger belongs to %d, %v", pid, running)
	}
	other := hold(t, dir)
	_, err := Open(t.Context(), dir)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != other.Process.Pid || locked.Dir != dir {
		t.Fatalf("a second process gets %#v, want a LockedError with pid %d", err, other.Process.Pid)
	}
	if want := fmt.Sprintf("locked by another meterlog (pid %d)", other.Process.Pid); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	if pid, running := Owner(dir); !running || pid != other.Process.Pid {
		t.Errorf("it belongs to %d, %v; want %d", pid, running, other.Process.Pid)
	}
	check(t, other.Process.Kill())
	other.Wait()
	if pid, running := Owner(dir); running {
		t.Errorf("after the kill it belongs to %d", pid)
	}
	l := open(t, dir)
	if pid, running := Owner(dir); !running || pid != os.Getpid() {
		t.Errorf("it belongs to %d, %v; want this process, %d", pid, running, os.Getpid())
	}
	if _, err := Open(t.Context(), dir); !isA[*LockedError](err) {
		t.Errorf("a second time in the same process: %v", err)
	}
	check(t, l.Close())
	open(t, dir).Close()
}

func TestOneWhoAsksIsNotTakenForTheOwner(t *testing.T) {
	dir := t.TempDir()
	check(t, open(t, dir).Close())
	f := must(os.Open(filepath.Join(dir, store.LockName)))
	defer f.Close()
	check(t, syscall.Flock(int(f.Fd()), syscall.LOCK_SH)) // as another that asks
	if pid, running := Owner(dir); running {
		t.Errorf("it belongs to %d", pid)
	}
}

// Who may read the ledger can tell whether it is written, also where the umask,
// or an earlier version, has left the lock to its owner alone.
func TestLockIsReadAsTheLedgerIs(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, store.LockName), nil, 0o600))
	l, err := Open(t.Context(), dir)
	check(t, err)
	defer l.Close()
	for _, name := range []string{store.LockName, FileName} {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		if mode := info.Mode().Perm(); mode != 0o640 {
			t.Errorf("%s has mode %o", name, mode)
		}
	}
}
