// Command shapes asks of every shape that a log can take: was every unit billed
// exactly once, and was nobody alarmed for nothing?
//
// A shape is one way to change files: a rotation, a copy, an archive, a restore,
// a cut, a link. Each shape runs alone against the built binary and a
// model of the API. It writes lines with known sums and compares to the unit.
// Three SKUs bill 1, id and id² for each line, so a lost line cannot hide a
// repeated one. A problem in `meterlog status` that the shape does not expect
// fails it as well.
//
//	go run ./test/shapes              # all shapes
//	go run ./test/shapes -short       # one of each kind, about a minute
//	go run ./test/shapes -run '^copy/' -keep -v
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/meterlog/meterlog/test/trial"
)

var (
	pattern  = flag.String("run", "", "run only the shapes whose names match this `regexp`")
	short    = flag.Bool("short", false, "run only the shapes that represent their kind")
	list     = flag.Bool("list", false, "print the names of the shapes")
	parallel = flag.Int("parallel", 12, "run so many shapes at the same time")
	calm     = flag.Duration("calm", 12*time.Second, "how long the sums must stay right in the end")
	patience = flag.Duration("patience", 40*time.Second, "how long to wait for the sums")
	limit    = flag.Duration("limit", 5*time.Minute, "the longest time of one shape")
	binary   = flag.String("binary", "", "the meterlog to try (default: built from this module)")
	keep     = flag.Bool("keep", false, "keep the folders of the shapes that fail")
	verbose  = flag.Bool("v", false, "print each shape when it ends")
)

// shape is one way to change files.
type shape struct {
	name     string
	patterns []string // of the source; default: app.log
	needs    []string // programs; without one it is skipped
	module   string   // of Node.js; without it it is skipped
	root     bool     // it needs root
	alone    bool     // it measures, so nothing else may run beside it
	short    bool     // it represents its kind
	expect   []string // codes of the problems that `status` must report
	tolerate []string // codes of the problems that `status` may report
	do       func(*run)
}

// outcome is how a shape ended.
type outcome struct {
	shape
	skipped string
	failed  string
	took    time.Duration
	dir     string
}

func main() { trial.Main("shapes", tryAll) }

func tryAll(ctx context.Context) error {
	chosen, err := choose()
	if err != nil {
		return err
	}
	if *list {
		for _, s := range chosen {
			fmt.Println(s.name)
		}
		return nil
	}
	base, err := os.MkdirTemp("", "meterlog-shapes-")
	if err != nil {
		return err
	}
	if !*keep {
		defer os.RemoveAll(base)
	}
	if *binary, err = trial.Binary(ctx, *binary, base); err != nil {
		return err
	}
	outcomes := make([]outcome, len(chosen))
	var group sync.WaitGroup
	slots := make(chan struct{}, *parallel)
	for i, s := range chosen {
		if s.alone {
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			outcomes[i] = try(ctx, s, filepath.Join(base, fmt.Sprint(i)))
			<-slots
		})
	}
	group.Wait()
	for i, s := range chosen {
		if s.alone {
			outcomes[i] = try(ctx, s, filepath.Join(base, fmt.Sprint(i)))
		}
	}
	return report(outcomes)
}

// choose returns the shapes that the flags name.
func choose() ([]shape, error) {
	expression, err := regexp.Compile(*pattern)
	if err != nil {
		return nil, err
	}
	var chosen []shape
	seen := make(map[string]bool)
	for _, s := range all() {
		if seen[s.name] {
			return nil, fmt.Errorf("two shapes have the name %s", s.name)
		}
		seen[s.name] = true
		if expression.MatchString(s.name) && (s.short || !*short) {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}

func all() []shape {
	var shapes []shape
	for _, kind := range [][]shape{
		rotations(), archives(), copies(), beginnings(), jobs(), cuts(), restores(), mirrors(), overwritten(), tornLines(),
		links(), folders(), loggers(), node(), python(), logrotated(), reused(), machines(), hostile(), scale(),
	} {
		shapes = append(shapes, kind...)
	}
	return shapes
}

// try runs one shape in a folder of its own.
func try(ctx context.Context, s shape, dir string) (o outcome) {
	o = outcome{shape: s, dir: dir}
	if *verbose {
		defer func() { fmt.Println(o.line()) }()
	}
	if o.skipped = missing(s); o.skipped != "" {
		return o
	}
	began := time.Now()
	r, err := newRun(ctx, s, dir)
	if err == nil {
		err = r.through()
	}
	o.took = time.Since(began)
	if err != nil {
		o.failed = err.Error()
	} else if !*keep {
		os.RemoveAll(dir)
	}
	return o
}

// missing returns why a shape cannot run here.
func missing(s shape) string {
	if s.root && os.Getuid() != 0 {
		return "needs root"
	}
	if s.module != "" {
		if _, err := os.Stat(filepath.Join(os.Getenv("SHAPES_NODE_MODULES"), s.module, "package.json")); err != nil {
			return s.module + " is not in $SHAPES_NODE_MODULES"
		}
	}
	for _, program := range s.needs {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed"
		}
	}
	return ""
}

func (o outcome) line() string {
	switch {
	case o.skipped != "":
		return fmt.Sprintf("skip   %s: %s", o.name, o.skipped)
	case o.failed != "" && isKnown(o.name):
		return fmt.Sprintf("known  %s (%v): %s", o.name, o.took.Round(time.Second), o.failed)
	case o.failed != "":
		return fmt.Sprintf("FAIL   %s (%v): %s\n       %s", o.name, o.took.Round(time.Second), o.failed, o.dir)
	}
	return fmt.Sprintf("exact  %s (%v)", o.name, o.took.Round(time.Second))
}

// report prints every shape that was not exact, and returns an error if any of
// them fails.
func report(outcomes []outcome) error {
	exact, skipped, known, failed := 0, 0, 0, 0
	for _, o := range outcomes {
		switch {
		case o.skipped != "":
			skipped++
		case o.failed == "":
			exact++
			continue
		case isKnown(o.name):
			known++
		default:
			failed++
		}
		if !*verbose {
			fmt.Println(o.line())
		}
	}
	fmt.Printf("%d shapes: %d exact, %d known to fail, %d skipped, %d failed\n", len(outcomes), exact, known, skipped, failed)
	if failed > 0 {
		return fmt.Errorf("%d shapes fail", failed)
	}
	return nil
}
