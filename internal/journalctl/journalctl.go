package journalctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Runner starts journalctl with arguments. The end of ctx ends journalctl. If
// complain is not nil, journalctl tells all that it knows, and complain is called
// with each line of that. Any goroutine may call it, but never two at once.
type Runner func(ctx context.Context, args []string, complain func(line string)) (*Process, error)

// Process is a journalctl that runs.
type Process struct {
	Output io.ReadCloser

	// Wait waits for the end, and returns why it failed. Everything that
	// journalctl complained of has then been passed on.
	Wait func() error

	// Sync passes on the complaints of journalctl up to now.
	Sync func()
}

// Run runs this machine's journalctl. It is a Runner.
func Run(ctx context.Context, args []string, complain func(line string)) (*Process, error) {
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return nil, errors.New("there is no journalctl on this machine: install systemd, or follow a file instead")
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "SYSTEMD_COLORS=0", "SYSTEMD_LOG_TARGET=console-prefixed"}
	if complain != nil {
		c.Env = append(c.Env, "SYSTEMD_LOG_LEVEL=debug") // it tells of damage on this level only
	}
	c.WaitDelay = time.Second
	said, end, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.Stderr = end
	output, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	end.Close()
	if err != nil {
		said.Close()
		return nil, fmt.Errorf("journalctl: %w", err)
	}
	v := &voice{complain: complain, ended: make(chan struct{})}
	if v.conn, err = said.SyscallConn(); err != nil {
		return nil, err
	}
	go v.listen()
	wait := func() error {
		err := c.Wait()
		select { // a child of it may keep the pipe open
		case <-v.ended:
		case <-time.After(c.WaitDelay):
		}
		v.sync()
		said.Close()
		<-v.ended
		if text := v.text(); err != nil && text != "" {
			return fmt.Errorf("journalctl: %w: %s", err, text)
		} else if err != nil {
			return fmt.Errorf("journalctl: %w", err)
		}
		return nil
	}
	return &Process{Output: output, Wait: wait, Sync: v.sync}, nil
}
