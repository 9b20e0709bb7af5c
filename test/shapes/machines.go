package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// reused returns the shapes of inodes that go to the next file as soon as a file is removed.
func reused() []shape {
	var shapes []shape
	for _, kind := range []string{"live", "rotated", "archive"} {
		for _, after := range []time.Duration{3 * time.Second, 20 * time.Second} {
			for _, moment := range []string{"live", "down"} {
				shapes = append(shapes, shape{
					name: fmt.Sprintf("inode/of-an-archive-to-a-%s-file-after-%v/%s", kind, after, moment), patterns: []string{"*.log"},
					short: kind == "live" && after < 10*time.Second && moment == "live",
					do:    func(r *run) { r.reuse(kind, after, moment == "down") },
				})
			}
		}
	}
	for _, moment := range []string{"live", "down"} {
		shapes = append(shapes, shape{name: "inode/of-a-removed-log/" + moment, patterns: []string{"*.log"}, do: func(r *run) {
			for i := range 5 {
				r.write(fmt.Sprintf("app-%d.log", i), 60)
			}
			r.start()
			r.settled()
			r.rest(2 * time.Second)
			if moment == "down" {
				r.kill()
			}
			for i := range 5 {
				r.must(os.Remove(r.path(fmt.Sprintf("app-%d.log", i))))
				r.write(fmt.Sprintf("new-%d.log", i), 90)
			}
			if moment == "down" {
				r.start()
			}
			r.settled()
		}})
	}
	return shapes
}

// reuse removes an archive a while after the rotation. Its inode goes to
// another followed file. That file counts once, also a minute later, when the
// agent closes what it read of the archive.
func (r *run) reuse(kind string, after time.Duration, down bool) {
	r.write("g.log", 50)
	if kind == "rotated" {
		r.write("c.log", 60)
	}
	r.start()
	r.settled()
	r.sh(`mv g.log g.log.1`)
	r.write("g.log", 5)
	r.sh(`gzip g.log.1`)
	began := time.Now()
	inode := r.inode("g.log.1.gz")
	r.rest(after)
	r.changing(down, func() {
		r.must(os.Remove(r.path("g.log.1.gz")))
		take := r.takeInode(inode)
		switch kind {
		case "live":
			r.must(os.Rename(take, r.path("c.log")))
			r.write("c.log", 200)
		case "rotated": // a copy that is truncated
			r.must(os.WriteFile(take, []byte(r.read("c.log")), 0o644))
			r.must(os.Rename(take, r.path("c.log.1")))
			r.must(os.Truncate(r.path("c.log"), 0))
			r.write("c.log", 3)
		case "archive":
			r.sh(`gzip -c g.log > ` + take + `; : > g.log`)
			r.must(os.Rename(take, r.path("g.log.2.gz")))
		}
	})
	r.settled()
	for time.Since(began) < 75*time.Second {
		r.rest(time.Second)
	}
	r.write("g.log", 1)
	if kind != "archive" {
		r.write("c.log", 1)
	}
	for i := range 3 {
		r.write(fmt.Sprintf("new%d.log", i), 1)
		r.rest(time.Second)
	}
	for range 5 {
		if kind != "archive" {
			r.write("c.log", 20)
		}
		r.write("g.log", 20)
		r.rest(300 * time.Millisecond)
	}
}

func (r *run) inode(name string) uint64 {
	info, err := os.Stat(r.path(name))
	r.must(err)
	return info.Sys().(*syscall.Stat_t).Ino
}

// takeInode makes files beside the log folder until one has the inode. It
// returns the last file where the file system does not give the inode again.
func (r *run) takeInode(inode uint64) string {
	dir := filepath.Join(r.dir, "log") // ext4 takes inodes from the folder's group
	last := ""
	var junk []string
	for i := range 3000 {
		last = filepath.Join(dir, fmt.Sprintf("tmp%d.x", i))
		r.must(os.WriteFile(last, nil, 0o644))
		if r.inode(last) == inode {
			break
		}
		junk = append(junk, last)
	}
	for _, name := range junk {
		if name != last {
			r.must(os.Remove(name))
		}
	}
	return last
}

// machines returns the shapes of copies of the disk and snapshots.
func machines() []shape {
	return []shape{
		{name: "machine/clone", short: true, expect: []string{"gap"}, do: func(r *run) {
			id := filepath.Join(r.dir, "machine-id")
			r.must(os.WriteFile(id, []byte("0123456789abcdef0123456789abcdef\n"), 0o644))
			r.agent.Env = []string{"METERLOG_MACHINE_ID_FILE=" + id}
			r.write("app.log", 60)
			r.start()
			r.settled()
			r.stop()
			r.raw("app.log", "EV id=1 of the first machine\nEV id=2 of the first machine\n")
			r.must(os.WriteFile(id, []byte("fedcba9876543210fedcba9876543210\n"), 0o644))
			r.start()
			r.rest(2 * time.Second)
			r.write("app.log", 30)
			r.settled()
		}},
		{name: "machine/overlay", root: true, needs: []string{"mount"}, do: func(r *run) {
			r.sh(`mkdir ../low ../up ../work`)
			r.write("../low/app.log", 60)
			r.sh(`mount -t overlay overlay -o lowerdir=$PWD/../low,upperdir=$PWD/../up,workdir=$PWD/../work $PWD`)
			r.cleanup = func() { syscall.Unmount(r.path(""), syscall.MNT_DETACH) }
			r.start()
			r.settled()
			r.write("app.log", 20) // the file is copied up: another inode
			r.settled()
			r.restart()
			r.write("app.log", 20)
			r.settled()
			r.kill()
			r.sh(`mv app.log app.log.1; gzip app.log.1; : > app.log`)
			r.write("app.log", 20)
			r.start()
			r.settled()
		}},
	}
}
