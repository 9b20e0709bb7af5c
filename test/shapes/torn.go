package main

import (
	"fmt"
	"os"
	"time"
)

// tornLines returns the shapes of lines whose end comes after the rotation.
func tornLines() []shape {
	var shapes []shape
	for _, how := range []string{"copytruncate", "rename", "rename-gzip-later", "copytruncate-gzip-later"} {
		for _, moment := range []string{"live", "restart", "down"} {
			shapes = append(shapes, shape{
				name: "torn/" + how + "/" + moment, short: how == "copytruncate" && moment == "live",
				do: func(r *run) { r.tornQuantity(how, moment) },
			})
		}
	}
	for _, appends := range []bool{true, false} {
		for _, kill := range []bool{false, true} {
			name := "torn/block-buffered-604"
			if !appends {
				name += "-without-append"
			}
			if kill {
				name += "-killed"
			}
			shapes = append(shapes, shape{name: name, short: appends && !kill, do: func(r *run) { r.blockBuffered(appends, kill) }})
		}
	}
	return append(shapes,
		shape{name: "torn/late-writer-of-blocks", do: lateBlocks},
		shape{name: "torn/no-end-then-compressed", do: func(r *run) {
			r.write("app.log", 50)
			r.start()
			r.settled()
			r.raw("app.log", r.line())
			r.sh(`mv app.log app.log.1; gzip app.log.1`)
			r.write("app.log", 5)
		}},
		shape{name: "torn/no-end-then-removed", do: func(r *run) {
			r.write("app.log", 50)
			r.start()
			r.settled()
			r.raw("app.log", r.line())
			r.rest(time.Second)
			r.sh(`mv app.log app.log.1; sleep 1; rm app.log.1`)
			r.write("app.log", 5)
		}},
		shape{name: "torn/waits-in-the-live-log", do: func(r *run) {
			r.write("app.log", 50)
			r.start()
			r.settled()
			line := r.line()
			r.raw("app.log", line[:len(line)-1])
			r.rest(7 * time.Second)
			r.restart()
			r.raw("app.log", line[len(line)-1:])
			r.rest(2 * time.Second)
			r.raw("app.log", "\n")
		}},
		shape{name: "torn/half-in-the-copy", do: halfInTheCopy},
	)
}

// tornQuantity tears the number of a line by a rotation: "EV id=7" before it,
// "77" seven seconds after it. That is one event of 777.
func (r *run) tornQuantity(how, moment string) {
	f := r.open("app.log", os.O_APPEND)
	defer f.Close()
	put := func(text string) { _, err := f.WriteString(text); r.must(err) }
	put(r.lines(40))
	r.start()
	r.settled()
	r.count(777)
	put("2026-11-25T00:00:00 EV id=7")
	r.rest(time.Second)
	if moment == "down" {
		r.kill()
	}
	switch how {
	case "copytruncate", "copytruncate-gzip-later":
		r.sh(`cp app.log app.log.1; : > app.log`)
	default:
		r.sh(`mv app.log app.log.1; : > app.log`)
	}
	if moment == "restart" {
		r.rest(2 * time.Second)
		r.kill()
		r.start()
	}
	r.rest(7 * time.Second)
	put("77\n")
	put(r.lines(3))
	if moment == "down" {
		r.start()
	}
	r.settled()
	switch how {
	case "rename-gzip-later", "copytruncate-gzip-later":
		r.sh(`gzip app.log.1`)
	}
}

// blockBuffered is a program whose standard output is a file: it writes blocks
// of 4,096 bytes, which end within a line. The log is copied and truncated
// three times.
func (r *run) blockBuffered(appends, kill bool) {
	flags := 0
	if appends {
		flags = os.O_APPEND
	}
	f := r.open("app.log", flags)
	defer f.Close()
	r.start()
	buffer := ""
	flush := func(n int) { _, err := f.WriteString(buffer[:n]); r.must(err); buffer = buffer[n:] }
	const events, block = 604, 4096
	for i := 1; i <= events; i++ {
		buffer += r.line() + fmt.Sprintf(" %0*d\n", 20+i%37, i)
		if len(buffer) >= block {
			flush(block)
			r.rest(300 * time.Millisecond)
		}
		if i%151 == 0 && i < events {
			r.rest(1500 * time.Millisecond)
			r.sh(fmt.Sprintf(`cp app.log app.log.%d; : > app.log`, i))
			if kill {
				r.restart()
			}
		}
	}
	flush(len(buffer))
}

// lateBlocks renames the log of a block-buffered program that never reopens it,
// while another program writes the new one.
func lateBlocks(r *run) {
	f := r.open("app.log", os.O_APPEND)
	defer f.Close()
	buffer := r.lines(400)
	half := len(buffer)/2 - 7
	_, err := f.WriteString(buffer[:half])
	r.must(err)
	r.start()
	r.rest(2 * time.Second)
	r.sh(`mv app.log app.log.1; : > app.log`)
	r.write("app.log", 20)
	r.rest(8 * time.Second) // longer than a rotated file must be quiet
	_, err = f.WriteString(buffer[half:])
	r.must(err)
	r.settled()
	r.restart()
	_, err = f.WriteString(r.lines(5))
	r.must(err)
}

// halfInTheCopy lets the program write the rest of a line and more between
// two truncations, so that every copy has two torn ends.
func halfInTheCopy(r *run) {
	f := r.open("app.log", os.O_APPEND)
	defer f.Close()
	put := func(text string) { _, err := f.WriteString(text); r.must(err) }
	put(r.lines(40))
	r.start()
	r.settled()
	rest := ""
	for i := range 4 {
		line := r.line()
		put(rest + r.lines(30) + line[:len(line)-5])
		rest = line[len(line)-5:] + "\n"
		r.rest(700 * time.Millisecond)
		if i == 2 {
			r.kill()
		}
		r.sh(fmt.Sprintf(`cp app.log app.log.%d; : > app.log`, i))
		if i == 2 {
			r.start()
		}
	}
	put(rest)
}
