package main

import "time"

// when is the moment of a change.
type when struct {
	name   string
	change func(r *run, change func(*run))
}

// moments are tried with every change. Most write lines right before the
// change, so that the change meets unread lines.
var moments = []when{
	{"live", func(r *run, change func(*run)) {
		r.write("app.log", 60)
		r.start()
		r.settled()
		r.write("app.log", 5)
		change(r)
		r.write("app.log", 20)
		r.settled()
	}},
	{"read", func(r *run, change func(*run)) {
		r.write("app.log", 60)
		r.start()
		r.settled()
		change(r)
		r.rest(3 * time.Second)
		r.write("app.log", 20)
		r.settled()
	}},
	{"down", func(r *run, change func(*run)) {
		r.write("app.log", 60)
		r.start()
		r.settled()
		r.kill()
		r.write("app.log", 5)
		change(r)
		r.write("app.log", 20)
		r.start()
	}},
	{"restart", func(r *run, change func(*run)) {
		r.write("app.log", 60)
		r.start()
		r.settled()
		change(r)
		r.write("app.log", 5)
		r.settled()
		r.restart()
		r.write("app.log", 20)
		r.settled()
	}},
	{"twice", func(r *run, change func(*run)) { // the second time while it is down
		r.write("app.log", 60)
		r.start()
		r.settled()
		change(r)
		r.write("app.log", 40)
		r.settled()
		r.kill()
		r.write("app.log", 5)
		change(r)
		r.write("app.log", 70)
		r.start()
	}},
}

// change is one thing that happens to the files. Each leaves app.log ready for
// the next lines.
type change struct {
	name     string
	patterns []string
	script   string // run in the log folder, in sh
}

// shapesOf returns a shape for every change at every moment. The first of a kind
// represents it.
func shapesOf(kind string, changes []change) []shape {
	var shapes []shape
	for i, c := range changes {
		for j, m := range moments {
			shapes = append(shapes, shape{
				name: kind + "/" + c.name + "/" + m.name, patterns: c.patterns, short: i == j,
				do: func(r *run) { m.change(r, func(r *run) { r.sh(c.script) }) },
			})
		}
	}
	return shapes
}

// shift makes room for the next app.log.1, plain or compressed.
const shift = `for i in 5 4 3 2 1; do for e in "" .gz .xz .bz2 .zst; do
[ ! -e app.log.$i$e ] || mv app.log.$i$e app.log.$((i+1))$e; done; done
`

// next sets n to the number of this change: 1, 2, ...
const next = `n=1; while [ -e ../n$n ]; do n=$((n+1)); done; touch ../n$n
`

func rotations() []shape {
	return shapesOf("rotate", []change{
		{"rename", nil, shift + `mv app.log app.log.1; : > app.log`},
		{"copytruncate", nil, shift + `cp app.log app.log.1; : > app.log`},
		{"rename-gzip", nil, shift + `mv app.log app.log.1; : > app.log; gzip app.log.1`},
		{"rename-xz", nil, shift + `mv app.log app.log.1; : > app.log; xz app.log.1`},
		{"rename-bzip2", nil, shift + `mv app.log app.log.1; : > app.log; bzip2 app.log.1`},
		{"rename-zstd", nil, shift + `mv app.log app.log.1; : > app.log; zstd -q --rm app.log.1`},
		{"copytruncate-gzip", nil, shift + `cp app.log app.log.1; : > app.log; gzip app.log.1`},
		{"gzip-truncate", nil, shift + `gzip -c app.log > app.log.1.gz; : > app.log`},
		{"other-inode", nil, `cp -p app.log new; mv new app.log`},
		{"olddir", []string{"app.log", "old/*"}, `mkdir -p old; ` + next + `mv app.log old/app.log.$n; : > app.log`},
		{"olddir-gzip", []string{"app.log", "old/*"}, `mkdir -p old; ` + next + `mv app.log old/app.log.$n; : > app.log; gzip old/app.log.$n`},
		{"olddir-far", []string{"app.log", "../far/archive/*"}, `mkdir -p ../far/archive; ` + next + `gzip -c app.log > ../far/archive/$n.gz; mv app.log ../gone$n; : > app.log; rm ../gone$n`},
	})
}

// archiveNames are names that rotators give, with the program or the kind of
// program that does. The number of the rotation replaces %.
var archiveNames = []string{
	"app-%.log",                        // log4j2 by index
	"app_%.log",                        // serilog
	"app%.log",                         // winston by size
	"app-Nov-2%.log",                   // by a month's name
	"2026112%-app.log",                 // date first
	"202611%5-0300-01-app.log",         // rotating-file-stream
	"app-out__2026-11-25_03-00-0%.log", // pm2-logrotate
	"app-2026-11-25T03-00-00.00%.log",  // lumberjack
	"app-2026-11-2%.log",               // winston-daily-rotate-file
	"app.2026-11-25_%.log",             // loguru
	"app.log.2026-11-2%",               // Python, by time
	"app.log_%",                        // unknown
	"app.log.backup%",                  // by hand
	"before-upgrade-%.log",             // by hand
	"2026-11/app-11-25-2026-%.log",     // log4j2 into folders
	"archive/%/app.log",                // a folder for each
}

// archives returns the shapes of rotations into names that need not tell that they are rotated.
func archives() []shape {
	both := []string{"*.log", "*/**/*.log"}
	var changes []change
	for _, name := range archiveNames {
		set := next + `a=$(echo '` + name + `' | sed "s/%/$n/"); mkdir -p "$(dirname "$a")"; `
		changes = append(changes,
			change{"rename:" + name, both, set + `mv app.log "$a"; : > app.log`},
			change{"copytruncate:" + name, both, set + `cp app.log "$a"; : > app.log`},
			change{"gzip:" + name, both, set + `mv app.log roll.tmp; : > app.log; gzip -c roll.tmp > "$a.gz"; rm roll.tmp`},
			change{"copytruncate-gzip:" + name, both, set + `gzip -c app.log > "$a.gz"; : > app.log`},
		)
	}
	for _, pattern := range [][]string{{"**"}, {"app.log"}} { // everything is a source's, and nothing but the log
		name := map[bool]string{true: "everything", false: "only-the-log"}[pattern[0] == "**"]
		for _, how := range []string{"app-%.log", "app.log.backup%"} {
			set := next + `a=$(echo '` + how + `' | sed "s/%/$n/"); `
			changes = append(changes,
				change{name + "-rename:" + how, pattern, set + `mv app.log "$a"; : > app.log`},
				change{name + "-gzip:" + how, pattern, set + `mv app.log ../roll; : > app.log; gzip -c ../roll > "$a.gz"; rm ../roll`})
		}
	}
	return shapesOf("archive", changes)
}
