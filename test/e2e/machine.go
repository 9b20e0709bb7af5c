package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// machine is a Debian that systemd-nspawn has booted. Its network is a loopback
// of its own.
type machine struct {
	root   string // its file system
	nspawn *exec.Cmd
	ended  chan struct{} // closed when nspawn has ended
	said   bytes.Buffer  // by nspawn and on the console
}

// errUnable is wrapped by errors of a host that cannot run a machine.
var errUnable = errors.New("a machine cannot be run here")

const (
	bootTime = time.Minute
	powerOff = syscall.Signal(34 + 4) // SIGRTMIN+4, to the machine's first process
)

// bootMachine starts what is installed in root.
func bootMachine(ctx context.Context, root string) (*machine, error) {
	m := &machine{root: root}
	if err := m.boot(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnable, err)
	}
	return m, nil
}

func (m *machine) boot(ctx context.Context) error {
	args := []string{"--directory", m.root, "--machine", "meterlog-e2e", "--register=no", "--private-network", "--boot", "--console=pipe"}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		args = append(args, "--keep-unit") // nobody is there to ask for a unit of its own
	}
	m.nspawn, m.ended = exec.Command("systemd-nspawn", args...), make(chan struct{})
	m.said.Reset()
	m.nspawn.Stdout, m.nspawn.Stderr = &m.said, &m.said
	if err := m.nspawn.Start(); err != nil {
		return err
	}
	go func() { m.nspawn.Wait(); close(m.ended) }()
	if err := m.booted(ctx, 0); err != nil {
		m.stop()
		return fmt.Errorf("%w\n%s", err, m.said.String())
	}
	return nil
}

// booted waits until the machine is up with another first process than before.
func (m *machine) booted(ctx context.Context, before int) error {
	return within(ctx, bootTime, "the machine to boot", func() error {
		if leader := m.leader(); leader == before || leader == 0 {
			return errors.New("there is no other first process")
		}
		state, _ := m.output(ctx, "systemctl", "is-system-running")
		if state != "running" && state != "degraded" {
			return fmt.Errorf("it is %q", state)
		}
		return nil
	})
}

// leader returns the pid of the machine's first process, or 0 before it runs.
func (m *machine) leader() int {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.nspawn.Process.Pid))
	if err != nil {
		return 0
	}
	pid := 0
	fmt.Sscan(string(list), &pid)
	return pid
}

// command returns a command that runs inside the machine.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	enter := []string{"--target", fmt.Sprint(m.leader()), "--all", "--", "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "DEBIAN_FRONTEND=noninteractive"}
	return exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
}

// output runs a command within the machine, and returns what it printed on
// standard output. Its error has what was printed on both.
func (m *machine) output(ctx context.Context, args ...string) (string, error) {
	c := m.command(ctx, args...)
	var out, all bytes.Buffer
	c.Stdout, c.Stderr = &both{&out, &all}, &all
	err := c.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(all.String()))
	}
	return strings.TrimSpace(out.String()), err
}

// both are two buffers for one output.
type both struct{ a, b *bytes.Buffer }

func (w *both) Write(p []byte) (int, error) {
	w.a.Write(p)
	return w.b.Write(p)
}

// reboot asks the machine to restart, and waits until it has. If nspawn runs
// outside of a unit, it ends with the machine, and reboot starts it again.
func (m *machine) reboot(ctx context.Context) error {
	before := m.leader()
	m.output(ctx, "systemctl", "reboot") // which may end before it answers
	ended := within(ctx, bootTime, "the machine to go down", func() error {
		if m.leader() == before {
			return errors.New("it is up")
		}
		return nil
	})
	if ended != nil {
		return ended
	}
	select {
	case <-m.ended:
		return m.boot(ctx)
	case <-time.After(time.Second):
		return m.booted(ctx, before)
	}
}

// stop switches the machine off, at once if it does not do so itself.
func (m *machine) stop() {
	if leader := m.leader(); leader != 0 {
		syscall.Kill(leader, powerOff)
	}
	select {
	case <-m.ended:
	case <-time.After(20 * time.Second):
		m.nspawn.Process.Kill()
		<-m.ended
	}
}

// put writes a file into the machine.
func (m *machine) put(path string, data []byte, mode os.FileMode) error {
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}

// get reads a file of the machine.
func (m *machine) get(path string) ([]byte, error) { return os.ReadFile(filepath.Join(m.root, path)) }

// within calls try until it succeeds or patience is over.
func within(ctx context.Context, patience time.Duration, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s: %w", patience, what, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
