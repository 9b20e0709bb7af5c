package journal

import (
	"cmp"
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/fields"
)

const (
	damagePause   = time.Second      // time to read the entries before the damage
	damageRecheck = 30 * time.Second // of a file that journald still writes to
	mostDamaged   = 1000             // files that are remembered
)

var (
	// damagedFile matches what journalctl says when it gives up a file of the journal.
	// It says so in silence otherwise, and goes on with the next file.
	damagedFile = regexp.MustCompile(`^Can't iterate through (.*), ignoring|^Journal file (.*?) (?:is |)(?:truncated|corrupted), ignoring file|^Failed to open (?:journal |)file (.*?): (?:Bad message|Input/output error|No data available)`)

	// damagedField matches what journalctl says when it leaves out a field of an entry.
	damagedField = regexp.MustCompile(`data object is bad, skipping over it|^Skipping message we can't read`)
)

// damagedText is the beginning of the message about a gap from damage.
const damagedText = "a file of the journal is damaged"

// damage remembers which files of the journal journalctl could not read.
type damage struct {
	mu      sync.Mutex
	files   map[string]time.Time // when the reader read on without them
	pending string               // a damaged file that still has to be handled, or ""
	fields  int                  // of entries, that could not be read
	stop    func()               // ends the journalctl that runs
}

// begin is called before each start of journalctl. stop ends it.
func (d *damage) begin(stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop = stop
}

// note takes a line that journalctl says on standard error.
func (d *damage) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if damagedField.MatchString(line) {
		d.fields++
		return
	}
	found := damagedFile.FindStringSubmatch(line)
	if found == nil {
		return
	}
	file := strings.Join(found[1:], "")
	switch at, known := d.files[file]; {
	case !known && len(d.files) < mostDamaged:
		d.pending = file
		time.AfterFunc(damagePause, d.stop)
	case known && !isArchived(file):
		stop := d.stop
		time.AfterFunc(max(damagePause, damageRecheck-time.Since(at)), func() { d.again(file); stop() })
	}
}

// again has the reader look at a file again that it knows as damaged.
func (d *damage) again(file string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending = file
}

// isArchived reports whether journald writes no more to a file.
func isArchived(file string) bool {
	name := filepath.Base(file)
	return strings.Contains(name, "@") || strings.HasSuffix(name, "~")
}

// isPending reports whether there is a damaged file that the reader has not dealt with.
func (d *damage) isPending() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pending != ""
}

// deal returns the damaged file that the reader deals with now.
func (d *damage) deal() (file string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, d.pending = d.pending, ""
	if d.files == nil {
		d.files = make(map[string]time.Time)
	}
	if file != "" {
		d.files[file] = time.Now()
	}
	return file
}

// takeFields returns how many fields could not be read since the last call.
func (d *damage) takeFields() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, d.fields = d.fields, 0
	return n
}

// readAll reads from the position to the end of the journal, after journalctl gave up
// a file. It reads the entries of all units, which are numbered without holes, and chooses
// those of the query itself. So it knows how many entries are lost.
func (r *reader) readAll(ctx context.Context) error {
	file := r.damage.deal()
	r.damaged = cmp.Or(file, r.damaged)
	from := r.upTo(r.cursor)
	var args []string
	if from != "" {
		args = append(args, "--cursor="+from)
	}
	if r.fields != nil {
		args = append(args, "--output-fields="+strings.Join(slices.Concat(neededFields(), r.fields, r.query.fields()), ","))
	}
	last, at := "", r.positions.of(from)
	err := each(ctx, r.run, args, func(e fields.Entry) bool {
		now := r.positions.of(e.Cursor)
		if from != "" && now.upTo(at, r.boot) {
			return ctx.Err() == nil
		}
		if hole := now.id != at.id || now.number > at.number+1; hole && (last != "" || from != "") {
			r.flush(ctx)
			r.current.gap = true
			n := int64(0) // journald has begun to count from 1 again
			if now.id == at.id {
				n = int64(now.number - at.number - 1)
			}
			r.lostEntries(n, damagedText+", and entries of it cannot be read: "+r.damaged)
		}
		last, at = e.Cursor, now
		if r.query.matches(e.Fields) {
			r.resumed = true
			r.take(e)
		}
		r.passed, r.current.safe = last, last
		if r.full() {
			r.flush(ctx)
		}
		return ctx.Err() == nil
	})
	// Damage at the end of the journal shows when journald has written more behind it.
	r.suspect = file != "" || err != nil
	r.flush(ctx)
	return err
}
