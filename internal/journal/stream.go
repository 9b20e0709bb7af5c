package journal

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterlog/meterlog/internal/journalctl"
	"github.com/meterlog/meterlog/internal/meter"
)

// Config says what a Stream reads.
type Config struct {
	Source  string   // its name
	Path    string   // of its generations
	Query   Query    // chooses the entries
	Fields  []string // that expressions name; nil: all are read
	AtEnd   bool     // the first start begins behind the last entry
	MaxLine int      // longer messages are counted and skipped, in bytes; 0: meter.MaxLine

	Known []meter.Generation // of the ledger, of any source
	NewID func() int64       // returns the ID of a new generation

	// Wake is called by another goroutine when Next may return a block.
	Wake func()

	Machine Machine // whose journal it is
}

// Machine is a machine with a journal. The zero Machine is this one.
type Machine struct {
	ID    string            // as journald has it; "": this machine's
	Boot  string            // the id of the boot that goes on; "": this machine's
	Run   journalctl.Runner // nil: this machine's
	Files func() string     // returns what changes when files of the journal are deleted; nil: this machine's
}

const (
	longestGeneration = 100_000   // entries, because all of them are read again to find the last
	oldestGeneration  = time.Hour // because a vacuum of its first entry hides all of it
	beginPause        = 5 * time.Second
)

// Stream follows the journal's entries of one source. Its offsets count entries.
// Make one with NewStream, which starts nothing. One goroutine uses it.
//
// Its position is the cursor of the last entry that Next has returned. A generation
// is a run of entries without a gap, of one query. It knows the cursors of its
// first and last entry, so that its entries can be read again.
type Stream struct {
	cfg     Config
	now     *meter.Generation // that goes on; nil before the first entry
	cursor  string            // of the last entry that was returned; "" before any
	ours    bool              // the query chooses the entry of the cursor
	written time.Time         // when the journal received that entry
	total   int64             // entries in all generations
	changed []meter.Generation
	faults  meter.Tally

	tried   time.Time              // when the first start was last tried
	safe    atomic.Pointer[string] // a cursor: up to it nothing of the query is unread; nil: only up to the entry that was returned last
	looked  time.Time              // when advance last looked
	state   string                 // what Files returned then
	follow  bool
	cancel  context.CancelFunc // ends the reader; nil while no reader runs
	batches chan batch
	done    chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	trouble error // why the journal cannot be read at present
}

// NewStream returns a stream that goes on where the ledger left it.
func NewStream(cfg Config) *Stream {
	if cfg.MaxLine == 0 {
		cfg.MaxLine = meter.MaxLine
	}
	if cfg.Machine.Files == nil {
		cfg.Machine.Files = filesOf(MachineID())
	}
	if cfg.Machine.Run == nil {
		cfg.Machine.Run = journalctl.Run
	}
	s := &Stream{cfg: cfg, follow: true}
	for _, g := range cfg.Known {
		if g.Path != cfg.Path || g.State != meter.Live {
			continue
		}
		s.cursor, s.total = string(g.Mark), g.Size
		s.now, s.ours = &g, g.Query == cfg.Query.String() && g.Offset > 0
		s.written = time.Unix(0, g.MTime)
		if len(g.Trail) > 0 {
			safe := string(g.Trail)
			s.safe.Store(&safe)
		}
	}
	s.cfg.Known = nil
	return s
}

// Next returns the next entries, and false if nothing new is in the journal.
// They are consumed then: the position that Take returns is behind them.
func (s *Stream) Next(now time.Time) (meter.Block, bool) {
	if s.cancel == nil && !s.start(now) {
		return meter.Block{}, false
	}
	for {
		var b batch
		var more bool
		if s.follow {
			select {
			case b, more = <-s.batches:
			default:
				s.advance(now)
				return meter.Block{}, false
			}
		} else {
			b, more = <-s.batches
		}
		if !more {
			return meter.Block{}, false
		}
		if block := s.consume(b, now); len(block.Data) > 0 {
			return block, true
		}
	}
}

// start starts to read behind the position.
func (s *Stream) start(now time.Time) bool {
	if s.cursor == "" && s.now == nil {
		if s.follow && now.Sub(s.tried).Abs() < beginPause {
			return false
		}
		s.tried = now
		if err := s.begin(now); err != nil {
			s.fail(err)
			return false
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	batches, done := make(chan batch, 2), make(chan struct{})
	s.cancel, s.batches, s.done = cancel, batches, done
	r := &reader{
		run: s.cfg.Machine.Run, query: s.cfg.Query, fields: s.cfg.Fields, boot: s.cfg.Machine.Boot, maxLine: s.cfg.MaxLine, follow: s.follow,
		out: batches, wake: s.wake, trouble: s.fail, cursor: s.cursor, ours: s.ours, written: s.written, units: s.cfg.Query.units(), files: s.cfg.Machine.Files, safe: &s.safe,
	}
	go func() {
		defer close(done)
		if r.boot == "" {
			r.boot = bootID(ctx, r.run)
		}
		r.work(ctx)
	}()
	return true
}

// begin finds where the first start begins. At the end, or before the first entry of
// the query, the last entry of the journal is the position. Otherwise it is a place
// before the first entry, so that a vacuum from now on is a gap.
func (s *Stream) begin(now time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	last, err := newest(ctx, s.cfg.Machine.Run, nil) // asked first, so that every later entry is behind it
	if errors.Is(err, errEmpty) && !s.cfg.AtEnd {
		return nil
	} else if err != nil {
		return err
	}
	s.cursor, s.ours, s.written = last.Cursor, false, last.Written
	if !s.cfg.AtEnd {
		if _, err := newest(ctx, s.cfg.Machine.Run, s.cfg.Query); err == nil {
			s.cursor, s.written = beforeFirst(firstFrom(ctx, s.cfg.Machine.Run)), time.Unix(0, 0)
		} else if !errors.Is(err, errEmpty) {
			return err
		}
	}
	s.now = &meter.Generation{
		ID: s.cfg.NewID(), Path: s.cfg.Path, Mark: []byte(s.cursor), EOFAt: -1, Born: now.UnixNano(), MTime: s.written.UnixNano(),
		State: meter.Live, Query: s.cfg.Query.String(),
	}
	s.change()
	return nil
}

func (s *Stream) wake() {
	s.fail(nil)
	if s.cfg.Wake != nil {
		s.cfg.Wake()
	}
}

// fail notes why the journal cannot be read, or, with nil, that it can.
func (s *Stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = err
}

// Path returns the path of the stream's generations.
func (s *Stream) Path() string { return s.cfg.Path }

// Trouble returns why the journal cannot be read at present; nil if it can.
func (s *Stream) Trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// consume moves the position behind a batch, and returns its events.
func (s *Stream) consume(b batch, now time.Time) meter.Block {
	s.note(b)
	if b.safe != "" && s.now != nil {
		defer s.advanceTo(b.safe)
	}
	if b.entries == 0 {
		return meter.Block{}
	}
	g := s.generation(b, now)
	block := meter.Block{
		Generation: g.ID, Path: g.Path, Sources: []string{s.cfg.Source}, Start: g.Offset, Data: b.data, ReadAt: now,
		Fresh: now.Sub(b.written).Abs() < time.Minute,
	}
	for _, e := range b.events {
		e.From, e.To = g.Offset+e.index, g.Offset+e.index+1
		block.Events = append(block.Events, e.Event)
	}
	g.Offset += b.entries
	s.total += b.entries
	g.Size = s.total
	if b.last != "" {
		s.cursor, s.ours, s.written = b.last, true, b.written
		g.Mark, g.MTime = []byte(b.last), b.written.UnixNano()
	}
	s.change()
	return block
}

// advancePause is between two looks whether the position can advance.
const advancePause = time.Minute

// advance notes that nothing is unread up to the last entry of the journal, after
// files of the journal came or went. A unit that seldom prints would otherwise seem
// to have a gap when the journal has deleted its last entry.
func (s *Stream) advance(now time.Time) {
	if s.now == nil || s.cursor == "" || now.Sub(s.looked).Abs() < advancePause {
		return
	}
	s.looked = now
	state := s.cfg.Machine.Files()
	if state == s.state {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	last, err := newest(ctx, s.cfg.Machine.Run, nil) // asked first: later entries are behind it
	if err != nil {
		return
	}
	ours, err := newest(ctx, s.cfg.Machine.Run, s.cfg.Query)
	switch {
	case err == nil && ours.Cursor == s.cursor:
	case errors.Is(err, errEmpty) && s.has(ctx):
	default:
		return
	}
	s.state = state
	s.advanceTo(last.Cursor)
}

// advanceTo notes that nothing is unread up to a cursor.
func (s *Stream) advanceTo(cursor string) {
	s.safe.Store(&cursor)
	s.now.Trail = []byte(cursor)
	s.change()
}

// has reports whether the journal has the last entry before the unread ones.
func (s *Stream) has(ctx context.Context) bool {
	cursor := s.cursor
	if safe := s.safe.Load(); safe != nil {
		cursor = *safe
	}
	return firstFrom(ctx, s.cfg.Machine.Run, "--cursor="+cursor) == cursor
}

// generation returns the generation that a batch belongs to.
func (s *Stream) generation(b batch, now time.Time) *meter.Generation {
	if g := s.now; g != nil {
		young := g.Offset < longestGeneration && now.Sub(time.Unix(0, g.Born)).Abs() < oldestGeneration
		if young && !b.gap && g.Offset > 0 && g.Query == s.cfg.Query.String() {
			return g
		}
		g.State = meter.Forgotten // only the records that were counted from it need it
		s.change()
	}
	var trail []byte
	if safe := s.safe.Load(); safe != nil {
		trail = []byte(*safe)
	}
	s.now = &meter.Generation{
		ID: s.cfg.NewID(), Path: s.cfg.Path, Trail: trail, Head: []byte(b.first), Mark: []byte(s.cursor), EOFAt: -1, Born: now.UnixNano(), Size: s.total,
		State: meter.Live, Query: s.cfg.Query.String(),
	}
	return s.now
}

// change notes the generation that goes on for Take.
func (s *Stream) change() {
	g := *s.now
	s.changed = slices.DeleteFunc(s.changed, func(other meter.Generation) bool { return other.ID == g.ID })
	s.changed = append(s.changed, g)
}

// note counts what a batch lacks.
func (s *Stream) note(b batch) {
	for i, why := range b.why {
		entries := int64(0)
		if i == 0 {
			entries = b.lost
		}
		s.faults.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: s.cfg.Path}, entries, why)
	}
	if b.tooLong > 0 {
		key := meter.AnomalyKey{Kind: meter.LineTooLong, Subject: s.cfg.Path}
		s.faults.AddAnomaly(key, b.skipped, b.example)
		s.faults.Anomalies[key].Count += b.tooLong - 1
	}
}

// Changed reports whether there is anything for Take to return.
func (s *Stream) Changed() bool { return len(s.changed) > 0 || !s.faults.Empty() }

// Take returns the generations that changed since the last call, and moves gaps
// and other faults since then into tally. Commit both together with the counts of
// the blocks since the last call.
func (s *Stream) Take(tally *meter.Tally) (generations []meter.Generation) {
	generations, s.changed = s.changed, nil
	tally.AddAnomalies(&s.faults)
	s.faults.Reset()
	return generations
}

// ToEnd has the stream read to the end of the journal, and no further: Next waits
// for entries until then.
func (s *Stream) ToEnd() {
	s.Close()
	s.follow = false
}

// Close ends journalctl. The next stream reads again whatever Next has not returned.
func (s *Stream) Close() {
	if s.cancel == nil {
		return
	}
	s.cancel()
	<-s.done
	s.cancel = nil
}

// IsJournal reports whether a generation or an anomaly is of a journal source, by
// its path.
func IsJournal(path string) bool { return strings.HasPrefix(path, journalPath) }

const journalPath = "journal:"

// errEmpty is returned when journalctl prints no entries at all.
var errEmpty = errors.New("the journal has no entries, or this user may not read it")
