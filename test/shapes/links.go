package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// twoSources bills every line of each source to a SKU of its own.
const twoSources = `sources:
  - {name: a, path: "%s"}
  - {name: b, path: "%s"}
rules:
  - {name: ra, source: a, sku_id: a, when: 'line contains "x=1"'}
  - {name: rb, source: b, sku_id: b, when: 'line contains "x=1"'}
`

// both appends n lines that count for the named SKUs.
func (r *run) both(name string, n int, skus ...string) {
	var b strings.Builder
	for range n {
		r.lastID++
		fmt.Fprintf(&b, "%s x=1 n=%d\n", time.Now().UTC().Format(time.RFC3339Nano), r.lastID)
	}
	r.raw(name, b.String())
	for _, sku := range skus {
		r.want[sku] += int64(n)
	}
}

// links returns the shapes of logs with several names, in one source or in several. A file counts
// once for each of its sources.
func links() []shape {
	var shapes []shape
	for _, how := range []string{"ln", "ln -s"} {
		kind := map[string]string{"ln": "hard", "ln -s": "symbolic"}[how]
		for _, down := range []bool{false, true} {
			shapes = append(shapes,
				shape{name: "link/" + kind + "-in-another-source/" + downName(down), short: kind == "symbolic" && !down, do: func(r *run) {
					r.sources = fmt.Sprintf(twoSources, "LOGS/a/*.log", "LOGS/b/*.log")
					r.sh(`mkdir a b`)
					r.both("a/x.log", 50, "a")
					r.start()
					r.settled()
					if down {
						r.kill()
					}
					r.sh(how + ` $PWD/a/x.log b/y.log`)
					if !down {
						r.rest(7 * time.Second) // the source b knows the file from here on
						r.both("a/x.log", 30, "a", "b")
					} else {
						r.start()
						r.rest(3 * time.Second)
						r.both("a/x.log", 30, "a", "b")
					}
					r.settled()
					r.sh(`rm b/y.log`)
					r.rest(7 * time.Second)
					r.both("a/x.log", 20, "a")
					r.settled()
				}},
				shape{name: "link/" + kind + "-name-removed-first/" + downName(down), do: func(r *run) {
					r.sources = fmt.Sprintf(twoSources, "LOGS/a/*.log", "LOGS/b/*.log")
					r.sh(`mkdir a b real; : > real/x; ` + how + ` $PWD/real/x a/x.log; ` + how + ` $PWD/real/x b/y.log`)
					r.both("real/x", 50, "a", "b")
					r.start()
					r.settled()
					r.changing(down, func() {
						r.sh(`rm a/x.log`)
					})
					r.rest(7 * time.Second)
					r.both("real/x", 30, "b")
					r.settled()
				}},
				shape{name: "link/" + kind + "-in-the-same-source/" + downName(down), patterns: []string{"*.log"}, do: func(r *run) {
					r.write("app.log", 60)
					r.start()
					r.settled()
					r.changing(down, func() {
						r.sh(how + ` $PWD/app.log a-first.log; ` + how + ` $PWD/app.log z-last.log`)
						r.write("app.log", 20)
					})
					r.settled()
					r.sh(`rm app.log; : > app.log`)
					r.write("app.log", 20)
					r.settled()
				}})
		}
	}
	for _, down := range []bool{false, true} {
		shapes = append(shapes,
			shape{name: "link/current-and-dated-in-two-sources/" + downName(down), do: func(r *run) {
				r.sources = fmt.Sprintf(twoSources, "LOGS/current.log", "LOGS/app-*.log")
				r.sh(`: > app-1.log; ln -s app-1.log current.log`)
				r.both("app-1.log", 50, "a", "b")
				r.start()
				r.settled()
				r.changing(down, func() {
					r.both("app-1.log", 5, "a", "b")
					r.sh(`: > app-2.log; ln -sfn app-2.log current.log`)
					r.both("app-2.log", 30, "a", "b")
				})
				r.settled()
				r.both("app-2.log", 5, "a", "b")
			}},
			shape{name: "link/switched/" + downName(down), patterns: []string{"current.log"}, do: func(r *run) {
				r.sh(`: > app-1.log; ln -s app-1.log current.log`)
				r.write("app-1.log", 60)
				r.start()
				r.settled()
				r.changing(down, func() {
					r.write("app-1.log", 5)
					r.sh(`: > app-2.log; ln -sfn app-2.log current.log`)
					r.write("app-2.log", 30)
					r.write("app-1.log", 3) // the program has not switched yet
				})
				r.settled()
			}},
			shape{name: "link/folder-switched-capistrano/" + downName(down), patterns: []string{"current/log/*.log"}, short: down, do: func(r *run) {
				r.sh(`mkdir -p releases/1/log releases/2/log; ln -s releases/1 current`)
				r.write("releases/1/log/app.log", 60)
				r.start()
				r.settled()
				r.changing(down, func() {
					r.write("releases/1/log/app.log", 5)
					r.sh(`ln -sfn releases/2 current`)
					r.write("releases/2/log/app.log", 30)
					r.write("releases/1/log/app.log", 3)
				})
				r.settled()
			}},
			shape{name: "link/container-log-whose-link-is-gone/" + downName(down), patterns: []string{"containers/*.log"}, do: func(r *run) {
				r.sh(`mkdir -p containers pods/x; : > pods/x/0.log; ln -s ../pods/x/0.log containers/x.log`)
				r.write("pods/x/0.log", 60)
				r.start()
				r.settled()
				r.changing(down, func() {
					r.write("pods/x/0.log", 5)
					r.sh(`rm containers/x.log`)
				})
				r.settled()
			}},
			shape{name: "link/container-log-rotated/" + downName(down), patterns: []string{"containers/*.log"}, do: func(r *run) {
				r.sh(`mkdir -p containers pods/x; : > pods/x/0.log; ln -s ../pods/x/0.log containers/x.log`)
				r.write("pods/x/0.log", 60)
				r.start()
				r.settled()
				r.changing(down, func() {
					r.write("pods/x/0.log", 5)
					r.sh(`mv pods/x/0.log pods/x/0.log.20261125-030000; : > pods/x/0.log`)
					r.write("pods/x/0.log", 10)
					r.sh(`gzip pods/x/0.log.20261125-030000`)
				})
				r.settled()
			}})
	}
	return append(shapes,
		shape{name: "link/refused", root: true, needs: []string{"setpriv"}, expect: []string{"link_refused"}, patterns: []string{"*.log"}, do: func(r *run) {
			r.sh(`chmod 755 .; mkdir -p ../secret; chmod 700 ../secret`)
			r.write("app.log", 20)
			r.raw("../secret/shadow", "EV id=1 is nobody's business\n")
			r.sh(`ln -s $PWD/../secret/shadow x.log; chown -h 64002:64002 x.log`)
			r.start()
			r.settled()
		}},
		shape{name: "link/of-the-owner-is-followed", root: true, patterns: []string{"*.log"}, do: func(r *run) {
			r.sh(`mkdir -p ../own`)
			r.write("../own/real", 20)
			r.sh(`chown -R 64002:64002 ../own; ln -s $PWD/../own/real x.log; chown -h 64002:64002 x.log`)
			r.start()
			r.settled()
			f, err := os.OpenFile(r.path("../own/real"), os.O_APPEND|os.O_WRONLY, 0)
			r.must(err)
			_, err = f.WriteString(r.lines(10))
			r.must(err)
			f.Close()
		}},
		shape{name: "link/folder-to-itself-below-two-stars", patterns: []string{"**/*.log"}, do: func(r *run) {
			r.sh(`mkdir d; ln -s . one; ln -s . two; ln -s . d/three; ln -s .. d/four`)
			r.write("d/app.log", 60)
			r.start()
			r.settled()
			r.write("d/app.log", 10)
		}},
	)
}
