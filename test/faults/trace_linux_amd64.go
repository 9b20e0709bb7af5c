package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// tracee is a meterlog whose calls on the state folder are counted, and one of
// them meets a fault.
type tracee struct {
	*site
	fault
	at    int    // the number of the call that meets it; 0 for a run without a fault
	calls int    // that were counted
	met   string // the call that met it

	pid  atomic.Int64
	done atomic.Bool
}

func (t *tracee) ended() bool { return t.done.Load() }

func (t *tracee) signal(s syscall.Signal) {
	if pid := int(t.pid.Load()); pid > 0 && !t.ended() {
		syscall.Kill(pid, s)
	}
}

// run traces a command until it ends. The function drives it.
func (t *tracee) run(drive func(), arguments ...string) error {
	// All of tracing is bound to the thread that began it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	words := append([]string{arguments[0], "--config", t.Config}, arguments[1:]...)
	c := exec.Command(t.Binary, words...)
	c.Env = append(os.Environ(), "YC_METADATA_ADDR="+strings.TrimPrefix(t.API, "http://"))
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		return err
	}
	leader := c.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(leader, &status, 0, nil); err != nil {
		return err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(leader, options); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	if err := unix.PtraceSyscall(leader, 0); err != nil {
		return err
	}
	t.pid.Store(int64(leader))
	driven := make(chan struct{})
	go func() {
		defer close(driven)
		drive()
	}()
	err := t.follow(leader)
	t.done.Store(true)
	<-driven
	c.Process.Release()
	return err
}

// thread is the state of a thread between two stops.
type thread struct {
	inside bool          // a call
	fails  syscall.Errno // the call ends with it; 0: as it does
}

// follow lets the threads go from call to call until the process has ended.
func (t *tracee) follow(leader int) error {
	threads := map[int]*thread{leader: {}}
	for {
		var status syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		if status.Exited() || status.Signaled() {
			delete(threads, tid)
			if tid == leader {
				return nil
			}
			continue
		}
		if !status.Stopped() {
			continue
		}
		th, known := threads[tid]
		if !known {
			th = new(thread)
			threads[tid] = th
		}
		pass := 0
		switch sig := status.StopSignal(); {
		case sig == syscall.SIGTRAP|0x80:
			t.stop(leader, tid, th)
		case sig == syscall.SIGTRAP: // of a clone
		case sig == syscall.SIGSTOP && !known:
		default:
			pass = int(sig)
		}
		unix.PtraceSyscall(tid, pass) // fails on a thread that was just killed
	}
}

// stop looks at a call as it begins or ends.
func (t *tracee) stop(leader, tid int, th *thread) {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(tid, &regs) != nil {
		return
	}
	th.inside = !th.inside
	if !th.inside {
		if th.fails != 0 {
			regs.Rax = uint64(-int64(th.fails))
			unix.PtraceSetRegs(tid, &regs)
			th.fails = 0
		}
		return
	}
	call, on := t.concerns(leader, tid, &regs)
	if on == "" {
		return
	}
	t.calls++
	if t.calls != t.at {
		return
	}
	t.met = call + " " + on
	if t.errno == 0 {
		syscall.Kill(leader, syscall.SIGKILL)
		return
	}
	th.fails = t.errno
	regs.Orig_rax = ^uint64(0) // an unknown call, so that the kernel does nothing
	unix.PtraceSetRegs(tid, &regs)
}

// arguments of a call by their places.
type shape struct {
	name           string
	path, fd, base int // place of a path, of a descriptor, of the folder that a path is relative to; -1: none
}

var shapes = map[uint64]shape{
	unix.SYS_OPEN: {"open", 0, -1, -1}, unix.SYS_OPENAT: {"openat", 1, -1, 0}, unix.SYS_MKDIR: {"mkdir", 0, -1, -1},
	unix.SYS_MKDIRAT: {"mkdirat", 1, -1, 0}, unix.SYS_UNLINK: {"unlink", 0, -1, -1}, unix.SYS_UNLINKAT: {"unlinkat", 1, -1, 0},
	unix.SYS_RENAME: {"rename", 0, -1, -1}, unix.SYS_RENAMEAT: {"renameat", 1, -1, 0}, unix.SYS_RENAMEAT2: {"renameat2", 1, -1, 0},
	unix.SYS_STAT: {"stat", 0, -1, -1}, unix.SYS_LSTAT: {"lstat", 0, -1, -1}, unix.SYS_NEWFSTATAT: {"newfstatat", 1, -1, 0},
	unix.SYS_ACCESS: {"access", 0, -1, -1}, unix.SYS_FACCESSAT: {"faccessat", 1, -1, 0}, unix.SYS_READLINK: {"readlink", 0, -1, -1},
	unix.SYS_STATFS: {"statfs", 0, -1, -1}, unix.SYS_STATX: {"statx", 1, -1, 0},
	unix.SYS_READ: {"read", -1, 0, -1}, unix.SYS_WRITE: {"write", -1, 0, -1}, unix.SYS_FSTAT: {"fstat", -1, 0, -1},
	unix.SYS_PREAD64: {"pread64", -1, 0, -1}, unix.SYS_PWRITE64: {"pwrite64", -1, 0, -1}, unix.SYS_FSYNC: {"fsync", -1, 0, -1},
	unix.SYS_FDATASYNC: {"fdatasync", -1, 0, -1}, unix.SYS_FTRUNCATE: {"ftruncate", -1, 0, -1}, unix.SYS_FALLOCATE: {"fallocate", -1, 0, -1},
	unix.SYS_FLOCK: {"flock", -1, 0, -1}, unix.SYS_FCNTL: {"fcntl", -1, 0, -1}, unix.SYS_FCHMOD: {"fchmod", -1, 0, -1},
	unix.SYS_FCHOWN: {"fchown", -1, 0, -1}, unix.SYS_GETDENTS64: {"getdents64", -1, 0, -1}, unix.SYS_CLOSE: {"close", -1, 0, -1},
	unix.SYS_MMAP: {"mmap", -1, 4, -1},
}

// concerns returns the name of a call on the state folder, and its file; "" for
// every other call.
func (t *tracee) concerns(leader, tid int, regs *unix.PtraceRegs) (call, on string) {
	s, known := shapes[regs.Orig_rax]
	if !known {
		return "", ""
	}
	argument := []uint64{regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8, regs.R9}
	path := ""
	if s.path >= 0 {
		path = textAt(tid, uintptr(argument[s.path]))
		if base := int32(-1); s.base >= 0 && !filepath.IsAbs(path) {
			base = int32(argument[s.base])
			path = filepath.Join(opened(leader, base), path)
		}
	} else {
		path = opened(leader, int32(argument[s.fd]))
	}
	state := filepath.Join(t.dir, "state")
	if path != state && !strings.HasPrefix(path, state+"/") {
		return "", ""
	}
	return s.name, strings.TrimPrefix(path, t.dir+"/")
}

func opened(pid int, fd int32) string {
	if fd < 0 {
		return ""
	}
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	return path
}

func textAt(tid int, address uintptr) string {
	text := make([]byte, 256)
	n, err := unix.PtracePeekData(tid, address, text)
	if err != nil && n == 0 {
		return ""
	}
	end := bytes.IndexByte(text[:n], 0)
	if end < 0 {
		return ""
	}
	return string(text[:end])
}
