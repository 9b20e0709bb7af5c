package journal

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/journalctl"
	"github.com/meterlog/meterlog/internal/meter"
)

const (
	batchSize    = 256 << 10        // bytes of messages that a batch holds, about
	batchLength  = 4096             // entries that a batch holds at most
	firstWait    = 10 * time.Second // for the entry of a cursor, which is the first that comes
	steady       = 5 * time.Second  // journalctl works if it runs for this long
	mostFailures = 3                // in a row, before a reading to the end gives up
	retryMin     = 100 * time.Millisecond
	retryMax     = 10 * time.Second
)

// MaxEntry is how many bytes of an entry are read, as journalctl prints it. Longer
// entries are skipped.
const MaxEntry = 16 << 20

// batch is a run of entries that the reader has read.
type batch struct {
	entries int64 // all of them, also those without an event
	data    []byte
	events  []event
	first   string // the cursors of its first and last entry
	last    string
	written time.Time // when the journal received the last
	gap     bool      // entries between the batch before and this one are lost
	lost    int64     // how many, with messages that journald dropped; 0 if nobody knows
	why     []string  // of gaps, for people
	tooLong int64     // messages
	skipped int64     // bytes of these
	example string    // of these, for people
	safe    string    // a cursor behind the last entry: up to it all was read; or ""
}

// event is a message, with the index of its entry in the batch.
type event struct {
	meter.Event
	index int64
}

// reader runs journalctl and hands on what it prints. It is a goroutine's own.
type reader struct {
	run     journalctl.Runner
	query   Query
	fields  []string
	boot    string
	maxLine int
	follow  bool
	out     chan<- batch
	wake    func()
	trouble func(error)

	cursor  string    // of the last entry that was handed on; "" before any
	ours    bool      // the query chooses the entry of the cursor
	written time.Time // when the journal received that entry
	search  bool      // the cursor was not found: read all, and leave out older entries
	units   []string  // whose lost messages concern the source
	current batch

	positions positions

	safe   *atomic.Pointer[string] // of the stream
	files  func() string           // changes when files of the journal are deleted
	state  string                  // what files returned last
	oldest position                // of the journal, as it was then

	resumed bool   // what is between the last entry and the next was looked at
	jumps   []jump // since then

	damage  damage
	damaged string // the file that was damaged last, for people
	suspect bool   // entries between the last one and the next may be lost in it
	passed  string // a cursor: up to it the reader has read all; "" if it has read the query only
}

// errDamaged says that journalctl gave up a file of the journal.
var errDamaged = errors.New(damagedText)

// errLost says that the entry of the cursor did not come first.
var errLost = errors.New("the entry that was read last is gone from the journal")

// work reads until ctx ends or, if it does not follow, the end of the journal.
func (r *reader) work(ctx context.Context) {
	defer close(r.out)
	pause, failures := time.Duration(0), 0
	for ctx.Err() == nil {
		before := r.cursor
		err := r.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errLost):
			r.search = true
			continue
		case errors.Is(err, errDamaged):
			if err = r.readAll(ctx); err == nil {
				continue
			}
		case err == nil && !r.follow:
			return
		case err == nil:
			err = errors.New("journalctl ended")
		}
		if r.cursor != before {
			pause, failures = 0, 0 // it worked for a while
		}
		if failures++; failures > 1 {
			r.trouble(err)
		}
		if failures == mostFailures && !r.follow {
			return
		}
		pause = min(max(2*pause, retryMin), retryMax)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// following has journalctl go on with new entries. Without --merge it would show the
// present boot only.
var following = []string{"--follow", "--no-tail", "--merge"}

// arguments returns what journalctl is to print.
func (r *reader) arguments() []string {
	args := []string{"--output=json", "--all", "--no-pager", "--quiet"}
	if r.follow {
		args = append(args, following...)
	}
	if r.fields != nil {
		args = append(args, "--output-fields="+strings.Join(append(neededFields(), r.fields...), ","))
	}
	if r.atCursor() {
		args = append(args, "--cursor="+r.cursor)
	}
	return append(args, r.query...)
}

func neededFields() []string {
	return []string{"MESSAGE", "_SOURCE_REALTIME_TIMESTAMP", "MESSAGE_ID", "N_DROPPED", "OBJECT_SYSTEMD_UNIT", "_SYSTEMD_UNIT"}
}

// atCursor reports whether the first entry to come is the one of the cursor.
func (r *reader) atCursor() bool { return r.cursor != "" && r.ours && !r.search }

// read runs journalctl once.
func (r *reader) read(ctx context.Context) error {
	running, cancel := context.WithCancel(ctx) // entries that were read are handed on after its end, too
	defer cancel()
	r.state, r.oldest, r.jumps = r.files(), position{}, nil
	r.damage.begin(cancel)
	process, err := r.run(running, r.arguments(), r.damage.note)
	if err != nil {
		return err
	}
	works := time.AfterFunc(steady, func() { r.trouble(nil) })
	defer works.Stop()
	late := make(chan struct{})
	if r.atCursor() && r.follow {
		timer := time.AfterFunc(firstWait, func() { close(late); cancel() })
		defer timer.Stop()
		err = r.lines(ctx, process, func() { timer.Stop() })
	} else {
		err = r.lines(ctx, process, func() {})
	}
	if err != io.EOF { // at the end of its output, journalctl ends without help
		cancel()
	}
	process.Output.Close()
	failed := process.Wait()
	if r.damage.isPending() {
		return errDamaged
	}
	select {
	case <-late:
		return errLost
	default:
	}
	if err == io.EOF {
		err = nil
	}
	return cmp.Or(err, failed)
}

// lines reads what journalctl prints, an entry a line. begun is called at the
// first.
func (r *reader) lines(ctx context.Context, process *journalctl.Process, begun func()) error {
	in := bufio.NewReaderSize(process.Output, 64<<10)
	defer r.flush(ctx)
	known, expected := r.cursor, r.atCursor()
	from, written := r.positions.of(known), r.written
	filter := known != "" && !expected
	met := false // the entry of the cursor
	for {
		line, size, err := readLine(in)
		if err != nil {
			if expected && err == io.EOF && !r.follow && ctx.Err() == nil {
				return errLost
			}
			return err
		}
		begun()
		entry, ok := fields.ParseEntry(line)
		switch {
		case size > MaxEntry:
			entry = fields.Entry{Cursor: cursorIn(line)}
		case !ok:
			return fmt.Errorf("journalctl printed something that is no entry: %s", meter.Clip(string(line), 100))
		}
		if expected && entry.Cursor != known {
			return errLost
		}
		if entry.Cursor == known {
			expected, met = false, true
			continue
		}
		if filter {
			at := r.positions.of(entry.Cursor)
			older := at.upTo(from, r.boot)
			if !at.understood || !from.understood {
				older = !entry.Written.After(written)
			}
			if older {
				continue
			}
		}
		if r.mayBeDamaged(process, entry, filter && !met) {
			return errDamaged
		}
		if filter && !met {
			r.noteDeleted(ctx, known)
			r.resumed, met = true, true
		}
		if size > MaxEntry {
			r.overlong(entry, size)
		} else {
			r.take(entry)
		}
		if r.full() || !lineBuffered(in) {
			r.flush(ctx)
		}
	}
}

// full reports whether the batch is to be handed on.
func (r *reader) full() bool {
	return len(r.current.data) >= batchSize || r.current.entries >= batchLength
}

// mayBeDamaged reports whether entries before this one may be lost in a damaged file.
// first says that it is the first one after a position that the journal does not have.
func (r *reader) mayBeDamaged(process *journalctl.Process, e fields.Entry, first bool) bool {
	if _, jumps := r.jumpTo(e); !jumps && !first {
		return false
	}
	process.Sync() // it has said so before it printed the entry
	return r.suspect || r.damage.isPending()
}

// noteDeleted notes a gap if the entry of a cursor is gone, and entries after it.
func (r *reader) noteDeleted(ctx context.Context, cursor string) {
	if n, gap := r.deleted(ctx, cursor); gap {
		r.flush(ctx)
		r.current.gap = true
		r.lostEntries(n, "entries were deleted from the journal before they were read")
	}
}

// deleted reports whether entries after a cursor are gone from the journal, and how
// many; 0 if nobody knows.
func (r *reader) deleted(ctx context.Context, cursor string) (n int64, gap bool) {
	cursor = r.upTo(cursor)
	if r.firstFrom(ctx, "--cursor="+cursor) == cursor {
		return 0, false
	}
	from, oldest := r.positions.of(cursor), r.positions.of(r.firstFrom(ctx))
	if !oldest.understood || oldest.id != from.id || oldest.number <= from.number {
		return 0, true
	}
	n = int64(oldest.number - from.number - 1)
	return n, n > 0
}

// upTo returns the later one of a cursor and the cursor where unread entries begin.
func (r *reader) upTo(cursor string) string {
	for _, safe := range []*string{r.safe.Load(), &r.passed} {
		if safe == nil {
			continue
		}
		at, later := r.positions.of(cursor), r.positions.of(*safe)
		if at.understood && at.id == later.id && later.number > at.number {
			cursor = *safe
		}
	}
	return cursor
}

func (r *reader) firstFrom(ctx context.Context, args ...string) string {
	return firstFrom(ctx, r.run, args...)
}

// firstFrom returns the cursor of the first entry that journalctl prints; "" if it
// prints none.
func firstFrom(ctx context.Context, run journalctl.Runner, args ...string) (cursor string) {
	err := each(ctx, run, append(args, "--output-fields=MESSAGE_ID"), func(e fields.Entry) bool {
		cursor = e.Cursor
		return false
	})
	if err != nil {
		return ""
	}
	return cursor
}

// endSize is how much is kept of each end of a line that is too long.
const endSize = 4 << 10

// readLine returns the next line and its size. Of a line that is longer than
// MaxEntry it returns both ends. A line that the end of the output cuts off
// is left out. A line that begins as no entry does may never end, so readLine returns
// what it has.
func readLine(in *bufio.Reader) (line []byte, size int64, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if size += int64(len(part)); err == nil && size == int64(len(part)) {
			return part, size, nil
		}
		line = append(line, part...)
		if err == bufio.ErrBufferFull && line[0] != '{' {
			return line, size, nil
		}
		if size > MaxEntry {
			line = append(line[:endSize], line[len(line)-endSize:]...)
		}
		if err == nil {
			return line, size, nil
		} else if err != bufio.ErrBufferFull {
			return nil, size, err
		}
	}
}

var cursorField = regexp.MustCompile(`"__CURSOR" ?: ?"([^"]*)"`)

// cursorIn returns the cursor in an entry that was not read whole; "" if it is
// not in what was read.
func cursorIn(text []byte) string {
	if found := cursorField.FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return ""
}

// lineBuffered reports whether another line can be read without waiting.
func lineBuffered(in *bufio.Reader) bool {
	waiting, _ := in.Peek(in.Buffered())
	return bytes.IndexByte(waiting, '\n') >= 0
}

// take adds an entry to the batch.
func (r *reader) take(e fields.Entry) {
	b := &r.current
	r.pass(e)
	if e.Fields["MESSAGE_ID"] == suppressedID {
		r.dropped(e)
		return
	}
	if len(e.Message) > r.maxLine {
		b.tooLong++
		b.skipped += int64(len(e.Message))
		b.example = "a message has more than " + strconv.Itoa(r.maxLine) + " bytes: " + e.Cursor
		return
	}
	r.noteUnit(e)
	b.data = append(append(b.data, e.Message...), '\n')
	b.events = append(b.events, event{meter.Event{End: len(b.data), At: e.At, Entry: e.Fields}, b.entries - 1})
}

// mostUnits bounds how many units are remembered for a source that names none.
const mostUnits = 100

// noteUnit remembers whose messages the source has, if its query names no units.
func (r *reader) noteUnit(e fields.Entry) {
	unit, ok := e.Fields["_SYSTEMD_UNIT"].(string)
	if ok && len(r.units) < mostUnits && len(r.query.units()) == 0 && !slices.Contains(r.units, unit) {
		r.units = append(r.units, unit)
	}
}

// pass makes an entry the last one of the batch.
func (r *reader) pass(e fields.Entry) {
	b := &r.current
	if b.entries == 0 {
		b.first = e.Cursor
	}
	b.entries++
	if e.Cursor == "" { // the one before it stays the last
		return
	}
	if j, jumps := r.jumpTo(e); jumps && !r.resumed {
		r.jumps = append(r.jumps, j)
	}
	r.resumed = false
	b.last, b.written = e.Cursor, e.Written
	r.cursor, r.ours, r.written, r.search = e.Cursor, true, e.Written, false
}

// overlong notes an entry that was not read whole.
func (r *reader) overlong(e fields.Entry, size int64) {
	r.pass(e)
	r.current.tooLong++
	r.current.skipped += size
	r.current.example = "an entry of the journal has more than " + strconv.Itoa(MaxEntry) + " bytes: " + e.Cursor
}

// dropped notes messages that journald dropped, if they were of the source.
func (r *reader) dropped(e fields.Entry) {
	message := string(e.Message)
	unit := message[strings.LastIndexAny(message, " /")+1:]
	if object, ok := e.Fields["OBJECT_SYSTEMD_UNIT"].(string); ok {
		unit = object
	}
	if !slices.Contains(r.units, unit) {
		return
	}
	n, _ := strconv.ParseInt(fmt.Sprint(e.Fields["N_DROPPED"]), 10, 64)
	if n == 0 {
		fmt.Sscanf(message, "Suppressed %d messages", &n)
	}
	r.lostEntries(n, "journald did not keep all messages: "+message)
}

// lostEntries notes a gap of n entries; 0 if nobody knows how many.
func (r *reader) lostEntries(n int64, why string) {
	if n > 0 {
		why += fmt.Sprintf(" (%d)", n)
	}
	r.current.lost += n
	r.current.why = append(r.current.why, why)
}

// jump is a place between two entries of the query that are not neighbours in the
// journal. The entries between them are not of the query, or somebody deleted them.
type jump struct{ from, to position }

// jumpTo returns the jump from the last entry to this one, and false if they are
// neighbours.
func (r *reader) jumpTo(e fields.Entry) (j jump, jumps bool) {
	j = jump{r.positions.of(r.upTo(r.cursor)), r.positions.of(e.Cursor)}
	if !j.from.understood || !j.to.understood {
		return j, false
	}
	return j, j.to.id != j.from.id || j.to.number > j.from.number+1
}

// noteJumps notes a gap if the journal has deleted entries before they were read. A
// running journalctl passes over them in silence, perhaps after some older entries.
func (r *reader) noteJumps(ctx context.Context) {
	if len(r.jumps) == 0 {
		return
	}
	if state := r.files(); state != r.state {
		r.state, r.oldest = state, r.positions.of(r.firstFrom(ctx))
	}
	lost, gap := int64(0), false
	for _, j := range r.jumps {
		n, deleted := j.deletedBefore(r.oldest)
		lost, gap = lost+n, gap || deleted
	}
	if gap {
		r.lostEntries(lost, "entries were deleted from the journal before they were read")
	}
	r.jumps = r.jumps[:0]
}

// deletedBefore returns how many entries of a jump are gone if the journal has
// deleted all before its oldest, and whether any are. It does not know how many are
// gone of a sequence without an entry in the journal.
func (j jump) deletedBefore(oldest position) (n int64, gap bool) {
	switch {
	case oldest.id == j.from.id && oldest.id == j.to.id:
		n = int64(min(j.to.number, oldest.number)) - int64(j.from.number) - 1
		return max(0, n), n > 0
	case oldest.id == j.from.id:
		n = int64(oldest.number) - int64(j.from.number) - 1
		return max(0, n), n > 0
	case oldest.id == j.to.id:
		return int64(min(j.to.number, oldest.number)) - 1, true
	}
	return 0, false
}

// flush hands on the batch.
func (r *reader) flush(ctx context.Context) {
	if n := r.damage.takeFields(); n > 0 {
		r.lostEntries(0, fmt.Sprintf(damagedText+", and %d fields of entries cannot be read", n))
	}
	if r.current.entries == 0 && len(r.current.why) == 0 && r.current.safe == "" {
		return
	}
	r.noteJumps(ctx)
	select {
	case r.out <- r.current:
		r.wake()
	case <-ctx.Done():
	}
	r.current = batch{}
}

// bootID returns the id of the boot that goes on, as cursors have it; "" if nobody
// tells. The kernel does not tell it to a service without /proc/sys, but the last
// entry of the journal does.
func bootID(ctx context.Context, run journalctl.Runner) string {
	if text, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		return strings.ReplaceAll(strings.TrimSpace(string(text)), "-", "")
	}
	last, err := newest(ctx, run, nil)
	if err != nil {
		return ""
	}
	return parseCursor(last.Cursor).boot
}
