package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// include is what the machine has beside the smallest Debian.
const include = "systemd,systemd-sysv,dbus,logrotate,ca-certificates"

// installDebian returns a folder with a fresh Debian. It copies the Debian from
// the cache, which the first run fills.
func installDebian(ctx context.Context, suite, cache, work string) (string, error) {
	from := debianArchive(ctx)
	if suite != "" {
		from.suite = suite
	}
	base := filepath.Join(cache, fmt.Sprintf("%s-%s", from.suite, runtime.GOARCH))
	if _, err := os.Stat(base); err != nil {
		if err := debootstrap(ctx, from, base); err != nil {
			return "", fmt.Errorf("%w: %w", errUnable, err)
		}
	}
	root := filepath.Join(work, "debian")
	if out, err := exec.CommandContext(ctx, "cp", "--archive", "--reflink=auto", base, root).CombinedOutput(); err != nil {
		return "", fmt.Errorf("copy %s: %w: %s", base, err, out)
	}
	// The machine is a new one, and keeps its journal over a reboot.
	os.Remove(filepath.Join(root, "etc/machine-id"))
	os.Remove(filepath.Join(root, "var/lib/dbus/machine-id"))
	return root, os.MkdirAll(filepath.Join(root, "var/log/journal"), 0o755)
}

// archive is where a Debian comes from; mirror "" is debootstrap's own choice.
type archive struct{ suite, mirror, proxy string }

// debianArchive is what the host itself is installed from, if that is a Debian.
func debianArchive(ctx context.Context) archive {
	a := archive{suite: "bookworm"}
	ask := func(name string, args ...string) string {
		out, _ := exec.CommandContext(ctx, name, args...).Output()
		return strings.TrimSpace(string(out))
	}
	targets := ask("apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(COMPONENT) $(CODENAME) $(REPO_URI)", "Created-By: Packages")
	for _, line := range strings.Split(targets, "\n") {
		if f := strings.Fields(line); len(f) == 5 && f[0]+f[1]+f[2] == "DebianDebianmain" && !strings.Contains(f[3], "-") {
			a.suite, a.mirror = f[3], f[4]
			break
		}
	}
	a.proxy = ask("apt-config", "dump", "--format", "%v", "Acquire::http::Proxy")
	return a
}

// debootstrap installs a Debian, whole or not at all.
func debootstrap(ctx context.Context, from archive, root string) error {
	fmt.Printf("installing Debian %s for the next times into %s\n", from.suite, root)
	draft := root + ".new"
	if err := os.RemoveAll(draft); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	args := []string{"--variant=minbase", "--include=" + include, from.suite, draft}
	if from.mirror != "" {
		args = append(args, from.mirror)
	}
	c := exec.CommandContext(ctx, "debootstrap", args...)
	if from.proxy != "" {
		c.Env = append(os.Environ(), "http_proxy="+from.proxy)
	}
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("debootstrap: %w: %s", err, lastLines(string(out), 5))
	}
	return os.Rename(draft, root)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
