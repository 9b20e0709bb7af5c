package main

import (
	"fmt"
	"time"
)

// copies returns the shapes of files that hold what another file holds. A copy counts nothing, in
// whatever folder, under whatever name, plain or compressed.
func copies() []shape {
	everything := []string{"**/app*"}
	shapes := shapesOf("copy", []change{
		{"before-upgrade", []string{"*.log"}, next + `cp app.log app-before-upgrade$n.log`},
		{"backup", []string{"app*"}, next + `cp app.log app.log.backup$n`},
		{"bak", []string{"app*"}, `cp app.log app.log.bak`},
		{"dated", []string{"*.log"}, next + `cp app.log app-2026-11-2$n.log`},
		{"numbered", []string{"*.log"}, next + `cp app.log app-$n.log`},
		{"gzip-support", []string{"app*"}, next + `gzip -c app.log > app-support$n.log.gz`},
		{"gzip-same-name", []string{"app*"}, `gzip -c app.log > app-support.log.gz`},
		{"gzip-k", []string{"*.log"}, `gzip -kf app.log`},
		{"xz-k", []string{"*.log"}, `xz -kf app.log`},
		{"snapshot", everything, next + `mkdir -p snap$n; cp -a app.log snap$n/`},
		{"snapshot-same", everything, `mkdir -p snap; cp -a app.log snap/`},
		{"rsync-backup", everything, next + `mkdir -p .backup/$n; cp -p app.log .backup/$n/app.log`},
		{"hard-link", everything, next + `ln app.log app-link$n.log`},
		{"symlink", everything, next + `ln -s app.log app-link$n.log`},
		{"logrotate-copy", nil, shift + `cp app.log app.log.1`},
		{"logrotate-copy-gzip", nil, shift + `gzip -c app.log > app.log.1.gz`},
		{"logrotate-copy-dated", nil, next + `gzip -c app.log > app.log-2026112$n.gz`},
		{"half", []string{"*.log"}, next + `head -c 1800 app.log > app-half$n.log`},
		{"half-gzip", []string{"*.log"}, next + `head -c 1800 app.log | gzip > app-half$n.log.gz`},
		{"copy-of-a-copy", []string{"*.log"}, `cp app.log app-one.log; cp app-one.log app-two.log; gzip -c app-two.log > app-three.log.gz`},
		{"copy-then-rename", []string{"*.log", "*.log.1"}, shift + `cp app.log app-kept.log; mv app.log app.log.1; : > app.log`},
		{"copy-then-remove", []string{"*.log"}, next + `cp app.log app-kept$n.log; rm app.log; : > app.log`},
	})
	for _, m := range []struct{ name, script string }{
		{"plain", `cp app.log.1 app-again.log`},
		{"gzip", `gzip -c app.log.1 > app-again.log.gz`},
		{"own-file-gone", `cp app.log.1 ../kept; rm app.log.1; sleep 1; cp ../kept app-again.log`},
		{"own-file-gone-gzip", `gzip -c app.log.1 > ../kept; rm app.log.1; sleep 1; cp ../kept app-again.log.gz`},
		{"unpacked", `gzip app.log.1; sleep 1; gzip -dc app.log.1.gz > app-unpacked.log`},
		{"moved-in", `gzip app.log.1; sleep 1; mv app.log.1.gz app-moved.log.gz`},
	} {
		for _, down := range []bool{false, true} {
			shapes = append(shapes, shape{
				name: "copy/of-finished-" + m.name + "/" + downName(down), patterns: []string{"app*.log"},
				do: func(r *run) { r.copyOfFinished(m.script, down) },
			})
		}
	}
	return append(shapes,
		shape{name: "copy/grows-with-the-log", patterns: []string{"**/*.log"}, do: growingCopy},
		shape{name: "copy/archive-grows-with-the-log", patterns: []string{"app*"}, do: growingArchive},
		shape{name: "copy/snapshot-every-second", patterns: []string{"**/*.log"}, short: true, do: snapshots},
		shape{name: "copy/of-a-log-that-is-written", patterns: []string{"*.log"}, do: copyWhileWritten},
	)
}

func downName(down bool) string {
	if down {
		return "down"
	}
	return "live"
}

// copyOfFinished copies a log that was rotated, and finished more than a minute
// ago by its look: its generation has left memory.
func (r *run) copyOfFinished(script string, down bool) {
	r.write("app.log", 60)
	r.start()
	r.settled()
	r.move("app.log", "app.log.1")
	r.write("app.log", 10)
	r.rest(9 * time.Second) // until the rotated file is quiet and finished
	r.changing(down, func() {
		r.sh(script)
		r.write("app.log", 10)
	})
	r.settled()
}

// growingCopy copies a log again and again over the same file, in place.
func growingCopy(r *run) {
	r.sh(`mkdir mirror`)
	r.copiedAsItGrows(`cat app.log > mirror/app.log`)
}

// growingArchive writes an archive of the growing log each time under one name.
func growingArchive(r *run) { r.copiedAsItGrows(`gzip -c app.log > app-support.log.gz`) }

// copiedAsItGrows runs the script again and again while the log grows.
func (r *run) copiedAsItGrows(script string) {
	r.write("app.log", 60)
	r.start()
	r.settled()
	for i := range 6 {
		r.write("app.log", 30)
		r.sh(script)
		r.rest(1500 * time.Millisecond)
		if i == 3 {
			r.restart()
		}
	}
}

func snapshots(r *run) {
	r.write("app.log", 60)
	r.start()
	r.settled()
	for i := range 8 {
		r.write("app.log", 20)
		r.sh(fmt.Sprintf(`mkdir snap%d; cp -a *.log snap%d/`, i, i))
		r.rest(time.Second)
		if i == 4 {
			r.restart()
		}
	}
}

// copyWhileWritten copies the log while lines are appended without a pause, so
// that the copy is ahead of what was read, and torn.
func copyWhileWritten(r *run) {
	r.write("app.log", 60)
	r.start()
	r.settled()
	for i := range 5 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.sh(fmt.Sprintf(`for i in 1 2 3 4 5; do cp app.log app-at-%d-$i.log; sleep 0.05; done`, i))
		}()
		for range 300 {
			r.write("app.log", 1)
		}
		<-done
		r.rest(300 * time.Millisecond)
	}
}
