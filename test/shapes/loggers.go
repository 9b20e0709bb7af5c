package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// folders returns the shapes of logs whose folder changes.
func folders() []shape {
	var shapes []shape
	for _, down := range []bool{false, true} {
		shapes = append(shapes,
			shape{name: "folder/dated/" + downName(down), patterns: []string{"*/app.log"}, short: down, do: func(r *run) {
				r.sh(`mkdir 2026-11-24`)
				r.write("2026-11-24/app.log", 60)
				r.start()
				r.settled()
				r.changing(down, func() {
					r.write("2026-11-24/app.log", 5)
					r.sh(`mkdir 2026-11-25`)
					r.write("2026-11-25/app.log", 30)
					r.sh(`gzip 2026-11-24/app.log`)
				})
				r.settled()
			}},
			shape{name: "folder/today-alone-is-followed/" + downName(down), patterns: []string{"today/app.log"}, do: func(r *run) {
				r.sh(`mkdir today`)
				r.write("today/app.log", 60)
				r.start()
				r.settled()
				r.changing(down, func() {
					r.write("today/app.log", 5)
					r.sh(`mv today 2026-11-24; mkdir today`)
					r.write("today/app.log", 30)
				})
				r.settled()
			}},
			shape{name: "folder/moved-below-two-stars/" + downName(down), patterns: []string{"**/*.log"}, do: func(r *run) {
				r.sh(`mkdir -p a/b`)
				r.write("a/b/app.log", 60)
				r.start()
				r.settled()
				r.changing(down, func() {
					r.write("a/b/app.log", 5)
					r.sh(`mv a c; mkdir -p a/b`)
					r.write("a/b/app.log", 30)
					r.write("c/b/app.log", 5)
				})
				r.settled()
			}},
			shape{name: "folder/away-and-back/" + downName(down), patterns: []string{"mnt/*.log"}, do: func(r *run) {
				r.sh(`mkdir mnt`)
				r.write("mnt/app.log", 60)
				r.start()
				r.settled()
				r.changing(down, func() {
					r.sh(`mv mnt ../away`)
				})
				r.rest(14 * time.Second)
				r.sh(`mv ../away mnt`)
				r.write("mnt/app.log", 30)
				r.settled()
				r.rest(8 * time.Second)
			}},
			shape{name: "folder/files-of-a-second/" + downName(down), patterns: []string{"*.log"}, do: func(r *run) {
				r.write("app-0.log", 60)
				r.start()
				r.settled()
				r.changing(down, func() {
					for i := range 30 {
						r.write(fmt.Sprintf("app-%d.log", i+1), 12)
						if i%3 == 0 {
							r.sh(fmt.Sprintf(`gzip app-%d.log`, i+1))
						}
					}
				})
				r.settled()
			}},
		)
	}
	return shapes
}

// feed writes n lines to a program in pieces, with a pause after each.
func (r *run) feed(n int, pause time.Duration, program ...string) *feeder {
	c := exec.CommandContext(r.ctx, program[0], program[1:]...)
	c.Dir = r.path("")
	in, err := c.StdinPipe()
	r.must(err)
	r.must(c.Start())
	f := &feeder{}
	f.put = func() {
		for range n / 20 {
			if f.err != nil {
				return
			}
			if _, f.err = in.Write([]byte(r.lines(20))); f.err != nil {
				return
			}
			r.rest(pause)
		}
	}
	f.end = func() error { in.Close(); return errors.Join(f.err, c.Wait()) }
	return f
}

// feeder is a program that is fed with lines. After an error put does nothing.
type feeder struct {
	put func()
	end func() error
	err error
}

// loggers returns the shapes of programs that rotate what they are fed.
func loggers() []shape {
	const pause = 150 * time.Millisecond
	var shapes []shape
	kinds := []struct {
		name, program string
		patterns      []string
		prepare       string
		command       []string
	}{
		{"multilog", "multilog", []string{"main/current"}, ``, []string{"multilog", "t", "s4096", "n50", "./main"}},
		{"multilog-gzip", "multilog", []string{"main/current"}, ``, []string{"multilog", "t", "s4096", "n50", "!gzip", "./main"}},
		{"svlogd", "svlogd", []string{"main/current"}, `mkdir -p main; printf 's4096\nn50\n' > main/config`, []string{"svlogd", "-tt", "./main"}},
		{"svlogd-gzip", "svlogd", []string{"main/current"}, `mkdir -p main; printf 's4096\nn50\n!gzip\n' > main/config`, []string{"svlogd", "-tt", "./main"}},
		{"s6-log", "s6-log", []string{"main/current"}, ``, []string{"s6-log", "-b", "n50", "s4096", "T", "./main"}},
		{"s6-log-gzip", "execlineb", []string{"main/current"}, ``, []string{"s6-log", "-b", "n50", "s4096", "!gzip -nq9", "T", "./main"}},
		{"s6-log-everything", "s6-log", []string{"main/*"}, ``, []string{"s6-log", "-b", "n50", "s4096", "T", "./main"}},
		{"rotatelogs", "rotatelogs", []string{"app.*.log"}, ``, []string{"rotatelogs", "app.%s.log", "2"}},
		{"rotatelogs-L", "rotatelogs", []string{"current.log"}, ``, []string{"rotatelogs", "-L", "current.log", "app.%s.log", "2"}},
		{"rotatelogs-L-both", "rotatelogs", []string{"*.log"}, ``, []string{"rotatelogs", "-L", "current.log", "app.%s.log", "2"}},
		{"rotatelogs-n", "rotatelogs", []string{"app.log*"}, ``, []string{"rotatelogs", "-n", "5", "app.log", "3"}},
	}
	for _, k := range kinds {
		for _, moment := range []string{"live", "down", "killed"} {
			if k.name == "rotatelogs-L" && moment == "down" {
				continue // its files are followed by their own names
			}
			if k.name == "rotatelogs-n" && moment == "down" {
				continue // it overwrites lines before anybody reads them
			}
			shapes = append(shapes, shape{
				name: "logger/" + k.name + "/" + moment, patterns: k.patterns, needs: []string{k.program},
				short: moment == "down" && strings.HasSuffix(k.name, "-gzip"),
				do: func(r *run) {
					if k.prepare != "" {
						r.sh(k.prepare)
					}
					r.start()
					f := r.feed(400, pause, k.command...)
					f.put()
					switch moment {
					case "down":
						r.kill()
						f.put()
						r.start()
					case "killed":
						for range 3 {
							f.put()
							r.restart()
						}
					}
					f.put()
					r.settled()
					r.must(f.end())
				},
			})
		}
	}
	shapes = append(shapes, shape{name: "logger/rotatelogs-L/one-rotation-down", patterns: []string{"current.log"}, needs: []string{"rotatelogs"}, do: func(r *run) {
		// The names are those that rotatelogs gives, with one rotation while nobody looks.
		r.sh(`: > app.100.log; ln app.100.log current.log`)
		r.write("app.100.log", 60)
		r.start()
		r.settled()
		r.kill()
		r.write("app.100.log", 5)
		r.sh(`: > app.200.log; ln -f app.200.log current.log`)
		r.write("app.200.log", 30)
		r.start()
		r.settled()
	}})
	return append(shapes,
		shape{name: "logger/tai64n-names-without-a-program", patterns: []string{"main/current"}, do: func(r *run) {
			r.sh(`mkdir main`)
			r.write("main/current", 60)
			r.start()
			r.settled()
			r.kill()
			for i := range 4 {
				r.write("main/current", 20)
				r.sh(fmt.Sprintf(`mv main/current main/@4000000069254%d0012345678.%s; : > main/current`, i, []string{"s", "u"}[i%2]))
			}
			r.write("main/current", 7)
			r.start()
			r.settled()
		}},
		shape{name: "logger/pm2-logrotate-names", patterns: []string{"*.log"}, do: func(r *run) { // copy, then truncate, under a dated name
			f := r.open("app-out.log", os.O_APPEND)
			defer f.Close()
			put := func(n int) { _, err := f.WriteString(r.lines(n)); r.must(err) }
			put(60)
			r.start()
			r.settled()
			for i := range 4 {
				put(20)
				if i == 2 {
					r.kill()
				}
				r.sh(fmt.Sprintf(`cp app-out.log app-out__2026-11-25_03-0%d-00.log; : > app-out.log`, i))
				put(10)
				if i == 2 {
					r.start()
				}
				r.rest(1500 * time.Millisecond)
				if i%2 == 1 {
					r.sh(fmt.Sprintf(`gzip app-out__2026-11-25_03-0%d-00.log`, i))
				}
			}
		}},
	)
}

// python returns the shapes of the handlers of Python's standard library.
func python() []shape {
	handlers := []struct{ name, handler string }{
		{"rotating", `logging.handlers.RotatingFileHandler("app.log", maxBytes=3000, backupCount=400)`},
		{"timed", `logging.handlers.TimedRotatingFileHandler("app.log", when="S", interval=1, backupCount=400)`},
		{"rotating-gzip", `gz(logging.handlers.RotatingFileHandler("app.log", maxBytes=3000, backupCount=400))`},
		{"timed-gzip", `gz(logging.handlers.TimedRotatingFileHandler("app.log", when="S", interval=1, backupCount=400))`},
		{"rotating-namer", `nm(logging.handlers.RotatingFileHandler("app.log", maxBytes=3000, backupCount=400))`},
	}
	const program = `
import logging, logging.handlers, gzip, os, shutil, sys, time
def gz(h):
    h.namer = lambda n: n + ".gz"
    def rot(s, d):
        with open(s, "rb") as i, gzip.open(d, "wb") as o: shutil.copyfileobj(i, o)
        os.remove(s)
    h.rotator = rot
    return h
def nm(h):
    h.namer = lambda n: n.replace(".log.", "-") + ".log"
    return h
h = HANDLER
h.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
log = logging.getLogger(); log.addHandler(h); log.setLevel(20)
for line in sys.stdin:
    log.info(line.rstrip("\n"))
`
	var shapes []shape
	for _, h := range handlers {
		for _, moment := range []string{"live", "down"} {
			shapes = append(shapes, shape{
				name: "python/" + h.name + "/" + moment, needs: []string{"python3"}, short: h.name == "timed" && moment == "down",
				patterns: map[bool][]string{true: {"*.log"}, false: nil}[strings.HasSuffix(h.name, "namer")],
				do: func(r *run) {
					r.must(os.WriteFile(filepath.Join(r.dir, "app.py"), []byte(strings.ReplaceAll(program, "HANDLER", h.handler)), 0o644))
					r.start()
					f := r.feed(400, 200*time.Millisecond, "python3", "../app.py")
					f.put()
					if moment == "down" {
						r.kill()
						f.put()
						r.start()
					}
					f.put()
					r.must(f.end())
				},
			})
		}
	}
	return shapes
}

// logrotated returns the shapes of the modes of logrotate.
func logrotated() []shape {
	modes := []struct{ name, directives string }{
		{"create", "create 0644"},
		{"nocreate", "nocreate"},
		{"copy", "copy"},
		{"copy-compress", "copy\ncompress"},
		{"copytruncate", "copytruncate"},
		{"copytruncate-compress", "copytruncate\ncompress"},
		{"copytruncate-delaycompress", "copytruncate\ncompress\ndelaycompress"},
		{"compress", "create 0644\ncompress"},
		{"delaycompress", "create 0644\ncompress\ndelaycompress"},
		{"compress-xz", "create 0644\ncompress\ncompresscmd /usr/bin/xz\ncompressext .xz"},
		{"compress-zstd", "create 0644\ncompress\ncompresscmd /usr/bin/zstd\ncompressoptions -q --rm\ncompressext .zst"},
		{"dateext", "create 0644\ndateext\ndateformat -%Y%m%d-%s"},
		{"dateext-compress", "create 0644\ncompress\ndateext\ndateformat -%Y%m%d-%s"},
		{"extension", "create 0644\nextension .log"},
		{"extension-compress", "create 0644\ncompress\nextension .log"},
		{"dateext-extension", "create 0644\ndateext\nextension .log\ndateformat .%s\ncompress"},
		{"olddir", "create 0644\nolddir old\ncreateolddir 755"},
		{"olddir-compress", "create 0644\ncompress\nolddir old\ncreateolddir 755"},
		{"renamecopy", "create 0644\nrenamecopy\nolddir old\ncreateolddir 755"},
		{"shred", "create 0644\nshred\nrotate 1"},
		{"start", "create 0644\nstart 7"},
	}
	var shapes []shape
	for _, m := range modes {
		for _, moment := range []string{"live", "down", "killed"} {
			if m.name == "shred" && moment == "down" {
				continue // it destroys lines before anybody reads them
			}
			patterns := []string{"app.log", "old/*"}
			if strings.Contains(m.name, "extension") {
				patterns = []string{"*.log"}
			}
			shapes = append(shapes, shape{
				name: "logrotate/" + m.name + "/" + moment, needs: []string{"logrotate"}, patterns: patterns,
				short: m.name == "copytruncate-compress" && moment == "killed",
				do: func(r *run) {
					rotate := 0
					logrotate := func() {
						if strings.Contains(m.name, "dateext") && rotate > 0 {
							r.rest(1100 * time.Millisecond) // the date must differ
						}
						rotate++
						r.sh(`logrotate --force --state ../state.lr ../logrotate.conf`)
					}
					directives := m.directives
					if !strings.Contains(directives, "rotate 1") {
						directives += "\nrotate 100"
					}
					text := fmt.Sprintf("%s {\nmissingok\nsu root root\n%s\n}\n", r.path("app.log"), directives)
					r.must(os.WriteFile(filepath.Join(r.dir, "logrotate.conf"), []byte(text), 0o644))
					r.write("app.log", 60)
					r.start()
					r.settled()
					for i := range 3 {
						r.write("app.log", 20)
						if moment != "live" && i == 1 {
							r.kill()
						}
						if m.name == "shred" {
							r.settled()
						}
						logrotate()
						r.write("app.log", 30)
						if moment == "down" && i == 1 {
							logrotate()
							r.write("app.log", 12)
							logrotate()
						}
						if moment != "live" && i == 1 {
							r.start()
						}
						r.rest(1500 * time.Millisecond)
					}
					r.settled()
				},
			})
		}
	}
	return shapes
}
