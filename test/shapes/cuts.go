package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// cuts returns the shapes of logs whose beginning is cut off to keep them small.
func cuts() []shape {
	const padded = `yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy`
	scripts := []change{
		{name: "mv", script: `tail -n 100 app.log > tmp; mv tmp app.log`},
		{name: "cat", script: `tail -n 100 app.log > tmp; cat tmp > app.log; rm tmp`},
		{name: "three-lines-left", script: `tail -n 3 app.log > tmp; mv tmp app.log`},
		{name: "ten-lines-left", script: `tail -n 10 app.log > tmp; cat tmp > app.log; rm tmp`},
		{name: "bytes", script: `tail -c 5000 app.log > tmp; mv tmp app.log`}, // the first line is torn
		{name: "sed-i", script: `sed -i '1,200d' app.log`},
		{name: "collapse", script: `fallocate --collapse-range -o 0 -l 16384 app.log`},
		{name: "punch", script: `fallocate --punch-hole -o 0 -l 16384 app.log`},
	}
	var shapes []shape
	for i, c := range scripts {
		for j, moment := range []string{"live", "down", "restart", "again", "gzip-down"} {
			var needs []string
			if strings.HasPrefix(c.script, "fallocate") {
				needs = []string{"fallocate"}
			}
			shapes = append(shapes, shape{
				name: "cut/" + c.name + "/" + moment, needs: needs, short: i == j,
				do: func(r *run) {
					write := func(n int) {
						for range n {
							r.raw("app.log", r.line()+" "+padded+"\n")
						}
					}
					write(400)
					r.start()
					r.settled()
					if strings.HasSuffix(moment, "down") {
						r.kill()
					}
					r.sh(c.script)
					switch moment {
					case "restart":
						r.rest(2 * time.Second)
						r.restart()
					case "again":
						write(50)
						r.settled()
						write(260)
						r.settled()
						r.sh(c.script)
					case "gzip-down":
						r.sh(`mv app.log app.log.1; gzip app.log.1`)
					}
					write(50)
					if !r.agent.Running() {
						r.start()
					}
					r.settled()
				},
			})
		}
	}
	for _, down := range []bool{false, true} {
		shapes = append(shapes, shape{name: "cut/with-unread-lines/" + downName(down), do: func(r *run) {
			r.write("app.log", 400)
			r.start()
			r.settled()
			r.changing(down, func() {
				r.write("app.log", 30)
				r.sh(`tail -n 100 app.log > tmp; mv tmp app.log`)
				r.write("app.log", 50)
			})
			r.settled()
		}})
	}
	return shapes
}

// restores returns the shapes of logs that come back older than they were read: a power failure,
// a backup, a snapshot, log2ram. Bytes that are gone were counted. Lines that
// are written after it count.
func restores() []shape {
	var shapes []shape
	for _, lost := range []int{0, 1, 50, 500} {
		for _, more := range []int{30, 80} {
			for _, how := range []string{"folder", "same-inode", "rewritten", "live-folder"} {
				shapes = append(shapes, shape{
					name: fmt.Sprintf("restore/%s-lost-%d-then-%d", how, lost, more), short: how == "folder" && lost == 50 && more == 80,
					do: func(r *run) { r.restore(how, lost, more) },
				})
			}
		}
	}
	shapes = append(shapes,
		shape{name: "restore/log2ram-every-boot", do: log2ram},
		shape{name: "restore/with-its-rotated-files", do: func(r *run) {
			r.write("app.log", 100)
			r.start()
			r.settled()
			r.move("app.log", "app.log.1")
			r.write("app.log", 100)
			r.settled()
			r.sh(`cp -a . ../kept`)
			r.write("app.log", 40)
			r.settled()
			r.sh(`mv app.log.1 app.log.2; mv app.log app.log.1; : > app.log`)
			r.write("app.log", 20)
			r.settled()
			r.kill()
			r.sh(`rm -f app.log*; cp -a ../kept/. .`)
			r.write("app.log", 70)
			r.start()
		}},
	)
	for _, what := range []string{"end-nul", "end-cut", "hole", "hole-end-nul", "hole-end-cut", "head-nul", "all-nul"} {
		for _, line := range []string{"appended", "newline-first"} {
			shapes = append(shapes, shape{
				name: "power/" + what + "-" + line, short: what == "hole-end-nul" && line == "appended",
				do: func(r *run) { r.powerFailure(what, line == "newline-first") },
			})
		}
	}
	return shapes
}

// restore puts back what the log was before `lost` lines were written, and
// writes some more.
func (r *run) restore(how string, lost, more int) {
	r.write("app.log", 1000)
	r.sh(`mkdir ../kept; cp -p app.log ../kept/`)
	r.start()
	r.write("app.log", lost)
	r.settled()
	if how != "live-folder" {
		r.kill()
	}
	switch how {
	case "folder", "live-folder":
		r.sh(`touch other1 other2; rm app.log; touch other3; cp -p ../kept/app.log new; mv new app.log`)
	case "same-inode":
		info, err := os.Stat(r.path("../kept/app.log"))
		r.must(err)
		r.must(os.Truncate(r.path("app.log"), info.Size()))
	case "rewritten":
		r.sh(`cat ../kept/app.log > app.log`)
	}
	r.write("app.log", more)
	if !r.agent.Running() {
		r.start()
	}
	r.settled()
}

// log2ram keeps logs in memory and copies them to the disk now and then. Every
// hard reset brings back the last copy, in new files.
func log2ram(r *run) {
	r.write("app.log", 300)
	r.start()
	for range 4 {
		r.settled()
		r.sh(`rm -rf ../disk; cp -a . ../disk`)
		r.write("app.log", 40)
		r.settled()
		r.kill()
		r.sh(`rm app.log; touch x y; cp -a ../disk/. .; rm -f x y`)
		r.write("app.log", 15)
		r.start()
	}
}

// powerFailure destroys parts of a log that was read, as a file system does
// whose data had not reached the disk.
func (r *run) powerFailure(what string, newline bool) {
	for range 300 {
		r.raw("app.log", r.line()+" "+strings.Repeat("x", 30)+"\n")
	}
	r.start()
	r.settled()
	r.rest(1200 * time.Millisecond)
	r.kill()
	info, err := os.Stat(r.path("app.log"))
	r.must(err)
	f, err := os.OpenFile(r.path("app.log"), os.O_RDWR, 0)
	r.must(err)
	zero := func(from, to int64) {
		_, err := f.WriteAt(make([]byte, to-from), from)
		r.must(err)
	}
	if strings.Contains(what, "hole") {
		zero(4096, 8192)
	}
	if what == "head-nul" {
		zero(0, 4096)
	}
	if what == "all-nul" {
		zero(0, info.Size())
	}
	if strings.HasSuffix(what, "end-nul") {
		zero(info.Size()-40, info.Size())
	}
	if strings.HasSuffix(what, "end-cut") {
		r.must(f.Truncate(info.Size() - 40))
	}
	r.must(f.Close())
	if newline {
		r.raw("app.log", "\n")
		r.write("app.log", 10)
		r.start()
		return
	}
	r.start()
	r.rest(time.Second)
	r.raw("app.log", "\n")
	r.write("app.log", 10)
	r.settled()
}

// mirrors returns the shapes of logs that another machine writes and rsync brings here, each time
// in a new file or in place.
func mirrors() []shape {
	var shapes []shape
	for _, mode := range []string{"", "--inplace"} {
		for _, late := range []bool{false, true} {
			for _, down := range []bool{false, true} {
				name := "mirror/rsync" + mode
				if late {
					name += "-rotated-comes-late"
				}
				shapes = append(shapes, shape{
					name: name + "/" + downName(down), needs: []string{"rsync"}, short: mode == "" && late && down,
					do: func(r *run) { r.mirror(mode, late, down, false) },
				})
				if mode == "" && !late {
					shapes = append(shapes, shape{
						name: "mirror/rsync-gzip/" + downName(down), needs: []string{"rsync"},
						do: func(r *run) { r.mirror(mode, late, down, true) },
					})
				}
			}
		}
	}
	return append(shapes, shape{name: "mirror/rsync-of-two-rotations", needs: []string{"rsync"}, do: func(r *run) {
		r.sh(`mkdir ../far`)
		sync := func() { r.sh(`rsync -a --delete ../far/ ./`) }
		r.write("../far/app.log", 100)
		sync()
		r.start()
		r.settled()
		for i := range 4 {
			r.write("../far/app.log", 20)
			r.sh(`cd ../far; ` + shift + `mv app.log app.log.1`)
			r.write("../far/app.log", 30)
			if i == 2 {
				r.kill()
			}
			sync()
			if i == 2 {
				r.start()
			}
			r.rest(1500 * time.Millisecond)
		}
	}})
}

func (r *run) mirror(mode string, late, down, archive bool) {
	const far = "../far/app.log"
	r.sh(`mkdir ../far`)
	sync := func(files string) { r.sh(`rsync -a ` + mode + ` ../far/` + files + ` ./`) }
	r.write(far, 100)
	sync("")
	r.start()
	r.settled()
	for range 3 {
		r.write(far, 20)
		sync("")
		r.rest(1500 * time.Millisecond)
	}
	if down {
		r.kill()
	}
	r.write(far, 20)
	r.move(far, "../far/app.log.1")
	if archive {
		r.sh(`gzip ../far/app.log.1`)
	}
	r.write(far, 15)
	if late {
		sync("app.log")
		if down {
			r.start()
		}
		r.rest(15 * time.Second)
	}
	sync("")
	if !r.agent.Running() {
		r.start()
	}
	for range 2 {
		r.write(far, 20)
		sync("")
		r.rest(1500 * time.Millisecond)
	}
}

// overwritten returns the shapes of rotated files that are destroyed on purpose.
func overwritten() []shape {
	var shapes []shape
	for _, c := range []change{
		{name: "shred-u", script: `shred -u app.log.1`},
		{name: "shred", script: `shred app.log.1`},
		{name: "shred-zero", script: `shred -n 1 -z app.log.1`},
		{name: "shred-after-gzip", script: `gzip -k app.log.1; shred -u app.log.1`},
		{name: "dd-random", script: `dd if=/dev/urandom of=app.log.1 bs=1k count=8 conv=notrunc 2>/dev/null`},
	} {
		for _, moment := range []string{"at-once", "later", "finished", "down"} {
			var needs []string
			if strings.Contains(c.script, "shred") {
				needs = []string{"shred"}
			}
			shapes = append(shapes, shape{
				name: "overwritten/" + c.name + "/" + moment, needs: needs, short: c.name == "shred" && moment == "later",
				patterns: []string{"app.log*"},
				do: func(r *run) {
					r.write("app.log", 100)
					r.start()
					r.settled()
					r.rest(time.Second)
					r.sh(`mv app.log app.log.1; : > app.log`)
					switch moment {
					case "later":
						r.rest(2 * time.Second)
					case "finished":
						r.rest(9 * time.Second)
					case "down":
						r.rest(2 * time.Second)
						r.kill()
					}
					r.sh(c.script)
					r.write("app.log", 10)
					if !r.agent.Running() {
						r.start()
					}
					r.settled()
					r.rest(6 * time.Second)
					r.write("app.log", 10)
				},
			})
		}
	}
	return shapes
}
