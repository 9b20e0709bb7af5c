package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Runner starts journalctl with arguments. It returns what journalctl prints, and a
// function that waits for its end and returns why it failed. The end of ctx ends
// journalctl.
type Runner func(ctx context.Context, args []string) (output io.ReadCloser, wait func() error, err error)

// Run is the Runner of this machine's journalctl.
func Run(ctx context.Context, args []string) (io.ReadCloser, func() error, error) {
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return nil, nil, errors.New("there is no journalctl on this machine: install systemd, or follow a file instead")
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "SYSTEMD_COLORS=0"}
	c.WaitDelay = time.Second
	said := new(tail)
	c.Stderr = said
	output, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := c.Start(); err != nil {
		return nil, nil, fmt.Errorf("journalctl: %w", err)
	}
	wait := func() error {
		err := c.Wait()
		if text := strings.TrimSpace(said.String()); err != nil && text != "" {
			return fmt.Errorf("journalctl: %w: %s", err, text)
		} else if err != nil {
			return fmt.Errorf("journalctl: %w", err)
		}
		return nil
	}
	return output, wait, nil
}

// tail keeps the beginning of what a program says on standard error.
type tail struct{ bytes.Buffer }

func (t *tail) Write(text []byte) (int, error) {
	if room := 2000 - t.Len(); room > 0 {
		t.Buffer.Write(text[:min(room, len(text))])
	}
	return len(text), nil
}
