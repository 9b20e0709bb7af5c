package main

import (
	"bytes"
	"context"
	littleEndian "encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// limits of a folder that somebody else fills.
const (
	canaryLimit = 1500 * time.Millisecond // from a line of another log to its count
	answerLimit = 2 * time.Second         // of /status, /healthz, status and check
)

// attack is something that a folder's owner does to stop the agent.
type attack struct {
	name     string
	patterns []string
	needs    []string
	root     bool
	short    bool
	expect   []string
	do       func(*run)
}

// hostile returns the shapes of folders that try to stop the agent. Meanwhile another log, the
// canary, counts within a second or so; every command answers; SIGTERM ends the
// agent in time. Each attack comes once while the agent runs, and once before
// it starts.
func hostile() []shape {
	var shapes []shape
	for _, a := range attacks() {
		for _, first := range []bool{false, true} {
			name := "hostile/" + a.name + "/" + map[bool]string{false: "live", true: "at-the-start"}[first]
			shapes = append(shapes, shape{
				name: name, needs: a.needs, root: a.root, alone: true, short: a.short && !first, expect: a.expect,
				tolerate: []string{"file_unreadable", "link_refused", "files_not_looked_at", "too_long", "no_files"},
				do:       func(r *run) { r.attacked(a, first) },
			})
		}
	}
	return append(shapes, shape{name: "hostile/escapes-in-names", short: true, do: escapes})
}

func attacks() []attack {
	everything := []string{"**"}
	return []attack{
		{name: "padded-xz", needs: []string{"xz"}, short: true, do: func(r *run) { // zeros behind a stream are no damage
			r.sh(`echo x | xz > ../x; truncate -s 8T ../x; mv ../x a.log.xz`)
		}},
		{name: "padded-others", needs: []string{"bzip2", "zstd"}, do: func(r *run) {
			r.sh(`echo x | gzip > ../x; truncate -s 8T ../x; mv ../x a.log.gz
echo x | bzip2 > ../x; truncate -s 8T ../x; mv ../x b.log.bz2
echo x | zstd > ../x; truncate -s 8T ../x; mv ../x c.log.zst`)
		}},
		{name: "sparse-after-the-magic", do: func(r *run) {
			r.sparse("a.log.xz", "\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46", 8<<40)
			r.sparse("b.log.gz", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 8<<40)
			r.sparse("c.log.gz", "\x1f\x8b\x08\x18\x00\x00\x00\x00\x00\x03name", 8<<40)
			r.sparse("d.log.bz2", "BZh9", 8<<40)
			r.sparse("e.log.zst", "\x28\xb5\x2f\xfd", 8<<40)
		}},
		{name: "sparse-nothing", do: func(r *run) {
			for _, ext := range []string{".gz", ".bz2", ".xz", ".zst", ".1"} {
				r.sparse("a.log"+ext, "", 8<<40)
			}
		}},
		{name: "zstd-skippable-frames", short: true, do: skippableFrames},
		{name: "zstd-empty-skippable-frames", do: func(r *run) {
			frame := []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}
			r.must(os.WriteFile(r.path("a.log.zst"), bytes.Repeat(frame, 16<<20), 0o644))
		}},
		{name: "bz2-bomb", needs: []string{"bzip2"}, short: true, do: func(r *run) {
			r.sh(`head -c 45899235 /dev/zero | bzip2 -9 > ../block; for i in 1 2 3 4 5 6 7 8 9 10; do cat ../block; done > ../ten
for i in $(seq 1000); do cat ../ten; done > ../bomb; mv ../bomb a.log.bz2`)
		}},
		{name: "bz2-bombs-of-lines", needs: []string{"bzip2"}, do: func(r *run) {
			r.sh(`yes | head -c 45899235 | bzip2 -9 > ../block; for i in $(seq 200); do cat ../block; done > ../bomb
for i in 1 2 3 4 5 6 7 8 9; do cp ../bomb b$i.log.bz2; done`)
		}},
		{name: "gz-bomb", do: func(r *run) {
			r.sh(`head -c 1000000000 /dev/zero | gzip > ../block; for i in $(seq 100); do cat ../block; done > ../bomb; mv ../bomb a.log.gz`)
		}},
		{name: "zstd-bomb", needs: []string{"zstd"}, do: func(r *run) {
			r.sh(`head -c 4000000000 /dev/zero | zstd -q > ../block; for i in $(seq 100); do cat ../block; done > ../bomb; mv ../bomb a.log.zst`)
		}},
		{name: "xz-bomb", needs: []string{"xz"}, do: func(r *run) {
			r.sh(`head -c 300000000 /dev/zero | xz > ../block; for i in $(seq 1000); do cat ../block; done > ../bomb; mv ../bomb a.log.xz`)
		}},
		{name: "sparse-log", short: true, do: func(r *run) {
			r.sparse("a.log", "", 8<<40)
			r.write("a.log", 5)
		}},
		{name: "sparse-log-with-islands", do: func(r *run) {
			f, err := os.Create(r.path("a.log"))
			r.must(err)
			for i := range int64(500) {
				_, err := f.WriteAt([]byte("x\n"), i<<33)
				r.must(err)
			}
			r.must(f.Close())
			r.write("a.log", 5)
		}},
		{name: "line-without-end", do: func(r *run) {
			r.sh(`head -c 1500000000 /dev/zero | tr '\0' x > a.log`)
			r.raw("a.log", "\n")
			r.write("a.log", 5)
		}},
		{name: "big-archive", needs: []string{"zstd"}, do: func(r *run) { // a real one, all of whose lines count
			r.write("../big", 400000)
			r.sh(`zstd -q ../big -o a.log.1.zst; cp a.log.1.zst b.log.1.zst`)
		}},
		{name: "links-to-itself", patterns: []string{"**/*.log"}, do: func(r *run) {
			r.sh(`ln -s . one; ln -s . two; mkdir d; ln -s .. d/up; ln -s ../.. d/far`)
			r.write("a.log", 5)
		}},
		{name: "links-to-root", patterns: []string{"**/*.log"}, do: func(r *run) {
			r.sh(`ln -s / root; ln -s /proc proc; ln -s /dev/zero zero.log; ln -s /dev/tty tty.log; ln -s /proc/kmsg kmsg.log; ln -s loop.log loop.log`)
			r.write("a.log", 5)
		}},
		{name: "devices", patterns: everything, root: true, do: func(r *run) {
			r.sh(`mkfifo fifo.log; mknod zero.log c 1 5; mknod tty.log c 5 0; mkdir folder.log`)
			if l, err := net.Listen("unix", r.path("socket.log")); err == nil {
				l.(*net.UnixListener).SetUnlinkOnClose(false)
				l.Close()
			}
			r.write("a.log", 5)
		}},
		{name: "fifo-swapped-in", short: true, do: swapFIFO},
		{name: "60000-names", do: func(r *run) {
			for i := range 60000 {
				r.write(fmt.Sprintf("f%d.log", i), 1)
			}
		}},
		{name: "60000-names-not-matched", do: func(r *run) {
			for i := range 60000 {
				r.raw(fmt.Sprintf("f%d.txt", i), "")
			}
			r.write("a.log", 5)
		}},
		{name: "60000-archives", do: func(r *run) {
			r.sh(`echo x | gzip > ../x.gz`)
			x := r.read("../x.gz")
			for i := range 60000 {
				r.raw(fmt.Sprintf("f.log.%d.gz", i), x)
			}
			r.write("a.log", 5)
		}},
		{name: "5000-folders", patterns: []string{"**/*.log"}, do: func(r *run) {
			for i := range 5000 {
				r.must(os.MkdirAll(r.path(fmt.Sprintf("d%d/e", i)), 0o755))
				r.write(fmt.Sprintf("d%d/e/a.log", i), 1)
			}
		}},
		{name: "deep-folder", patterns: []string{"**/*.log"}, do: func(r *run) {
			deep := strings.Repeat("d/", 1000)
			r.must(os.MkdirAll(r.path(deep), 0o755))
			r.write(deep+"a.log", 5)
		}},
		{name: "long-names", patterns: everything, do: func(r *run) {
			for i := range 2000 {
				r.write(fmt.Sprintf("%s%d.1.2.3.4.5.6.7.8.9-1-2-3_4_5_6.log.1", strings.Repeat("1.", 80), i), 1)
			}
		}},
		{name: "rewritten-all-the-time", do: func(r *run) { // its lines count as often as they are found: none counts here
			stop := time.Now().Add(10 * time.Second)
			go func() {
				for i := 0; time.Now().Before(stop); i++ {
					os.WriteFile(r.path("a.log"), []byte(strings.Repeat(fmt.Sprintf("nothing %d\n", i), 50000)), 0o644)
				}
			}()
		}},
	}
}

// sparse makes a file of a size that takes no room, with a beginning.
func (r *run) sparse(name, beginning string, size int64) {
	f, err := os.Create(r.path(name))
	r.must(err)
	_, err = f.WriteString(beginning)
	r.must(err)
	r.must(f.Truncate(size))
	r.must(f.Close())
}

func skippableFrames(r *run) {
	f, err := os.Create(r.path("a.log.zst"))
	r.must(err)
	frame := littleEndian.LittleEndian.AppendUint32(nil, 0x184d2a50)
	frame = littleEndian.LittleEndian.AppendUint32(frame, 0xffff0000)
	at := int64(0)
	for range 2000 { // 8 TiB
		_, err := f.WriteAt(frame, at)
		r.must(err)
		at += 8 + 0xffff0000
	}
	r.must(f.Truncate(at))
	r.must(f.Close())
}

// swapFIFO exchanges a log for a FIFO and back all the time, so that now and
// then the agent opens what it has not looked at.
func swapFIFO(r *run) {
	r.must(unix.Mkfifo(r.path("../fifo"), 0o644))
	stop := time.Now().Add(12 * time.Second)
	go func() {
		for n := 0; time.Now().Before(stop); n++ {
			os.WriteFile(r.path("next"), fmt.Appendf(nil, "nothing %d\n", n), 0o644)
			os.Rename(r.path("next"), r.path("a.log"))
			os.Link(r.path("../fifo"), r.path("other"))
			os.Rename(r.path("other"), r.path("a.log"))
		}
		os.Remove(r.path("a.log"))
	}()
}

// attacked runs an attack and watches the canary.
func (r *run) attacked(a attack, first bool) {
	patterns := a.patterns
	if patterns == nil {
		patterns = []string{"*.log"}
	}
	var quoted []string
	for _, p := range patterns {
		quoted = append(quoted, fmt.Sprintf("%q", "LOGS/"+p))
	}
	listen := r.freePort()
	canary := r.path("../canary/canary.log")
	r.sources = fmt.Sprintf("sources:\n  - {name: app, path: [%s]}\n  - {name: canary, path: %q}\nlisten: %s\n%s",
		strings.Join(quoted, ", "), canary, listen, strings.ReplaceAll(usualRules, ", when", ", source: app, when")+
			"  - {name: canary, source: canary, when: 'line contains \"canary\"', sku_id: canary}\n")
	r.sh(`mkdir ../canary; : > ../canary/canary.log`)
	if first {
		a.do(r)
	}
	r.configure()
	r.must(r.agent.Start())
	var group sync.WaitGroup
	watching, cancel := context.WithCancel(r.ctx)
	defer cancel()
	var slowest, slowestAnswer time.Duration
	var answers []string
	var canaries int64
	group.Go(func() { slowest, canaries = r.watchCanary(watching, canary, listen) })
	group.Go(func() { slowestAnswer, answers = r.watchAnswers(watching, listen) })
	r.rest(2 * time.Second)
	if !first {
		a.do(r)
	}
	r.rest(12 * time.Second)
	cancel()
	group.Wait()
	r.want["canary"] = canaries
	if slowest > canaryLimit {
		r.fault("a line of another log counted after %v", slowest.Round(10*time.Millisecond))
	}
	if slowestAnswer > answerLimit {
		r.fault("the slowest answer took %v", slowestAnswer.Round(10*time.Millisecond))
	}
	for _, a := range answers {
		r.fault("%s", a)
	}
}

func (r *run) freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.must(err)
	defer l.Close()
	return l.Addr().String()
}

var matched = regexp.MustCompile(`matched_lines_total\{rule="canary"\} (\d+)`)

// watchCanary appends a line again and again and returns the longest time until
// /metrics had counted one, and how many it wrote.
func (r *run) watchCanary(ctx context.Context, log, listen string) (slowest time.Duration, n int64) {
	for ctx.Err() == nil {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			continue
		}
		n++
		fmt.Fprintf(f, "canary %d %s\n", n, time.Now().Format(time.RFC3339Nano))
		f.Close()
		began := time.Now()
		for {
			body, _ := get(ctx, "http://"+listen+"/metrics")
			found := matched.FindStringSubmatch(body)
			if len(found) == 2 {
				if counted, _ := strconv.ParseInt(found[1], 10, 64); counted >= n {
					break
				}
			}
			slowest = max(slowest, time.Since(began))
			if ctx.Err() != nil {
				return slowest, n
			}
			time.Sleep(40 * time.Millisecond)
		}
		time.Sleep(200 * time.Millisecond)
	}
	return slowest, n
}

func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// watchAnswers asks everything that must answer, in turn.
func (r *run) watchAnswers(ctx context.Context, listen string) (slowest time.Duration, faults []string) {
	for pause := time.Second; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
			return slowest, faults
		case <-time.After(pause):
		}
		for _, what := range []string{"/status", "/healthz", "status", "check"} {
			began := time.Now()
			var err error
			if strings.HasPrefix(what, "/") {
				_, err = get(ctx, "http://"+listen+what)
			} else {
				limited, cancel := context.WithTimeout(ctx, 10*time.Second)
				err = exec.CommandContext(limited, r.agent.Binary, what, "--config", r.agent.Config).Run()
				cancel()
			}
			took := time.Since(began)
			if ctx.Err() != nil {
				return slowest, faults
			}
			slowest = max(slowest, took)
			if err != nil {
				faults = append(faults, fmt.Sprintf("%s: %v after %v", what, err, took.Round(10*time.Millisecond)))
			} else if took > answerLimit {
				faults = append(faults, fmt.Sprintf("%s took %v", what, took.Round(10*time.Millisecond)))
			}
		}
	}
	return slowest, faults
}

// escapes gives files names that a terminal would obey, and looks for them in
// everything that is printed.
func escapes(r *run) {
	r.patterns = []string{"**/*.log"}
	names := []string{"\x1b]0;title\x07.log", "\x1b[2Jclear.log", "new\nline.log", "back\rreturn.log", "c1\u009b31m.log", "bad\xff\xfe.log", "bidi\u202egol.log"}
	for _, name := range names {
		r.write(name, 3)
		r.raw(name, "not this \x1b[31mline\n")
	}
	r.start()
	r.settled()
	for _, arguments := range [][]string{
		{"status"}, {"status", "--format", "json"}, {"check"}, {"check", "-v"}, {"records"}, {"records", "--format", "json"}, {"records", "--format", "csv"},
		{"test"}, {"test", "--format", "json"},
	} {
		output, _ := r.agent.Run(arguments...)
		r.obeyed(strings.Join(arguments, " "), output)
	}
	if records := r.model.Records(); len(records) > 0 {
		output, _ := r.agent.Run("explain", records[0].UUID)
		r.obeyed("explain", output)
	}
	log, err := os.ReadFile(r.agent.Log.(*os.File).Name())
	r.must(err)
	r.obeyed("the agent's log", log)
}

func (r *run) obeyed(what string, output []byte) {
	obeyed := []string{"\x1b", "\x07", "\r"}
	if !strings.Contains(what, "json") {
		obeyed = append(obeyed, "\u009b", "\u202e")
	}
	for _, bad := range obeyed {
		if i := bytes.Index(output, []byte(bad)); i >= 0 {
			r.fault("%s prints %q: %q", what, bad, output[max(0, i-30):min(len(output), i+30)])
			return
		}
	}
	if bytes.Contains(output, []byte("new\nline")) {
		r.fault("%s prints a newline within a name", what)
	}
}
