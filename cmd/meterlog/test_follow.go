package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/nxadm/tail"
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
	following := 0
	for _, in := range inputs {
		if !in.done && !in.compressed && !in.isStdin() {
			following++
			tails.Go(func() { in.tail(ctx, lines) })
		}
	}
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
	if len(line.text) >= maxLine {
		t.skip(in, int64(len(line.text))+1)
		return
	}
	t.block(in, append([]byte(line.text), '\n'))
}

// tail hands on the lines that are written to the file from its offset on,
// until ctx ends.
func (in *input) tail(ctx context.Context, lines chan<- tailedLine) {
	give := func(line tailedLine) {
		select {
		case lines <- line:
		case <-ctx.Done():
		}
	}
	file, err := tail.TailFile(in.path, tail.Config{
		Location: &tail.SeekInfo{Offset: in.offset}, Follow: true, ReOpen: true, CompleteLines: true,
		Logger: tail.DiscardingLogger,
	})
	if err != nil {
		give(tailedLine{in: in, err: err})
		return
	}
	defer file.Cleanup()
	for {
		select {
		case <-ctx.Done():
			file.Stop()
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
