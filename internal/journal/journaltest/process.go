package journaltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/meterlog/meterlog/internal/journalctl"
)

// Absent takes journalctl from the machine, or puts it back.
func (j *Journal) Absent(absent bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.absent = absent
}

// Fail has journalctl fail at once, or work again.
func (j *Journal) Fail(failing bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failing = failing
}

// CutAfter kills every journalctl that starts from now on after a number of bytes,
// perhaps in the middle of an entry. 0 kills none.
func (j *Journal) CutAfter(bytes int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cutAfter = bytes
}

// Kill kills every journalctl that runs.
func (j *Journal) Kill() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for p := range j.running {
		p.kill()
	}
}

// Complain has journalctl say a text at the next entry.
func (j *Journal) Complain(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.complaint = text
}

// Runs returns the arguments of every journalctl up to now.
func (j *Journal) Runs() [][]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.runs)
}

var errKilled = errors.New("signal: killed")

// process is a journalctl.
type process struct {
	journal  *Journal
	out      *io.PipeWriter
	left     int // bytes until it is killed; 0: it lives
	complain func(string)
	kill     context.CancelFunc

	from   *place // nil: from the beginning
	query  []string
	follow bool
	last   bool // only the last entry

	ignored map[int]bool // files
	buffer  []byte       // of what it has yet to write
}

// bufferSize is how much journalctl writes at once, in bytes.
const bufferSize = 4 << 10

// Run is a journalctl.Runner.
func (j *Journal) Run(ctx context.Context, args []string, complain func(string)) (*journalctl.Process, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.runs = append(j.runs, args)
	if j.absent {
		return nil, errors.New("no journalctl")
	}
	if complain == nil {
		complain = func(string) {}
	}
	ctx, kill := context.WithCancel(ctx)
	in, out := io.Pipe()
	p := &process{journal: j, out: out, left: j.cutAfter, complain: complain, kill: kill, ignored: maps.Clone(j.broken)}
	valid := p.read(args)
	j.running[p] = true
	failing := j.failing
	ended := make(chan error, 1)
	go func() {
		err := errors.New("exit status 1")
		if !failing && valid {
			err = p.print(ctx)
		}
		j.mu.Lock()
		delete(j.running, p)
		j.mu.Unlock()
		kill()
		out.Close()
		ended <- err
	}()
	return &journalctl.Process{Output: in, Wait: func() error { return <-ended }, Sync: func() {}}, nil
}

// read reads the arguments. It reports whether journalctl takes them.
func (p *process) read(args []string) (valid bool) {
	valid = true
	for _, arg := range args {
		switch name, value, _ := strings.Cut(arg, "="); {
		case name == "--cursor":
			at, ok := placeOf(value)
			p.from, valid = &at, ok
		case arg == "--follow":
			p.follow = true
		case arg == "--lines=1":
			p.last = true
		case !strings.HasPrefix(arg, "--"):
			p.query = append(p.query, arg)
		}
	}
	return valid
}

// print prints entries until the end of ctx or, if it does not follow, of the journal.
func (p *process) print(ctx context.Context) error {
	p.skipBroken()
	for printed := 0; ; {
		fresh, changed := p.fresh(printed)
		for _, e := range fresh {
			printed = e.Number
			if ctx.Err() != nil {
				return errKilled
			}
			if err := p.entry(e); err != nil {
				return err
			}
		}
		if err := p.flush(); err != nil || !p.follow {
			return err
		}
		select {
		case <-ctx.Done():
			return errKilled
		case <-changed:
		}
	}
}

// skipBroken says which files cannot be opened.
func (p *process) skipBroken() {
	for file := range p.ignored {
		p.journal.mu.Lock()
		name := p.journal.name(file)
		p.journal.mu.Unlock()
		p.complain("Journal file " + name + " corrupted, ignoring file.")
	}
}

// fresh returns the entries after the one of a number, and what is closed when there
// are more.
func (p *process) fresh(number int) (list []*Entry, changed chan struct{}) {
	j := p.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	start, _ := slices.BinarySearchFunc(j.entries, number+1, func(e *Entry, n int) int { return e.Number - n })
	list = slices.Clone(j.entries[start:])
	if p.from != nil {
		list = slices.DeleteFunc(list, func(e *Entry) bool { return !e.from(*p.from) })
	}
	if !p.last {
		return list, j.changed
	}
	for i, e := range slices.Backward(list) {
		if e.matches(p.query) && !p.ignored[e.file] {
			return list[i : i+1], j.changed
		}
	}
	return nil, j.changed
}

// entry prints an entry of the query, if its file can be read.
func (p *process) entry(e *Entry) error {
	j := p.journal
	j.mu.Lock()
	deleted, name, said := e.deleted, j.name(e.file), j.complaint
	gaveUp := e.damaged == Whole || e.damaged == OfUnit && p.query != nil || e.damaged == OfOthers && p.query == nil
	j.complaint = ""
	j.mu.Unlock()
	if said != "" {
		p.complain(said)
	}
	if gaveUp && !p.ignored[e.file] {
		p.complain("Can't iterate through " + name + ", ignoring: Bad message")
		p.ignored[e.file] = true
	}
	if deleted || p.ignored[e.file] || !e.matches(p.query) {
		return nil
	}
	if p.buffer = append(p.buffer, e.text...); len(p.buffer) < bufferSize {
		return nil
	}
	return p.flush()
}

// flush writes what is in the buffer, or the part of it until the process is killed.
func (p *process) flush() error {
	text := p.buffer
	if p.buffer = nil; len(text) == 0 {
		return nil
	}
	if p.left == 0 {
		_, err := p.out.Write(text)
		return err
	}
	n := min(p.left, len(text))
	if _, err := p.out.Write(text[:n]); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if p.left -= n; p.left == 0 {
		return errKilled
	}
	return nil
}
