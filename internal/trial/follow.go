package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/nxadm/tail"
	"github.com/nxadm/tail/util"
)

// tailedLine is a line that was written to an input, or why no more will come.
type tailedLine struct {
	in     *input
	number int // from 1 where the tail began, or where another file took the name
	text   string
	err    error
	size   int64 // in bytes, of a line that was too long to be read; its text is ""
}

// newFilesPause is between looks for files that the sources' patterns match and
// that were not there before.
const newFilesPause = 250 * time.Millisecond

// follow applies the rules to what is written to the inputs from now on, until
// ctx ends. Where no file was named it takes up new files of the sources. It
// reports whether an input could not be followed.
func (t *trial) follow(ctx context.Context, inputs []*input) (failed bool) {
	ctx, stop := context.WithCancel(ctx)
	lines := make(chan tailedLine)
	var tails sync.WaitGroup
	defer tails.Wait()
	defer stop()
	ends := endings{}
	surviveFatals(&ends)
	following := 0
	begin := func(in *input) {
		if in.done || in.compressed || in.isStdin() {
			return
		}
		following++
		if in.live {
			tails.Go(func() { in.listen(ctx, lines) })
			return
		}
		own := ends.add(ctx, in.path)
		tails.Go(func() { in.tail(ctx, own, lines) })
	}
	for _, in := range inputs {
		begin(in)
	}
	var look <-chan time.Time
	if t.newInputs != nil {
		ticker := time.NewTicker(newFilesPause)
		defer ticker.Stop()
		look = ticker.C
	}
	for following > 0 || look != nil {
		t.print.flush()
		select {
		case <-ctx.Done():
			return failed
		case <-look:
			for _, in := range t.newInputs(inputs) {
				inputs = append(inputs, in)
				begin(in)
			}
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
	start := int64(1) // not where a file begins
	if line.number == 1 && (in.tailed || in.offset == 0) {
		start = 0
	}
	in.tailed = true
	whole := append([]byte(line.text), '\n')
	if line.size > 0 {
		t.skip(in, line.size)
		return
	}
	text := logfile.DropBlanks(whole)
	if len(text) < len(whole) {
		start = 1
	}
	if len(text) > in.longest() {
		t.skip(in, int64(len(text)))
		return
	}
	t.block(in, start, text)
}

// listen hands on the entries of the journal until ctx ends. Each text may hold several.
func (in *input) listen(ctx context.Context, lines chan<- tailedLine) {
	give := func(line tailedLine) {
		line.in = in
		select {
		case lines <- line:
		case <-ctx.Done():
		}
	}
	printed, err := in.stream(ctx)
	if err != nil {
		give(tailedLine{err: err})
		return
	}
	defer printed.Close()
	entries := &lineReader{from: printed, longest: in.longest(), wholeOnly: true}
	for {
		data, skipped, err := entries.next()
		switch {
		case err == io.EOF:
			give(tailedLine{err: errors.New("journalctl ended")})
			return
		case err != nil:
			give(tailedLine{err: err})
			return
		}
		give(tailedLine{text: string(bytes.TrimSuffix(data, []byte("\n"))), size: skipped})
	}
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

// endings end the tail of a file, by its path. They may be used concurrently.
type endings struct {
	mu   sync.Mutex
	ends map[string]context.CancelCauseFunc
}

// add returns a context for the tail of a file. It ends with ctx.
func (e *endings) add(ctx context.Context, path string) context.Context {
	own, end := context.WithCancelCause(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ends == nil {
		e.ends = map[string]context.CancelCauseFunc{}
	}
	e.ends[path] = end
	return own
}

// surviveFatals keeps the library from ending the process where it cannot stat
// a file: it ends the tail of that file instead. The library writes its last
// words to a logger of its own, and nothing else, and then exits; so the
// goroutine is ended while it writes them.
func surviveFatals(ends *endings) {
	util.LOGGER.SetFlags(0)
	util.LOGGER.SetOutput(lastWords{ends})
}

type lastWords struct{ *endings }

func (w lastWords) Write(text []byte) (int, error) {
	message, _, _ := strings.Cut(string(text), "\n")
	w.mu.Lock()
	for path, end := range w.ends {
		if _, reason, found := strings.Cut(message, " "+path+": "); found {
			_, cause, _ := strings.Cut(reason, ": ") // behind the operation and the path
			end(errors.New(cause))
		}
	}
	w.mu.Unlock()
	runtime.Goexit()
	return len(text), nil
}
