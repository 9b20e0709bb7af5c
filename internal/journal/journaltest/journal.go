// Package journaltest is a systemd journal in memory, with a journalctl. Tests have it
// do all that real ones do wrong.
//
// It shares no code with the packages under test. Any goroutine may call it.
package journaltest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Journal is the journal of one machine. Make one with New.
type Journal struct {
	mu      sync.Mutex
	entries []*Entry // that nobody has deleted
	all     map[string]*Entry
	changed chan struct{} // closed when something happens

	machine   string
	sequence  string // its id
	number    uint64 // of the last entry in the sequence
	boot      string
	wall      time.Time // of the last entry
	monotonic time.Duration

	file    int // that journald writes to
	deleted int // entries
	broken  map[int]bool

	absent    bool
	failing   bool
	cutAfter  int
	complaint string
	runs      [][]string
	running   map[*process]bool
}

// Entry is an entry of a Journal.
type Entry struct {
	Number int // from 1, in the order of writing
	Cursor string
	Fields map[string]any

	at      place
	text    []byte // as journalctl prints it
	file    int
	damaged Damage
	deleted bool
}

// place is what a cursor says.
type place struct {
	sequence  string
	number    uint64
	boot      string
	monotonic time.Duration
	wall      time.Time
}

// Damage says which reading ends at an entry of a damaged file.
type Damage int

const (
	Whole    Damage = iota + 1 // every reading of the file
	OfUnit                     // a reading that looks for entries of a unit
	OfOthers                   // a reading of the entries of all units
)

// New returns an empty journal of a machine with this id.
func New(machine string) *Journal {
	return &Journal{
		machine: machine, sequence: "a", boot: "b1", wall: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
		all: map[string]*Entry{}, changed: make(chan struct{}), broken: map[int]bool{}, running: map[*process]bool{},
	}
}

// SetClock sets the machine's clock. Each entry adds a millisecond to it.
func (j *Journal) SetClock(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wall = now
}

// Pass lets time go by.
func (j *Journal) Pass(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.monotonic += d
	j.wall = j.wall.Add(d)
}

// Clock returns what the machine's clock shows.
func (j *Journal) Clock() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.wall
}

// Boot returns the id of the boot that goes on.
func (j *Journal) Boot() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.boot
}

// Reboot begins another boot.
func (j *Journal) Reboot(boot string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.boot, j.monotonic = boot, 0
}

// NewSequence has journald count entries from 1 again, as it does if it finds no file
// to go on with.
func (j *Journal) NewSequence(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sequence, j.number = id, 0
}

// Write adds an entry, given as FIELD=value.
func (j *Journal) Write(parts ...string) *Entry {
	fields := map[string]any{}
	for _, part := range parts {
		field, value, _ := strings.Cut(part, "=")
		fields[field] = value
	}
	return j.Add(fields)
}

// Add adds an entry. A field is what journalctl prints for it: a text, null, a list of
// texts, or a list of bytes.
func (j *Journal) Add(fields map[string]any) *Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wall, j.monotonic = j.wall.Add(time.Millisecond), j.monotonic+time.Millisecond
	j.number++
	e := &Entry{
		Number: len(j.all) + 1, Fields: fields, file: j.file,
		at: place{j.sequence, j.number, j.boot, j.monotonic, j.wall},
	}
	e.Cursor = fmt.Sprintf("s=%s;i=%x;b=%s;m=%x;t=%x;x=1", j.sequence, j.number, j.boot, j.monotonic.Microseconds(), j.wall.UnixMicro())
	fields["__CURSOR"] = e.Cursor
	fields["__REALTIME_TIMESTAMP"] = strconv.FormatInt(j.wall.UnixMicro(), 10)
	if j.machine != "" {
		fields["_MACHINE_ID"] = j.machine
	}
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // of a test that gives a field what no journal holds
	}
	e.text = append(text, '\n')
	j.entries = append(j.entries, e)
	j.all[e.Cursor] = e
	j.tell()
	return e
}

// tell wakes every journalctl that follows.
func (j *Journal) tell() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// Vacuum deletes the oldest entries and keeps the newest ones, up to a number. It
// returns the deleted ones.
func (j *Journal) Vacuum(keep int) []*Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := max(0, len(j.entries)-keep)
	gone := j.entries[:n]
	for _, e := range gone {
		e.deleted = true
	}
	j.entries = slices.Clone(j.entries[n:])
	j.deleted += n
	j.tell()
	return gone
}

// Rotate has journald begin another file.
func (j *Journal) Rotate() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file++
}

// Damage damages a file of the journal at its n-th entry from the end of the journal.
func (j *Journal) Damage(n int, how Damage) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n < len(j.entries) {
		j.entries[len(j.entries)-1-n].damaged = how
	}
}

// Break damages a file, counted from 0, so that nobody can open it.
func (j *Journal) Break(file int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken[file] = true
}

// Hidden returns the entries behind the damage in files, and the entries of files that
// nobody can open.
func (j *Journal) Hidden() (entries []*Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	damaged := map[int]bool{}
	for _, e := range j.entries {
		if damaged[e.file] = damaged[e.file] || e.damaged != 0 || j.broken[e.file]; damaged[e.file] {
			entries = append(entries, e)
		}
	}
	return entries
}

// Files returns what changes when entries are deleted.
func (j *Journal) Files() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return fmt.Sprint(j.deleted, j.file)
}

// Deleted returns how many entries are deleted.
func (j *Journal) Deleted() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.deleted
}

// placeOf returns the place that a cursor names. There need not be an entry.
func placeOf(cursor string) (p place, ok bool) {
	parts := map[string]string{}
	for part := range strings.SplitSeq(cursor, ";") {
		key, value, _ := strings.Cut(part, "=")
		parts[key] = value
	}
	var monotonic, wall int64
	_, err := fmt.Sscanf(parts["i"]+" "+parts["m"]+" "+parts["t"], "%x %x %x", &p.number, &monotonic, &wall)
	p.sequence, p.boot = parts["s"], parts["b"]
	p.monotonic, p.wall = time.Duration(monotonic)*time.Microsecond, time.UnixMicro(wall)
	return p, err == nil && p.sequence != "" && p.boot != ""
}

// Find returns the entry of a cursor; nil if there was none.
func (j *Journal) Find(cursor string) *Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all[cursor]
}

// name returns the path of a file.
func (j *Journal) name(file int) string {
	if file == j.file {
		return "/var/log/journal/1/system.journal"
	}
	return fmt.Sprintf("/var/log/journal/1/system@%d.journal", file)
}

// matches reports whether journalctl chooses the entry for a query: "+" separates
// alternatives. In each of them, an entry must have one of the values of each field.
func (e *Entry) matches(query []string) bool {
	if len(query) == 0 {
		return true
	}
	met := map[string]bool{} // by field
	for _, match := range append(query, "+") {
		if match == "+" {
			all := true
			for _, ok := range met {
				all = all && ok
			}
			if all {
				return true
			}
			clear(met)
			continue
		}
		field, value, _ := strings.Cut(match, "=")
		met[field] = met[field] || e.has(field, value)
	}
	return false
}

func (e *Entry) has(field, value string) bool {
	if list, isList := e.Fields[field].([]any); isList {
		return slices.Contains(list, any(value))
	}
	return e.Fields[field] == value
}

// from reports whether journalctl shows the entry if it seeks to a place.
func (e *Entry) from(to place) bool {
	switch {
	case e.at.sequence == to.sequence:
		return e.at.number >= to.number
	case e.at.boot == to.boot:
		return e.at.monotonic >= to.monotonic
	}
	return !e.at.wall.Before(to.wall)
}
