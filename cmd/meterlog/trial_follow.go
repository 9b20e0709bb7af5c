package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/nxadm/tail"
	"github.com/nxadm/tail/util"
)

// tailedLine is a line that was written to an input, or why no more will come.
type tailedLine struct {
	in     *input
	number int // from 1 where the tail began, or where another file took the name
	text   string
	err    error
}

// follow applies the rules to what is written to the inputs from now on, until
// ctx ends. It reports whether an input could not be followed.
func (t *trial) follow(ctx context.Context, inputs []*input) (failed bool) {
	ctx, stop := context.WithCancel(ctx)
	lines := make(chan tailedLine)
	var tails sync.WaitGroup
	defer tails.Wait()
	defer stop()
	inputs = slices.DeleteFunc(slices.Clone(inputs), func(in *input) bool { return in.done || in.compressed || in.isStdin() })
	owns, ends := map[string]context.Context{}, map[string]context.CancelCauseFunc{} // by path
	for _, in := range inputs {
		owns[in.path], ends[in.path] = context.WithCancelCause(ctx)
		defer ends[in.path](nil)
	}
	surviveFatals(ends)
	for _, in := range inputs {
		tails.Go(func() { in.tail(ctx, owns[in.path], lines) })
	}
	following := len(inputs)
	for following > 0 {
		t.print.flush()
		select {
		case <-ctx.Done():
			return failed
		case line := <-lines:
			if line.err == nil {
				t.tailed(line)
				continue
			}
			t.note("%s: no longer followed: %v", line.in.name, line.err)
			failed = true
			following--
		}
	}
	return failed
}

// tailed applies the rules to one line.
func (t *trial) tailed(line tailedLine) {
	in := line.in
	t.begin(in)
	if line.number == 1 && in.tailed {
		in.lines = 0 // it was rotated or truncated
	}
	in.tailed = true
	if len(line.text) >= meter.MaxLine {
		t.skip(in, int64(len(line.text))+1)
		return
	}
	t.block(in, append([]byte(line.text), '\n'))
}

// tail hands on the lines that are written to the file from its offset on,
// until ctx ends, or own, with a cause. The library looks at the file four times
// a second: by notifications it misses what is written before they are set up.
func (in *input) tail(ctx, own context.Context, lines chan<- tailedLine) {
	give := func(line tailedLine) {
		select {
		case lines <- line:
		case <-ctx.Done():
		}
	}
	file, err := tail.TailFile(in.path, tail.Config{
		Location: &tail.SeekInfo{Offset: in.offset}, Follow: true, ReOpen: true, CompleteLines: true, Poll: true,
		Logger: tail.DiscardingLogger,
	})
	if err != nil {
		give(tailedLine{in: in, err: err})
		return
	}
	for {
		select {
		case <-own.Done():
			file.Stop()
			give(tailedLine{in: in, err: context.Cause(own)})
			return
		case line, more := <-file.Lines:
			if !more {
				give(tailedLine{in: in, err: fmt.Errorf("the tail ended: %w", file.Wait())})
				return
			}
			give(tailedLine{in: in, number: line.Num, text: line.Text, err: line.Err})
		}
	}
}

// surviveFatals keeps the library from ending the process where it cannot stat
// a file: it ends the tail of that file instead. The library writes its last
// words to a logger of its own, and nothing else, and then exits; so the
// goroutine is ended while it writes them.
func surviveFatals(ends map[string]context.CancelCauseFunc) {
	util.LOGGER.SetFlags(0)
	util.LOGGER.SetOutput(lastWords{ends})
}

type lastWords struct {
	ends map[string]context.CancelCauseFunc // by path
}

func (w lastWords) Write(text []byte) (int, error) {
	message, _, _ := strings.Cut(string(text), "\n")
	for path, end := range w.ends {
		if _, reason, found := strings.Cut(message, " "+path+": "); found {
			_, cause, _ := strings.Cut(reason, ": ") // behind the operation and the path
			end(errors.New(cause))
		}
	}
	runtime.Goexit()
	return len(text), nil
}
