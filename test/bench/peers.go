package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// installed returns the path of a tool: the variable's value, or a path
// from PATH. It returns "" if the tool is not installed.
func installed(variable, name string) string {
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path, _ := exec.LookPath(name)
	return path
}

// slowPeers measures the installed agents on the first part of the workload's log.
// It reports an agent that fails, and goes on.
func slowPeers(w workload, row func(name string, m measured, size int64)) error {
	mtail, fluentBit := installed("MTAIL", "mtail"), installed("FLUENT_BIT", "fluent-bit")
	if mtail == "" && fluentBit == "" {
		return nil
	}
	l, err := generate(filepath.Join(*data, "peers.log"), *peerSize, 1, w.line)
	if err != nil {
		return err
	}
	defer os.Remove(l.path)
	failed := func(name string, err error) { fmt.Fprintf(os.Stderr, "bench: %s: %s: %v\n", w.name, name, err) }
	if mtail != "" && w.mtail != "" {
		m, err := measureMtail(mtail, w, l)
		if err != nil {
			failed("mtail", err)
		} else {
			row("`mtail -one_shot`", m, l.size)
		}
	}
	if fluentBit != "" && w.name == "text, 1 rule" {
		m, err := measureFluentBit(fluentBit, l)
		if err != nil {
			failed("fluent-bit", err)
		} else {
			row("Fluent Bit, tail, grep, until the end of the file", m, l.size)
		}
	}
	return nil
}

func measureMtail(mtail string, w workload, l log) (measured, error) {
	program := filepath.Join(*data, "bench.mtail")
	if err := os.WriteFile(program, []byte(w.mtail), 0o644); err != nil {
		return measured{}, err
	}
	defer os.Remove(program)
	check := func(out []byte) error {
		var metrics map[string][]struct {
			LabelValues []struct{ Value struct{ Value int64 } }
		}
		if err := json.Unmarshal(out, &metrics); err != nil {
			return err
		}
		metric := metrics[w.metric]
		if len(metric) != 1 || len(metric[0].LabelValues) != 1 {
			return fmt.Errorf("no metric %s in %.300s", w.metric, out)
		}
		return expectNumber(l.want[w.slow])([]byte(strconv.FormatInt(metric[0].LabelValues[0].Value.Value, 10)))
	}
	return measure(check, mtail, "-one_shot", "-logtostderr", "-stderrthreshold", "FATAL", "-progs", program, "-logs", l.path)
}

// measureFluentBit filters the mails of a log with a database of positions, and
// counts the lines that come out.
func measureFluentBit(fluentBit string, l log) (measured, error) {
	check := func(out []byte) error {
		return expectNumber(l.want["sku-mail"])([]byte(strconv.Itoa(bytes.Count(out, []byte("email sent")))))
	}
	database := filepath.Join(*data, "fluent-bit.db")
	os.Remove(database)
	saved := *runs
	*runs = 1 // its database remembers the file
	defer func() { *runs = saved; os.Remove(database) }()
	return measure(check, fluentBit, "-q", "-f", "1", "-i", "tail", "-p", "path="+l.path, "-p", "read_from_head=true", "-p", "exit_on_eof=true", "-p", "db="+database,
		"-F", "grep", "-p", "regex=log email sent", "-m", "*", "-o", "stdout", "-p", "format=json_lines", "-m", "*")
}

// versions returns the tools, their versions and the commands.
func versions() string {
	var b strings.Builder
	b.WriteString("## Versions and commands\n\n")
	for _, tool := range []struct{ variable, name, flag, missing string }{
		{"GREP", "grep", "--version", ""}, {"MAWK", "mawk", "-W version", ""}, {"RG", "rg", "--version", ""},
		{"MTAIL", "mtail", "-version", ""}, {"FLUENT_BIT", "fluent-bit", "--version", ""},
	} {
		path := installed(tool.variable, tool.name)
		if path == "" {
			fmt.Fprintf(&b, "- %s: not installed\n", tool.name)
			continue
		}
		out, err := exec.Command(path, strings.Fields(tool.flag)...).CombinedOutput()
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if err != nil {
			line = err.Error()
		}
		fmt.Fprintf(&b, "- %s: %s\n", tool.name, line)
	}
	b.WriteString("\n```sh\ngo run ./test/bench " + strings.Join(os.Args[1:], " ") + "\n```\n\nThe logs, rules and programs are those of test/bench/logs.go and test/bench/catchup.go:\n\n```sh\n")
	for _, w := range workloads() {
		more := ""
		if len(w.rules) > 1 {
			more = fmt.Sprintf(" and %d more", len(w.rules)-1)
		}
		fmt.Fprintf(&b, "# %s: %s%s\ngrep -c %s -e '%s'%s bench.log\n", w.name, w.rules[0].when, more, w.grep[0], w.grep[2], strings.Repeat(" -e …", min(1, len(w.rules)-1)))
	}
	b.WriteString(billedCommands())
	b.WriteString("```\n")
	return b.String()
}

// processor returns the name of the first one.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// pace calls step many times a second for a while.
func pace(perSecond int, during time.Duration, step func() error) error {
	began := time.Now()
	for i := range int(during.Seconds() * float64(perSecond)) {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(perSecond)))) // a late step is followed at once by the next
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
