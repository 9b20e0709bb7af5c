package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fake is a journal with a journalctl, which can do all that the real ones do
// wrong.
type fake struct {
	mu      sync.Mutex
	entries []*fakeEntry
	changed chan struct{} // closed when something happens
	id      string        // of the sequence
	number  uint64
	boot    string
	booted  time.Time
	clock   time.Time
	latest  time.Time // that the clock has shown

	absent   bool // there is no journalctl
	failing  bool // journalctl fails at once
	cutAfter int  // journalctl is killed after so many bytes; 0: never
	written  int  // entries
	rotated  int  // times
	gone     int  // entries that were deleted
	runs     [][]string
	broken   map[int]bool // files that cannot be opened

	complaint string // what journalctl says at the next entry
}

type fakeEntry struct {
	position
	cursor string
	order  int // in which it was written
	fields map[string]any

	deleted bool
	file    int        // that holds it
	damaged damageKind // which reading the damage of the file ends here
}

// damageKind says whom the damage at an entry of a file concerns.
type damageKind int

const (
	whole    damageKind = iota + 1 // whoever reads the file
	ofUnit                         // who looks for a unit
	ofOthers                       // who reads the entries of all units
)

func newFake() *fake {
	f := &fake{changed: make(chan struct{}), broken: map[int]bool{}, clock: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	f.reboot("a", "b1")
	return f
}

// reboot begins another boot, and another sequence where id is another.
func (f *fake) reboot(id, boot string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.id != id {
		f.id, f.number = id, 0
	}
	f.boot, f.booted = boot, f.clock
}

func (f *fake) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// write adds an entry, given as FIELD=value.
func (f *fake) write(parts ...string) *fakeEntry {
	fields := map[string]any{}
	for _, part := range parts {
		field, value, _ := strings.Cut(part, "=")
		fields[field] = value
	}
	return f.add(fields)
}

func (f *fake) add(fields map[string]any) *fakeEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock = f.clock.Add(time.Millisecond)
	if f.clock.After(f.latest) {
		f.latest = f.clock
	}
	f.number++
	e := &fakeEntry{fields: fields, position: position{
		id: f.id, number: f.number, boot: f.boot, monotonic: uint64(f.clock.Sub(f.booted).Microseconds()),
		realtime: uint64(f.clock.UnixMicro()), understood: true,
	}}
	e.cursor = fmt.Sprintf("s=%s;i=%x;b=%s;m=%x;t=%x;x=1", e.id, e.number, e.boot, e.monotonic, e.realtime)
	f.written++
	e.order, e.file = f.written, f.rotated
	fields["__CURSOR"] = e.cursor
	fields["__REALTIME_TIMESTAMP"] = strconv.FormatUint(e.realtime, 10)
	f.entries = append(f.entries, e)
	f.tell()
	return e
}

// sent writes a message of the unit app.
func (f *fake) sent(n int) { f.write("_SYSTEMD_UNIT=app.service", fmt.Sprintf("MESSAGE=sent %d", n)) }

// vacuum deletes the oldest entries, but for so many.
func (f *fake) vacuum(keep int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := max(0, len(f.entries)-keep)
	for _, e := range f.entries[:n] {
		e.deleted = true
	}
	f.entries = slices.Clone(f.entries[n:])
	f.gone += n
	f.tell()
}

// files changes when entries are deleted.
func (f *fake) files() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.gone, f.rotated)
}

// damage damages a file of the journal at its n-th entry from the end.
func (f *fake) damage(n int, how damageKind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n < len(f.entries) {
		f.entries[len(f.entries)-1-n].damaged = how
	}
}

// fileName returns the path of a file.
func (f *fake) fileName(file int) string {
	if file == f.rotated {
		return "/var/log/journal/1/system.journal"
	}
	return fmt.Sprintf("/var/log/journal/1/system@%d.journal", file)
}

// rotate begins another file.
func (f *fake) rotate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rotated++
}

func (e *fakeEntry) matches(query Query) bool { return query.matches(e.fields) }

// lastOf returns the last entry that a query chooses.
func (f *fake) lastOf(entries []*fakeEntry, query Query, ignored map[int]bool) []*fakeEntry {
	for i, e := range slices.Backward(entries) {
		if e.matches(query) && !ignored[e.file] {
			return entries[i : i+1]
		}
	}
	return nil
}

// run is a Runner.
func (f *fake) run(ctx context.Context, args []string, complain func(string)) (*Process, error) {
	f.mu.Lock()
	f.runs = append(f.runs, args)
	absent, failing, cut := f.absent, f.failing, f.cutAfter
	f.mu.Unlock()
	if absent {
		return nil, errors.New("no journalctl")
	}
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		if failing {
			out.Close()
			ended <- errors.New("exit status 1")
			return
		}
		err := f.print(ctx, &limited{out, cut}, args, complain)
		out.Close()
		ended <- err
	}()
	return &Process{Output: in, Wait: func() error { return <-ended }, Sync: func() {}}, nil
}

// limited takes so many bytes, and then its writer is killed.
type limited struct {
	io.Writer
	left int
}

var errKilled = errors.New("signal: killed")

func (w *limited) Write(p []byte) (int, error) {
	if w.left == 0 {
		return w.Writer.Write(p)
	}
	n := min(w.left, len(p))
	w.Writer.Write(p[:n])
	if w.left -= n; w.left == 0 {
		return n, errKilled
	}
	return n, nil
}

func (f *fake) print(ctx context.Context, out io.Writer, args []string, complain func(string)) error {
	if complain == nil {
		complain = func(string) {}
	}
	var from position
	var query Query
	follow, last := false, false
	for _, arg := range args {
		switch cursor, ok := strings.CutPrefix(arg, "--cursor="); {
		case ok:
			from = parseCursor(cursor)
		case arg == "--follow":
			follow = true
		case arg == "--lines=1":
			last = true
		case !strings.HasPrefix(arg, "--"):
			query = append(query, arg)
		}
	}
	var printed *fakeEntry
	ignored := f.ignored(complain)
	for {
		f.mu.Lock()
		var fresh []*fakeEntry
		for _, e := range f.entries {
			behind := printed == nil || e.order > printed.order
			if behind && (!from.understood || e.from(from)) {
				fresh = append(fresh, e)
			}
		}
		changed := f.changed
		f.mu.Unlock()
		if last {
			fresh = f.lastOf(fresh, query, ignored)
		}
		for _, e := range fresh {
			printed = e
			f.mu.Lock()
			deleted, file := e.deleted, f.fileName(e.file)
			say := f.complaint
			f.complaint = ""
			gaveUp := e.damaged == whole || e.damaged == ofUnit && query != nil || e.damaged == ofOthers && query == nil
			f.mu.Unlock()
			if say != "" {
				complain(say)
			}
			if gaveUp && !ignored[e.file] {
				complain("Can't iterate through " + file + ", ignoring: Bad message")
				ignored[e.file] = true
			}
			if deleted || ignored[e.file] || !e.matches(query) {
				continue
			}
			text, err := json.Marshal(e.fields)
			if err != nil {
				return err
			}
			if _, err := out.Write(append(text, '\n')); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// ignored returns the files that cannot be opened.
func (f *fake) ignored(complain func(string)) map[int]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for file := range f.broken {
		complain("Journal file " + f.fileName(file) + " corrupted, ignoring file.")
	}
	return maps.Clone(f.broken)
}

// from reports whether journalctl shows the entry if it seeks to a position.
func (e *fakeEntry) from(at position) bool {
	switch {
	case e.id == at.id:
		return e.number >= at.number
	case e.boot == at.boot:
		return e.monotonic >= at.monotonic
	}
	return e.realtime >= at.realtime
}

// numbers returns the numbers of messages "sent N".
func numbers(data []byte) (list []int) {
	for line := range bytes.Lines(data) {
		var n int
		if _, err := fmt.Sscanf(string(line), "sent %d", &n); err == nil {
			list = append(list, n)
		}
	}
	return list
}
