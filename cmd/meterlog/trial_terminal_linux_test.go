package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meterlog/meterlog/internal/trial"
)

const terminalWidth = 100

// onTerminal runs the command on a pseudo-terminal and returns what it shows.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	defer control.Close()
	n, err := unix.IoctlGetInt(int(control.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(control.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: terminalWidth}); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		text, _ := io.ReadAll(control) // ends with EIO when the terminal closes
		shown <- string(text)
	}()
	code := run(args, strings.NewReader(""), tty, tty)
	tty.Close()
	text := <-shown
	if code != exitDone {
		t.Fatalf("exit code %d\n%s", code, text)
	}
	return text
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// trialFiles writes a configuration and a log, and returns their paths.
func trialFiles(t *testing.T, log string) (config, path string) {
	dir := t.TempDir()
	config, path = filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "a.log")
	text := "product_id: p\nsources: [{path: " + path + "}]\nrules:\n  - {name: sent, when: line contains \"email sent\", sku_id: s}\n"
	for name, content := range map[string]string{config: text, path: log} {
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return config, path
}

// On a terminal matches are coloured, fit its width, and cannot move its
// cursor.
func TestMatchesOnTerminal(t *testing.T) {
	config, path := trialFiles(t, "email sent \x1b[2J\a "+strings.Repeat("ж", 300)+"\n")
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	text := onTerminal(t, "test", "-c", config, path)
	for _, want := range []string{"\x1b[1;32msent 1\x1b[m", "\x1b[1memail sent\x1b[m", "…"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not shown in %q", want, text)
		}
	}
	plain := colours.ReplaceAllString(text, "")
	if strings.ContainsAny(plain, "\x1b\a") {
		t.Errorf("control characters of the log reach the terminal: %q", plain)
	}
	for line := range strings.Lines(plain) {
		if n := len([]rune(strings.TrimRight(line, "\r\n"))); n > terminalWidth {
			t.Errorf("%d characters wide: %q", n, line)
		}
	}
}

// The parts that matched are shown where they stand, what they count too, and
// the table tells how long each rule took.
func TestMarksOnTerminal(t *testing.T) {
	dir := t.TempDir()
	config, path := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "a.log")
	for name, content := range map[string]string{
		config: "product_id: p\nsources: [{path: " + path + ", format: json}]\nrules:\n" +
			"  - {name: bytes, when: fields.event == \"sent\", quantity: fields.n, sku_id: s}\n",
		path: `{"note":"sent","event":"sent","n":12}` + "\n" + `{"event":"sent","n":"many"}` + "\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	text := onTerminal(t, "test", "-c", config, path)
	for _, want := range []string{
		"{\"note\":\"sent\",\"event\":\"\x1b[1msent\x1b[m\",\"n\":\x1b[1m12\x1b[m}",
		"\x1b[1;31mbytes error: the quantity is no number: \"many\"\x1b[m",
		"EVALUATED", "TIME",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not shown in %q", want, text)
		}
	}
	if !regexp.MustCompile(`bytes +s +1 +12 +2 +[0-9.]+ (µs|ms)`).MatchString(text) {
		t.Errorf("no cost is shown in %q", text)
	}
}

// NO_COLOR takes the colours away: https://no-color.org.
func TestNoColour(t *testing.T) {
	config, path := trialFiles(t, "email sent\n")
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	if text := onTerminal(t, "test", "-c", config, path); strings.Contains(text, "\x1b") {
		t.Errorf("coloured: %q", text)
	}
}

// A long test shows its progress on a terminal, with rate and remaining time,
// and takes it away in the end.
func TestProgressOnTerminal(t *testing.T) {
	config, path := trialFiles(t, strings.Repeat(strings.Repeat("x", 99)+"\n", 100_000))
	delay := trial.ProgressDelay
	trial.ProgressDelay = 0
	defer func() { trial.ProgressDelay = delay }()
	text := onTerminal(t, "test", "-c", config, "--summary", path)
	if !regexp.MustCompile(`% \|.*B/s.*\[\d+s:\d+s\]`).MatchString(text) {
		t.Errorf("no progress is shown in %q", text)
	}
	if i := strings.LastIndex(text, "B/s"); !regexp.MustCompile(`\r +\r+RULE`).MatchString(text[i:]) {
		t.Errorf("the progress is left on the screen: %q", text[i:])
	}
}
