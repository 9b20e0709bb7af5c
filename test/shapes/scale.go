package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// scale returns the shapes of many files, with the limits that hold for them.
func scale() []shape {
	return []shape{
		{name: "scale/20000-files-1000-descriptors", alone: true, needs: []string{"prlimit"}, do: func(r *run) {
			r.patterns = []string{"**/*.log"}
			r.agent.Prefix = []string{"prlimit", "--nofile=1000:1000", "--"}
			name := func(i int) string { return fmt.Sprintf("%d/f%d.log", i%100, i) }
			for i := range 20000 {
				if i < 100 {
					r.must(os.MkdirAll(r.path(fmt.Sprint(i)), 0o755))
				}
				r.write(name(i), 2)
			}
			r.start()
			r.await(2 * time.Minute)
			r.rest(2 * time.Second)
			r.kill()
			for i := 3; i < 20000; i += 40 {
				r.write(name(i), 1)
			}
			r.start()
			began := time.Now()
			r.await(90 * time.Second)
			if took := time.Since(began); took > time.Minute {
				r.fault("what grew while it was down was read after %v", took.Round(time.Second))
			}
		}},
		{name: "scale/20000-files-1000-descriptors-rotated-while-down", alone: true, needs: []string{"prlimit"}, do: func(r *run) {
			r.patterns = []string{"**/*.log"}
			r.agent.Prefix = []string{"prlimit", "--nofile=1000:1000", "--"}
			for i := range 20000 {
				r.write(fmt.Sprintf("f%d.log", i), 2)
			}
			r.start()
			r.await(2 * time.Minute)
			r.rest(2 * time.Second)
			r.kill()
			for i := 3; i < 20000; i += 40 {
				name := fmt.Sprintf("f%d.log", i)
				r.write(name, 1)
				r.move(name, name+".1")
				r.write(name, 1)
			}
			r.start()
			began := time.Now()
			r.await(90 * time.Second)
			if took := time.Since(began); took > time.Minute {
				r.fault("what grew while it was down was read after %v", took.Round(time.Second))
			}
		}},
		{name: "scale/100000-finished-files", alone: true, do: func(r *run) {
			r.patterns = []string{"**/*.log"}
			r.write("app.log", 1)
			r.start()
			r.rest(10 * time.Second)
			before := r.resident()
			const many = 100000
			for i := range many {
				if i < 100 {
					r.must(os.MkdirAll(r.path(fmt.Sprintf("d%d", i)), 0o755))
				}
				r.write(fmt.Sprintf("d%d/f%d.log", i%100, i), 1)
			}
			r.await(2 * time.Minute)
			for i := range many {
				name := fmt.Sprintf("d%d/f%d.log", i%100, i)
				r.move(name, name+".1")
			}
			r.rest(90 * time.Second)
			r.stop()
			r.start()
			r.rest(20 * time.Second)
			after := r.resident()
			fmt.Printf("       100,000 finished files: %d KiB before, %d KiB after\n", before, after)
			if after > before+5<<10 {
				r.fault("100,000 finished files cost %d KiB", after-before)
			}
		}},
		{name: "scale/1000-rules-on-1000-sources", alone: true, do: func(r *run) {
			var sources, rules strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&sources, "  - {name: s%d, path: \"LOGS/s%d/*.log\"}\n", i, i)
				fmt.Fprintf(&rules, "  - {name: r%d, source: s%d, sku_id: k%d, when: 'line contains \"EV id=\"'}\n", i, i, i)
				r.must(os.MkdirAll(r.path(fmt.Sprintf("s%d", i)), 0o755))
				r.raw(fmt.Sprintf("s%d/app.log", i), "EV id=1\nEV id=2\n")
				r.want[fmt.Sprintf("k%d", i)] = 2
			}
			r.sources = "sources:\n" + sources.String() + "rules:\n" + rules.String()
			r.start()
			r.await(30 * time.Second)
			r.rest(5 * time.Second)
			resident := r.resident()
			fmt.Printf("       1,000 rules on 1,000 sources: %d KiB\n", resident)
			if resident > 150<<10 {
				r.fault("1,000 rules on 1,000 sources take %d KiB", resident)
			}
		}},
	}
}

var rss = regexp.MustCompile(`VmRSS:\s+(\d+)`)

// resident returns the agent's memory in KiB.
func (r *run) resident() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.agent.PID()))
	r.must(err)
	n, err := strconv.Atoi(rss.FindStringSubmatch(string(text))[1])
	r.must(err)
	return n
}
