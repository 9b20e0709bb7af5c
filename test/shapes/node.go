package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// node returns the shapes of loggers of Node.js that rotate their files. They run where the
// variable SHAPES_NODE_MODULES names a folder with their packages:
// npm install winston winston-daily-rotate-file rotating-file-stream log4js bunyan pino-roll
func node() []shape {
	const winston = `const w = require("winston"); const l = w.createLogger({format: w.format.printf(i => i.message), transports: [TRANSPORT]}); const put = t => l.info(t);`
	const log4js = `const l4 = require("log4js"); l4.configure({appenders: {a: APPENDER}, categories: {default: {appenders: ["a"], level: "info"}}}); const l = l4.getLogger(); const put = t => l.info(t);`
	kinds := []struct {
		name, module string
		patterns     []string
		program      string
	}{
		{"winston-size", "winston", []string{"*.log"}, strings.ReplaceAll(winston, "TRANSPORT", `new w.transports.File({filename: "app.log", maxsize: 4000})`)},
		{"winston-size-gzip", "winston", []string{"*.log"}, strings.ReplaceAll(winston, "TRANSPORT", `new w.transports.File({filename: "app.log", maxsize: 4000, zippedArchive: true})`)},
		{"winston-tailable", "winston", []string{"*.log"}, strings.ReplaceAll(winston, "TRANSPORT", `new w.transports.File({filename: "app.log", maxsize: 4000, maxFiles: 300, tailable: true})`)},
		{"winston-tailable-gzip", "winston", []string{"*.log"}, strings.ReplaceAll(winston, "TRANSPORT", `new w.transports.File({filename: "app.log", maxsize: 4000, maxFiles: 300, tailable: true, zippedArchive: true})`)},
		{"winston-daily-by-size", "winston-daily-rotate-file", []string{"*.log*"}, strings.ReplaceAll(winston, "TRANSPORT", `new (require("winston-daily-rotate-file"))({filename: "app-%DATE%.log", maxSize: 4000})`)},
		{"winston-daily-by-size-gzip", "winston-daily-rotate-file", []string{"*.log*"}, strings.ReplaceAll(winston, "TRANSPORT", `new (require("winston-daily-rotate-file"))({filename: "app-%DATE%.log", maxSize: 4000, zippedArchive: true})`)},
		{"rotating-file-stream", "rotating-file-stream", []string{"*.log"}, `const s = require("rotating-file-stream").createStream("app.log", {size: "4K"}); const put = t => s.write(t + "\n");`},
		{"rotating-file-stream-gzip", "rotating-file-stream", []string{"*.log"}, `const s = require("rotating-file-stream").createStream("app.log", {size: "4K", compress: "gzip"}); const put = t => s.write(t + "\n");`},
		{"rotating-file-stream-classic", "rotating-file-stream", []string{"app.log"}, `const s = require("rotating-file-stream").createStream("app.log", {size: "4K", rotate: 300}); const put = t => s.write(t + "\n");`},
		{"log4js", "log4js", nil, strings.ReplaceAll(log4js, "APPENDER", `{type: "file", filename: "app.log", maxLogSize: 4000, backups: 300}`)},
		{"log4js-gzip", "log4js", nil, strings.ReplaceAll(log4js, "APPENDER", `{type: "file", filename: "app.log", maxLogSize: 4000, backups: 300, compress: true}`)},
		{"log4js-keep-extension", "log4js", []string{"*.log"}, strings.ReplaceAll(log4js, "APPENDER", `{type: "file", filename: "app.log", maxLogSize: 4000, backups: 300, keepFileExt: true, compress: true}`)},
		{"log4js-date", "log4js", nil, strings.ReplaceAll(log4js, "APPENDER", `{type: "dateFile", filename: "app.log", pattern: "yyyy-MM-dd-hh-mm-ss", numBackups: 300, compress: true}`)},
		{"bunyan", "bunyan", nil, `const l = require("bunyan").createLogger({name: "a", streams: [{type: "rotating-file", path: "app.log", period: "2000ms", count: 300}]}); const put = t => l.info(t);`},
		{"pino-roll", "pino-roll", []string{"*.log"}, `let put; const q = []; put = t => q.push(t); require("pino-roll")({file: "app", extension: ".log", size: "4k", symlink: true}).then(s => { put = t => s.write(t + "\n"); q.forEach(t => put(t)); });`},
	}
	var shapes []shape
	for _, k := range kinds {
		for _, moment := range []string{"live", "down", "killed"} {
			shapes = append(shapes, shape{
				name: "node/" + k.name + "/" + moment, patterns: k.patterns, needs: []string{"node"}, module: k.module,
				do: func(r *run) {
					program := k.program + "\nrequire(\"readline\").createInterface({input: process.stdin}).on(\"line\", t => put(t));\n"
					r.must(os.WriteFile(filepath.Join(r.dir, "app.js"), []byte(program), 0o644))
					r.start()
					f := r.feed(300, 150*time.Millisecond, "env", "NODE_PATH="+os.Getenv("SHAPES_NODE_MODULES"), "node", "../app.js")
					f.put()
					switch moment {
					case "down":
						r.kill()
						f.put()
						r.start()
					case "killed":
						for range 3 {
							r.restart()
							f.put()
						}
					}
					f.put()
					r.rest(3 * time.Second)
					f.end() // some loggers crash
					r.countFiles()
				},
			})
		}
	}
	return shapes
}

var idOf = regexp.MustCompile(`EV id=(\d+)`)

// countFiles takes as written what the files hold, each line once: some loggers
// lose lines by themselves.
func (r *run) countFiles() {
	r.sh(`for f in $(find . -type f); do case $f in *.gz) gzip -dc $f;; *) cat $f;; esac; done | grep -o 'EV id=[0-9]*' | sort -u > ../all`)
	lost := r.want["count"]
	r.want = map[string]int64{}
	for _, found := range idOf.FindAllStringSubmatch(r.read("../all"), -1) {
		id, err := strconv.ParseInt(found[1], 10, 64)
		r.must(err)
		r.count(id)
	}
	if lost -= r.want["count"]; lost > 0 && *verbose {
		fmt.Printf("       %s: the logger itself lost %d lines\n", r.name, lost)
	}
}
