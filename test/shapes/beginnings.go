package main

import (
	"fmt"
	"strings"
	"time"
)

// headers are what programs write at the beginning of each of their files.
var headers = map[string]string{
	"mysql": "/usr/sbin/mysqld, Version: 8.0.36 (MySQL Community Server - GPL). started with:\n" +
		"Tcp port: 3306  Unix socket: /var/run/mysqld/mysqld.sock\nTime                 Id Command    Argument\n",
	"csv":    "time,event,quantity,customer\n",
	"w3c":    "#Software: Product 10.0\n#Version: 1.0\n#Fields: date time s-ip cs-method cs-uri-stem sc-status\n",
	"banner": banner(""),
}

func banner(last string) string {
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "  ===  banner line number %d of the product, licence and settings  ===\n", i)
	}
	return b.String() + last
}

// beginnings returns the shapes of files that begin like other files and hold other lines.
func beginnings() []shape {
	var shapes []shape
	for name, header := range headers {
		for _, archive := range []bool{false, true} {
			shapes = append(shapes, shape{
				name: "header/" + name + suffix(archive), short: name == "banner" && archive,
				do: func(r *run) { r.rotateHeaders(header, archive) },
			})
		}
		for _, down := range []bool{false, true} {
			shapes = append(shapes, shape{
				name: "header/" + name + "-many-files/" + downName(down), patterns: []string{"*.log"},
				do: func(r *run) { r.sharedHeader(header, down) },
			})
		}
	}
	for _, down := range []bool{false, true} {
		shapes = append(shapes, shape{
			name: "header/counts-in-each-file/" + downName(down), patterns: []string{"*.log"},
			do: func(r *run) { r.countedHeader(down) },
		})
		shapes = append(shapes, shape{
			name: "header/counts-after-rotation/" + downName(down),
			do:   func(r *run) { r.countedHeaderRotated(down) },
		})
	}
	return shapes
}

func suffix(archive bool) string {
	if archive {
		return "-gzip"
	}
	return ""
}

// rotateHeaders rotates a file that holds a header alone, and then another that
// was written and rotated while nobody looked.
func (r *run) rotateHeaders(header string, archive bool) {
	rotate := func() {
		r.sh(shift + `mv app.log app.log.1`)
		r.raw("app.log", header)
		if archive {
			r.sh(`gzip app.log.1`)
		}
	}
	r.raw("app.log", header)
	r.write("app.log", 30)
	r.start()
	r.settled()
	rotate()
	r.rest(8 * time.Second)
	rotate() // a quiet day: nothing but the header
	r.rest(8 * time.Second)
	r.write("app.log", 10)
	r.settled()
	r.kill()
	r.write("app.log", 10)
	rotate()
	r.write("app.log", 20)
	rotate()
	r.write("app.log", 40)
	r.start()
}

// sharedHeader makes files with one header. Each holds the header alone for a
// while.
func (r *run) sharedHeader(header string, down bool) {
	r.raw("a.log", header)
	r.write("a.log", 30)
	r.start()
	r.settled()
	r.rest(2 * time.Second)
	r.raw("b.log", header)
	r.rest(2 * time.Second)
	r.changing(down, func() {
		for _, name := range []string{"b.log", "c.log", "d.log"} {
			r.raw(name, header)
			r.write(name, 12)
		}
	})
	r.settled()
	r.write("a.log", 5)
	r.raw("e.log", header)
	r.rest(2 * time.Second)
	r.write("e.log", 5)
}

// countedHeader makes files whose header is a line that counts, in each of them.
func (r *run) countedHeader(down bool) {
	header := banner("started EV id=7\n")
	begin := func(name string) { r.raw(name, header); r.count(7) }
	begin("a.log")
	r.write("a.log", 30)
	r.start()
	r.settled()
	r.changing(down, func() {
		for _, name := range []string{"b.log", "c.log", "d.log"} {
			begin(name)
			r.write(name, 12)
		}
	})
	r.settled()
}

// countedHeaderRotated restarts an application that writes its banner into a
// log of its own each time. The rotated file holds nothing but the banner.
func (r *run) countedHeaderRotated(down bool) {
	header := banner("started EV id=7\n")
	begin := func() { r.raw("app.log", header); r.count(7) }
	begin()
	r.write("app.log", 30)
	r.start()
	r.settled()
	r.sh(shift + `mv app.log app.log.1`)
	begin()
	r.settled()
	r.rest(8 * time.Second)
	r.changing(down, func() {
		r.sh(shift + `mv app.log app.log.1`)
		begin()
		r.write("app.log", 12)
	})
	r.settled()
}

// jobs returns the shapes of files with one line each, and all hold the same line. Each of them
// counts.
func jobs() []shape {
	var shapes []shape
	for _, many := range []int{200, 10000} {
		for _, how := range []string{"live", "down", "gzip-live", "gzip-down", "gzip-restart", "removed", "removed-restart", "touched"} {
			if many > 200 && !strings.Contains(how, "live") && !strings.Contains(how, "gzip") {
				continue
			}
			shapes = append(shapes, shape{
				name: fmt.Sprintf("jobs/%d-%s", many, how), patterns: []string{"job-*.log"}, short: many == 200 && how == "gzip-live",
				alone: many > 1000,
				do:    func(r *run) { r.identicalJobs(many, how) },
			})
		}
	}
	return append(shapes,
		shape{name: "jobs/two-lines-each", patterns: []string{"job-*.log"}, do: func(r *run) {
			r.job(0, "begin EV id=1\ndone EV id=1\n")
			r.count(1)
			r.start()
			r.settled()
			for i := 1; i < 40; i++ {
				r.job(i, "begin EV id=1\n")
				r.rest(50 * time.Millisecond)
				r.raw(fmt.Sprintf("job-%d.log", i), "done EV id=1\n")
				r.count(1)
			}
		}},
		shape{name: "jobs/one-name-again-and-again", patterns: []string{"job.log"}, do: func(r *run) {
			r.raw("job.log", "EV id=1 done\n")
			r.count(1)
			r.start()
			r.settled()
			for range 8 { // the application removes its log and makes another
				r.rest(7 * time.Second)
				r.sh(`rm job.log`)
				r.rest(2 * time.Second)
				r.raw("job.log", "EV id=1 done\n")
				r.count(1)
			}
		}},
	)
}

func (r *run) job(i int, text string) {
	r.raw(fmt.Sprintf("job-%d.log", i), text)
	r.count(1)
}

func (r *run) identicalJobs(many int, how string) {
	const text = "EV id=1 done\n"
	r.job(0, text)
	r.start()
	r.settled()
	down := how == "down" || how == "gzip-down"
	if down {
		r.kill()
	}
	for i := 1; i < many; i++ {
		r.job(i, text)
		if !down && i%(many/5) == 0 {
			r.rest(1500 * time.Millisecond)
		}
	}
	if !down {
		r.await(30 * time.Second)
	}
	switch how {
	case "gzip-live":
		r.sh(`ls | grep '[13579].log$' | xargs gzip`)
	case "gzip-restart":
		r.kill()
		r.sh(`ls | grep '[13579].log$' | xargs gzip`)
	case "gzip-down": // archives of files that nobody has ever read
		r.sh(`ls | grep '[13579].log$' | xargs gzip`)
	case "removed-restart":
		r.kill()
		fallthrough
	case "removed":
		r.sh(`ls | xargs rm`)
		r.rest(2 * time.Second)
		for i := range 50 {
			r.raw(fmt.Sprintf("job-n%d.log", i), text)
			r.count(1)
		}
	case "touched":
		r.sh(`ls | xargs touch`)
		r.restart()
	}
	if !r.agent.Running() {
		r.start()
	}
	r.await(30 * time.Second)
}
