// Command e2e asks the product's question of the package, in a Debian that
// systemd has booted: is it installed, run, reloaded, killed, rebooted, upgraded
// and removed as a service should be, and was every unit billed exactly once?
//
// Applications write logs there which logrotate rotates by its timer, by renaming
// and by copytruncate, while all this happens. Another prints to the journal, which
// is rotated, vacuumed and restarted as well. The sandbox takes the records. In the
// end the sums must agree, and the journal must hold no error that was not provoked.
//
// It needs root, systemd-nspawn and debootstrap. Where a machine cannot be run
// it says why and exits with 77.
//
//	go run ./test/e2e
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const exitUnable = 77

func main() {
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "write": // within the machine
		err = write(os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "print": // the same
		err = printLines(os.Args[2:])
	case len(os.Args) > 2 && os.Args[1] == "get": // the same
		err = get(os.Args[2])
	default:
		err = host()
	}
	switch {
	case errors.Is(err, errUnable):
		fmt.Fprintln(os.Stderr, "e2e: not run:", err)
		os.Exit(exitUnable)
	case err != nil:
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

// host runs the whole on the host, in the repository's folder.
func host() error {
	cache := flag.String("cache", cacheFolder(), "the `folder` where a fresh Debian is kept from run to run")
	suite := flag.String("suite", "", "the Debian to install (default: that of the host, or bookworm)")
	keep := flag.Bool("keep", false, "keep the machine's file system")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := able(); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "meterlog-e2e-")
	if err != nil {
		return err
	}
	if *keep {
		fmt.Println("kept:", work)
	} else {
		defer os.RemoveAll(work)
	}
	root, err := installDebian(ctx, *suite, *cache, work)
	if err != nil {
		return err
	}
	s := &story{}
	if err := s.build(ctx, work, root); err != nil {
		return err
	}
	if s.machine, err = bootMachine(ctx, root); err != nil {
		return err
	}
	defer s.stop()
	return s.tell(ctx)
}

// able reports what is missing to run a machine.
func able() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: it needs root", errUnable)
	}
	for _, tool := range []string{"systemd-nspawn", "debootstrap", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: %w: install systemd-container, debootstrap and util-linux", errUnable, err)
		}
	}
	return nil
}

func cacheFolder() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "meterlog-e2e")
	}
	return "/var/cache/meterlog-e2e"
}

// build puts two versions of the package into the machine, and this program,
// which writes the logs there.
func (s *story) build(ctx context.Context, work, root string) error {
	out, err := exec.CommandContext(ctx, "packaging/version").Output()
	if err != nil {
		return fmt.Errorf("packaging/version: %w", err)
	}
	s.version = strings.TrimSpace(string(out))
	s.newer = s.version + "+upgrade"
	for _, version := range []string{s.version, s.newer} {
		if err := run(ctx, []string{"VERSION=" + version, "DIST=" + filepath.Join(work, version)}, "packaging/build", runtime.GOARCH); err != nil {
			return err
		}
		if err := run(ctx, nil, "cp", filepath.Join(work, version, debName(version)), filepath.Join(root, "root")); err != nil {
			return err
		}
	}
	return run(ctx, []string{"CGO_ENABLED=0"}, "go", "build", "-o", filepath.Join(root, "usr/local/bin/e2e"), "./test/e2e")
}

func debName(version string) string {
	return fmt.Sprintf("meterlog_%s-1_%s.deb", version, runtime.GOARCH)
}

// run runs a command on the host.
func run(ctx context.Context, env []string, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, lastLines(string(out), 10))
	}
	return nil
}

// get prints what a URL answers, if that is 200.
func get(url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
