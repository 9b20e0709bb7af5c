package tailer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// Config says what a Tailer follows. The zero value of every field but Sources
// is a default.
type Config struct {
	Sources []Source

	// Finished returns generations of the ledger by their IDs, with the verdicts on
	// copies of them. Then finished generations need not stay in memory. If it is nil,
	// they do.
	Finished func(ids []int64) ([]meter.Generation, []meter.Copy, error)

	Known  []meter.Generation   // what the ledger knows of files; empty at the first start
	Copies []meter.Copy         // found by earlier scans
	Globs  map[string]time.Time // patterns that were scanned before, with the time of their first scan

	Quiet   time.Duration // a rotated file is finished when it has not grown for this long; 5 s
	Torn    time.Duration // the same for a rotated file with a torn last line; 15 min
	Search  time.Duration // how long a lost generation is looked for; 10 s
	MaxLine int           // longer lines are counted and skipped, in bytes; 1 MiB
	MaxOpen int           // descriptors of followed files; 1,000, but at most half of what the process may have
	NoWatch bool          // do without notifications: the slow poll alone

	// NewID returns the ID of a new generation, where others begin generations as
	// well; nil: one more than the last that is known.
	NewID func() int64

	// Open holds descriptors that an earlier Tailer of this process gave up by
	// Handover, by generation ID. New goes on with the files that hold what Known
	// says of their generation, and closes the others.
	Open map[int64]*os.File

	Log *slog.Logger

	disk logfile.Disk // osDisk
}

// blockSize is the most that one read returns, in bytes, except for longer lines.
const blockSize = 256 << 10

const (
	pollWatched     = 5 * time.Second        // between scans while notifications come
	pollWatchedFile = 10 * time.Millisecond  // the same at least for each file: a scan costs some 10 µs of it, which is 0.1 % of a core
	pollUnwatched   = time.Second            // between scans where some do not
	minScanPause    = 50 * time.Millisecond  // between scans that notifications ask for
	minScanFile     = 100 * time.Microsecond // the same at least for each file: 10 % of a core
	minWakePause    = 30 * time.Millisecond  // between wakes by notifications: what comes alone is read at once, a stream in batches
	linger          = time.Minute            // how long a finished file stays open
	settle          = 2 * time.Second        // a compressed file that was written to more recently may not be whole
	tornPoll        = 100 * time.Millisecond // between looks at rotated files, whose late writers are not notified by name
)

// Tailer follows the files of its sources. Make one with New, which starts
// nothing and reads nothing; see the package's comment for its use.
type Tailer struct {
	cfg       Config
	disk      logfile.Disk
	globs     map[string]time.Time // first scans, those not yet taken included
	newGlobs  map[string]time.Time
	leftGlobs map[string]bool // those whose next scan leaves what it finds to another machine

	streams          []*stream            // every generation whose path is followed, by ID
	byPath           map[string][]*stream // the same, under each followed path that led to its file
	rest             rest                 // finished generations that are not in streams
	byInode          map[logfile.Inode]*stream
	byName           map[string]*stream                  // by its present name
	rotatedOpen      []*stream                           // those that were rotated and open at the last scan
	states           map[logfile.Inode]logfile.FileState // by the scan under way
	leads            map[logfile.Inode][]lead            // names, by the scan under way
	truncations      map[logfile.Inode]*stream           // that the scan under way found in files that were not open
	packed           map[logfile.Inode]packed            // rotated files that the last scan met, whose names do not say it
	copies           map[logfile.Inode]copyOf            // files that hold what is counted elsewhere
	newCopies        []meter.Copy                        // found since the last Take
	byHead           map[uint64][]*stream                // streams that are known by their first bytes
	listedForms      map[string]bool                     // paths whose rotated forms the last scan listed
	bases            map[string][]string                 // what rotatedFrom gives, remembered
	listed           map[string]time.Time                // folders that were looked into for unseen files, by when they had changed
	rescan           map[string]int                      // paths whose rotated forms are looked at in so many more scans
	queue            []*stream                           // those that may have something to read
	opened           int                                 // descriptors at the last count, and those opened since
	archives         int                                 // what compressed files weigh that were open at the last count or opened since
	passed           int                                 // files that the scan under way could not open for want of descriptors
	notLookedAt      int                                 // those of the last scan
	peeked           int                                 // new files that a survey has opened
	surveying        bool                                // nothing is read on: what is open may be closed
	outOfDescriptors bool                                // a file could not be opened for want of descriptors
	undecided        bool                                // the scan could not tell what a file is
	unclear          []entry                             // files that the last scan could not tell
	forgotten        []meter.Generation                  // since the last Take
	lastID           int64
	nextScan         time.Time
	lastScan         time.Time
	askedFor         time.Time // the time that the last scan was due
	sweep            *sweep    // the scan under way; nil between scans
	progress         bool      // something was read since the last scan began
	worked           time.Time // when a step that reads nothing last ended
	adopted          []*stream // new files of the scan under way
	unasked          []*stream // found by the scan under way, to be identified when it has ended
	inspected        map[logfile.Inode]*inspection
	turns            int // of inspections
	lastCensus       time.Time
	scanned          int // names that the last scan looked at
	buffer           []byte
	long             []byte // for lines longer than buffer
	trail            []byte // for what trails are made of
	anomalies        meter.Tally
	unreadable       map[string]bool    // names and patterns that the scan under way could not look at
	failures         map[string]failure // by path: what keeps it from being followed, reported once
	warned           int                // failures that this scan has logged
	watch            *watcher
}

// New prepares to follow the sources from where the ledger left them.
func New(cfg Config) *Tailer {
	if cfg.Quiet == 0 {
		cfg.Quiet = 5 * time.Second
	}
	if cfg.Torn == 0 {
		cfg.Torn = 15 * time.Minute
	}
	if cfg.Search == 0 {
		cfg.Search = 10 * time.Second
	}
	if cfg.MaxLine == 0 {
		cfg.MaxLine = meter.MaxLine
	}
	if cfg.MaxOpen == 0 {
		cfg.MaxOpen = min(1000, descriptorLimit()/2)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	t := &Tailer{
		cfg:        cfg,
		disk:       cfg.disk,
		globs:      make(map[string]time.Time),
		newGlobs:   make(map[string]time.Time),
		leftGlobs:  make(map[string]bool),
		byPath:     make(map[string][]*stream),
		bases:      make(map[string][]string),
		rest:       newRest(),
		byInode:    make(map[logfile.Inode]*stream),
		byName:     make(map[string]*stream),
		states:     make(map[logfile.Inode]logfile.FileState),
		copies:     make(map[logfile.Inode]copyOf),
		byHead:     make(map[uint64][]*stream),
		listed:     make(map[string]time.Time),
		rescan:     make(map[string]int),
		unreadable: make(map[string]bool),
		failures:   make(map[string]failure),
		buffer:     make([]byte, blockSize),

		truncations: make(map[logfile.Inode]*stream),
		inspected:   make(map[logfile.Inode]*inspection),
	}
	if t.disk.Open == nil {
		var patterns []string
		for _, s := range cfg.Sources {
			patterns = append(patterns, s.Paths...)
		}
		t.disk = logfile.NewDisk(glob.RootsOf(patterns).Of)
	}
	for pattern, first := range cfg.Globs {
		if first.IsZero() {
			t.leftGlobs[pattern] = true
		} else {
			t.globs[pattern] = first
		}
	}
	known, copies := t.restKnown()
	for _, g := range known {
		t.know(g)
	}
	t.knowCopies(copies, t.streams)
	t.takeOver(cfg.Open)
	t.cfg.Known, t.cfg.Copies, t.cfg.Globs, t.cfg.Open = nil, nil, nil, nil // they would only take memory
	if !cfg.NoWatch {
		t.watch = newWatcher(cfg.Log)
	}
	return t
}

// know takes up a generation of an earlier run. One that is forgotten, or whose
// path no source follows any more, is left as it is.
func (t *Tailer) know(g meter.Generation) *stream {
	t.lastID = max(t.lastID, g.ID)
	sources := t.sourcesOf(g.Path)
	if len(sources) == 0 || g.State == meter.Forgotten {
		return nil
	}
	s := &stream{Generation: g, sources: sources, readTo: g.Offset, past: g.Trail, pastAt: g.Offset, taken: true, renewed: true}
	if g.CTime != 0 {
		s.seen = logfile.FileState{Inode: s.inode(), Size: g.Size, MTime: g.MTime, CTime: g.CTime}
	}
	t.add(s)
	if !s.finished() {
		t.rescan[s.Path] = 2
	}
	return s
}

func (t *Tailer) add(s *stream) {
	t.streams = append(t.streams, s)
	t.byPath[s.Path] = append(t.byPath[s.Path], s)
	for _, name := range s.Names {
		t.indexUnder(name, s)
	}
	if s.inode() != (logfile.Inode{}) {
		t.own(s, s.inode(), t.lastScan)
	}
	t.index(s)
}

func (t *Tailer) sourcesOf(path string) []string {
	var names []string
	for _, s := range t.cfg.Sources {
		if s.follows(path) {
			names = append(names, s.Name)
		}
	}
	return names
}

// Close closes the files. The next Tailer reads again what Take has not returned.
func (t *Tailer) Close() {
	t.endScan()
	for _, i := range t.inspected {
		t.endInspection(i)
	}
	for _, s := range t.streams {
		s.close()
	}
	if t.watch != nil {
		t.watch.Close()
	}
}

// readNext returns the next block of the queue, unless the queue is empty or the time
// is over.
func (t *Tailer) readNext(now, until time.Time) (meter.Block, bool) {
	for len(t.queue) > 0 {
		s := t.queue[0]
		t.queue = t.queue[1:]
		s.queued = false
		if !s.isOpen() {
			continue
		}
		if t.sweep != nil && !t.sweep.waiting && s.isUnasked() {
			t.unasked = append(t.unasked, s)
			continue
		}
		block, err := t.readBlock(s, now)
		if err == nil && len(block.Data) == 0 && s.damaged != nil && !s.queued {
			t.setAside(s, now)
		}
		if s.awaited && !s.queued {
			if next := t.successor(s); next != nil {
				t.enqueue(next)
			}
		}
		switch {
		case errors.Is(err, logfile.ErrUndecided):
			t.enqueue(s)
		case errors.Is(err, logfile.ErrReplaced):
			t.truncated(s, now)
		case err != nil:
			t.fail(s.name, err)
			t.reopen(s)
		case len(block.Data) > 0:
			t.progress = true
			return block, true
		}
		if !time.Now().Before(until) {
			break
		}
	}
	return meter.Block{}, false
}

// reopen closes a stream whose file could not be read. A scan opens it again.
func (t *Tailer) reopen(s *stream) {
	s.close()
	s.damaged = nil
	s.seen.MTime = -1 // so that it does not pass for unchanged
	t.rescan[s.Path] = 2
}

// enqueue adds the stream to the end of the queue.
func (t *Tailer) enqueue(s *stream) {
	if !s.queued && s.isOpen() {
		s.queued = true
		t.queue = append(t.queue, s)
	}
}

// readBlock reads whole lines from the stream's position on, or nothing if no line is
// complete. While there is more, it queues the stream again.
func (t *Tailer) readBlock(s *stream, now time.Time) (meter.Block, error) {
	if s.barred {
		return meter.Block{}, errShared
	}
	if s.skipped > s.Offset {
		return meter.Block{}, t.skipLine(s)
	}
	if s.isUnasked() {
		if may, err := t.ask(s, now); !may {
			return meter.Block{}, err
		}
	}
	if !s.begun() && t.waits(s, now) {
		return meter.Block{}, nil
	}
	buf := t.buffer
	n, err := s.read(buf, s.Offset)
	if err != nil {
		return meter.Block{}, err
	}
	if s.opening != nil && s.file != nil && s.Offset == 0 && errors.Is(s.holds(s.opening[:meter.MarkSize], 0), logfile.ErrReplaced) {
		t.takeFromIndex(s)
		s.opening, s.asked = nil, false
		t.seeShrunk(s, true)
		return meter.Block{}, nil
	}
	if s.isUnasked() && int64(n) > s.askedTo { // it grew since the last question
		t.enqueue(s)
		return meter.Block{}, nil
	}
	if s.countedTorn && n > 0 {
		return meter.Block{}, t.skipTorn(s, buf[:n], now)
	}
	if blank := logfile.Blanks(buf[:n]); blank > 0 {
		if s.Offset+int64(n) > s.readTo {
			s.grewAt = now
		}
		return meter.Block{}, t.skipBlanks(s, n, blank)
	}
	if s.carries() {
		return t.readCarried(s, now)
	}
	whole := len(logfile.BeforeBlanks(buf[:bytes.LastIndexByte(buf[:n], '\n')+1]))
	if whole == 0 && n == len(buf) { // a line longer than the buffer
		t.roomForLine()
		buf = t.long
		if n, err = s.read(buf, s.Offset); err != nil {
			return meter.Block{}, err
		}
		whole = bytes.IndexByte(buf[:n], '\n') + 1
	}
	if s.damaged == nil {
		t.fail(s.name, nil)
	}
	if s.Offset+int64(n) > s.readTo {
		s.grewAt = now
	}
	s.readTo = s.Offset + int64(n)
	switch {
	case whole == 0 && n == len(buf):
		s.skipped = s.readTo
		t.enqueue(s)
		return meter.Block{}, nil
	case n == len(buf) || whole > 0 && whole < n:
		t.enqueue(s) // more may follow
	case whole == 0 && n > 0 && t.atEnd(s) && t.isCarriedLater(s):
		return meter.Block{}, nil
	case whole == 0 && n > 0 && t.atEnd(s) && t.carry(s, buf[:n]):
		return meter.Block{}, nil
	case whole == 0 && s.ending && t.atEnd(s):
		whole = n // the last line of a finished file, without its newline
	}
	if same := t.sameNames(s, buf[:whole]); same < whole {
		whole = same
		t.enqueue(s)
	}
	block := meter.Block{Generation: s.ID, Path: s.Path, Sources: s.sources, Names: s.otherNames(), Start: s.Offset, Data: buf[:whole], ReadAt: now}
	if whole > 0 {
		s.consume(block.Data)
		s.readTo = block.Start + int64(n)
		t.index(s)
	}
	if n < len(buf) {
		s.EOFAt = s.readTo
	}
	if s.ending && s.Offset == s.readTo && !s.queued && t.atEnd(s) {
		t.finish(s)
	}
	return block, nil
}

// atEnd reports whether what was read last is the end of the stream's file.
func (t *Tailer) atEnd(s *stream) bool {
	if s.arch != nil {
		return s.damaged == nil
	}
	return s.readTo == s.seen.Size
}

// skipLine looks for the end of a line that is too long.
func (t *Tailer) skipLine(s *stream) error {
	n, err := s.read(t.buffer, s.skipped)
	if err != nil {
		return err
	}
	end := bytes.IndexByte(t.buffer[:n], '\n')
	next := s.skipped + int64(n)
	s.readTo = next
	switch {
	case end >= 0:
		next = s.skipped + int64(end) + 1
	case n == len(t.buffer):
		s.skipped = next
		t.enqueue(s)
		return nil
	case !s.ending || s.damaged != nil: // its end is still to be written
		s.skipped = next
		return nil
	}
	t.anomalies.AddAnomaly(meter.AnomalyKey{Kind: meter.LineTooLong, Subject: s.Path}, next-s.Offset,
		fmt.Sprintf("the line at offset %d is longer than %d bytes", s.Offset, t.cfg.MaxLine))
	if s.arch == nil {
		if err := s.jump(s.file, next); err != nil {
			return err
		}
	} else { // it cannot be read backwards: the end of the line is at hand
		skipped := t.buffer[:next-s.skipped]
		s.Head = bytes.Clone(s.arch.Head)
		s.Mark = bytes.Clone(skipped[max(0, len(skipped)-meter.MarkSize):])
		s.Offset, s.readTo, s.skipped, s.changed, s.Trail = next, next, 0, true, nil
	}
	t.enqueue(s)
	return nil
}

// finish ends a generation that was read to its end.
func (t *Tailer) finish(s *stream) {
	s.State, s.EOFAt, s.ending, s.changed = meter.Done, s.Offset, false, true
	if s.arch != nil {
		s.close()
	}
}

// setAside closes an archive that cannot be read on. If it changes, it is opened again.
// If nobody writes to it any more, the rest of it is lost.
func (t *Tailer) setAside(s *stream, now time.Time) {
	t.fail(s.name, s.damaged)
	s.close()
	if !t.settled(s.seen, now) {
		return
	}
	s.State, s.Missed, s.ending, s.changed = meter.Gap, 0, false, true
	t.anomalies.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: s.Path}, 0,
		fmt.Sprintf("%s cannot be read on from offset %d: %v", s.name, s.Offset, s.damaged))
}

// settled reports whether nobody writes to a file any more. Then its time is long ago,
// or far in the future by another clock. A time a little after now does not count: a
// program may write to the file during the scan.
func (t *Tailer) settled(at logfile.FileState, now time.Time) bool {
	return now.Sub(at.WrittenAt()).Abs() >= t.cfg.Search
}

// truncated takes the file away from its generation, whose rest is looked for
// in a copy, and begins a new generation with what the file holds now.
func (t *Tailer) truncated(s *stream, now time.Time) {
	file, name, state := s.file, s.name, s.State
	s.file = nil
	t.markLost(s, now)
	if file == nil {
		return
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return
	}
	fresh := t.begin(s.Path, logfile.FileStateOf(info), state)
	fresh.Before, fresh.Born = s.ID, t.disk.BornAt(file)
	fresh.name, fresh.file, fresh.grewAt = name, file, now
	fresh.names = slices.DeleteFunc(slices.Clone(s.names), func(n named) bool { return n.until >= 0 })
	if len(fresh.names) > 0 {
		t.applyNames(fresh)
	}
	t.byName[name] = fresh
	t.enqueue(fresh)
}

// markLost begins the search for a generation that no known file holds.
func (t *Tailer) markLost(s *stream, now time.Time) {
	t.takeFile(s)
	if s.carries() {
		t.anomalies.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: s.Path}, int64(len(s.Carry)),
			fmt.Sprintf("the end of a line was gone before it could be read; its first %d bytes are in the file before", len(s.Carry)))
		s.Carry = nil
	}
	if s.Offset == 0 { // no line of it was complete; a file with all of them is a new generation
		s.State, s.EOFAt = meter.Done, 0
		return
	}
	t.cfg.Log.Debug("looking for the rest of a file", "path", s.Path, "generation", s.ID, "offset", s.Offset)
	s.State, s.lostAt, s.searched = meter.Lost, now, 0
	t.rescan[s.Path] = 2
	t.nextScan = now
}

// takeFile takes the file from a generation. What is known of its content stays.
func (t *Tailer) takeFile(s *stream) {
	s.Trail = t.lastTrail(s)
	s.close()
	t.disown(s)
	for at, copy := range t.copies { // they may hold what is looked for
		if copy.stream == s {
			t.forgetCopy(at)
		}
	}
	s.ending, s.closedIdle, s.changed = false, false, true
	s.metAt, s.heldAt = time.Time{}, time.Time{} // what the last scan met is another file
}

func (t *Tailer) newID() int64 {
	if t.cfg.NewID != nil {
		return t.cfg.NewID()
	}
	t.lastID++
	return t.lastID
}

// begin adds a generation for a file, at its beginning.
func (t *Tailer) begin(path string, at logfile.FileState, state meter.GenerationState) *stream {
	s := &stream{
		Generation: meter.Generation{ID: t.newID(), Path: path, Dev: at.Dev, Ino: at.Ino, EOFAt: -1, State: state},
		sources:    t.sourcesOf(path),
		changed:    true,
	}
	t.add(s)
	return s
}

// Undecided reports whether files may hold lines that Next has not returned, although
// it returns no block now. Either the next scans decide where such a file belongs, or it
// waits for the end of the one before it.
func (t *Tailer) Undecided() bool {
	return len(t.rescan) > 0 || slices.ContainsFunc(t.streams, func(s *stream) bool {
		return s.isOpen() && s.Offset == 0 && s.seen.Size > 0 && (!s.asked || s.Before != 0 && !s.begun())
	})
}

// Changed reports whether there is anything for Take to return.
func (t *Tailer) Changed() bool {
	return len(t.newGlobs) > 0 || len(t.newCopies) > 0 || len(t.forgotten) > 0 || !t.anomalies.Empty() || slices.ContainsFunc(t.streams, func(s *stream) bool { return s.changed })
}

// Take returns what changed since the last call: generations, also forgotten ones,
// copies, and patterns with a new time of their first scan. It moves the
// anomalies since then into tally. The caller commits all of it together with the
// counts of the blocks since the last call.
func (t *Tailer) Take(tally *meter.Tally) (generations []meter.Generation, copies []meter.Copy, globs map[string]time.Time) {
	for _, s := range t.streams {
		if s.changed {
			s.changed = false
			g := s.Generation
			g.Trail, g.Size, g.MTime, g.CTime = t.trailOf(s), s.seen.Size, s.seen.MTime, s.seen.CTime
			if g.Trail != nil || s.file == nil { // else the file was replaced, and an older trail finds the rest
				s.past, s.pastAt = g.Trail, s.Offset
			}
			s.taken = true
			generations = append(generations, g)
		}
	}
	generations, t.forgotten = append(generations, t.forgotten...), nil
	copies, t.newCopies = t.newCopies, nil
	globs, t.newGlobs = t.newGlobs, make(map[string]time.Time)
	tally.AddAnomalies(&t.anomalies)
	t.anomalies.Reset()
	return generations, copies, globs
}

// Wait sleeps until a followed file may have changed, a look at all of them is
// due, the given time has come, or ctx ends.
func (t *Tailer) Wait(ctx context.Context, until time.Time) {
	now := time.Now()
	if t.nextScan.Before(until) {
		until = t.nextScan
	}
	if torn := now.Add(tornPoll); len(t.rotatedOpen) > 0 && torn.Before(until) {
		until = torn
	}
	t.heed(t.watch.wait(ctx, until.Sub(now)), time.Now())
	for _, s := range t.rotatedOpen {
		if s.State == meter.Rotated && s.file != nil {
			t.lookAgain(s, time.Now())
		}
	}
}

// heed has the files read that hints name, and brings the next scan forward where
// that is not enough.
func (t *Tailer) heed(hints hints, now time.Time) {
	rescan := hints.missed
	for _, name := range hints.moved {
		t.nameSoon(name)
	}
	for _, name := range hints.written {
		if s := t.byName[name]; s != nil && s.isOpen() {
			t.enqueue(s)
		} else if t.sweep != nil {
			rescan = true // the scan under way may have passed it
		} else if e, ok := t.entry(name); ok && t.ownerOf(e.Inode) != nil {
			e.path = t.pathOf(name, nil)
			t.rejoin(t.tellArchive(e), nil, now) // it was closed to make room
		} else {
			rescan = rescan || len(t.sourcesOf(name)) > 0
		}
	}
	for _, name := range hints.moved {
		rescan = t.concerns(name) || rescan
	}
	if soon := t.lastScan.Add(max(minScanPause, time.Duration(t.scanned)*minScanFile)); rescan && soon.Before(t.nextScan) {
		t.nextScan = soon
	}
}

// concerns reports whether a name that came or went may be a followed file, a
// rotated form of one, or a folder of some.
func (t *Tailer) concerns(name string) bool {
	if t.byName[name] != nil {
		return true
	}
	if path := t.pathOf(name, nil); path != name {
		t.rescan[path] = max(t.rescan[path], 2)
		return true
	}
	if len(t.sourcesOf(name)) > 0 {
		return true
	}
	info, err := t.disk.Stat(name)
	return err == nil && info.IsDir()
}

// failure is what keeps a file, a folder or a pattern from being followed.
type failure struct {
	text    string
	toLook  bool // it could not even be looked at
	refused bool // it is a link that the link policy refuses
}

// mostWarned is how many failures one scan logs. A folder may hold any number.
const mostWarned = 20

// fail notes and reports what keeps a file from being read, or, with nil, that
// it was read. It speaks up on a change only.
func (t *Tailer) fail(name string, err error) {
	if errors.Is(err, logfile.ErrLinkRefused) {
		t.refuse(name, err)
		return
	}
	if errors.Is(err, logfile.ErrUndecided) {
		return // nothing keeps it from being followed
	}
	before, failing := t.failures[name]
	switch {
	case err == nil && failing:
		delete(t.failures, name)
		t.cfg.Log.Info("file is followed again", "path", name)
	case err != nil && err.Error() != before.text:
		t.failures[name] = failure{text: err.Error()}
		t.warn("cannot follow file: will try again", name, err)
	}
}

// warn logs a failure, unless this scan has logged many.
func (t *Tailer) warn(message, name string, err error) {
	switch t.warned++; {
	case t.warned < mostWarned:
		t.cfg.Log.Warn(message, "path", name, "error", err)
	case t.warned == mostWarned:
		t.cfg.Log.Warn(message+"; `meterlog status` lists this one and the rest", "path", name, "error", err)
	}
}

// refuse notes and reports the link that err names. For the follower its target does
// not exist.
func (t *Tailer) refuse(name string, err error) {
	var at *fs.PathError
	if errors.As(err, &at) {
		name = at.Path
	}
	if !t.failures[name].refused {
		t.failures[name] = failure{text: logfile.ErrLinkRefused.Error(), refused: true}
		t.warn("link refused", name, logfile.ErrLinkRefused)
	}
}

// failToLook is fail for a look, whose success says nothing of reading.
func (t *Tailer) failToLook(name string, err error) {
	if err == nil && !t.failures[name].toLook {
		return
	}
	t.fail(name, err)
	if err != nil {
		t.failures[name] = failure{text: err.Error(), toLook: true}
		t.unreadable[name] = true
	}
}

// forgetFailures drops what is known of names that are gone.
func (t *Tailer) forgetFailures() {
	for name := range t.failures {
		if t.failures[name].refused {
			if _, err := t.disk.Stat(name); !errors.Is(err, logfile.ErrLinkRefused) {
				delete(t.failures, name)
				t.cfg.Log.Info("link is no longer refused", "path", name)
			}
		} else if _, err := os.Lstat(name); logfile.IsMissing(err) && !glob.HasMeta(name) {
			delete(t.failures, name)
		}
	}
}
