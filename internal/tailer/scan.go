package tailer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// entry is a name that a scan found, and what it leads to.
type entry struct {
	name string // of the file
	path string // the followed path that it belongs to: the name itself, or that of which it is a rotated form
	look
	archived bool // compressed
}

// rotated reports whether the name is a rotated form of its path.
func (e entry) rotated() bool { return e.name != e.path }

// scan is the slow poll, which alone keeps everything exact; notifications
// only bring it forward. Its order matters: the paths are looked at before
// their rotated forms are listed, so that a file which leaves its path in
// between is seen under one name or the other.
//
//  1. look where the followed paths lead;
//  2. note which live generations have lost their path, and which open files
//     no longer hold what was read of them;
//  3. list the rotated forms of the paths where something moved;
//  4. join files to generations, by inode where the content agrees, and lost
//     generations to the files that hold them;
//  5. decide on the files that are left: new, a copy, or wait and see;
//  6. read from the files that grew, and finish the rotated ones that are quiet.
func (t *Tailer) scan(now time.Time) {
	t.opened, t.crowded = 0, false
	for _, s := range t.streams {
		if s.isOpen() {
			t.opened++
		}
	}
	entries, firsts := t.list(now)
	for _, e := range entries {
		t.looks[e.inode] = e.look
	}
	defer clear(t.looks)
	t.noteRotations(entries, now)
	t.noteTruncations(now)
	forms, complete := t.rotatedForms(entries)
	entries = append(entries, forms...)
	for _, e := range entries {
		t.rejoin(e, entries, now)
	}
	for _, s := range t.streams {
		if s.State == meter.Rotated && !s.isOpen() && !s.metAt.Equal(now) && complete {
			t.lose(s, now)
		}
		if s.State == meter.Lost {
			t.search(s, entries, complete, now)
		}
	}
	for _, e := range entries {
		t.decide(e, entries, now)
	}
	t.late = t.late[:0]
	for _, s := range t.streams {
		t.lookAgain(s, now)
		if s.State == meter.Rotated && s.isOpen() {
			t.late = append(t.late, s)
		}
	}
	for pattern, first := range firsts {
		t.globs[pattern], t.newGlobs[pattern] = first, first
	}
	t.scheduleScan(entries, now)
}

func (t *Tailer) scheduleScan(entries []entry, now time.Time) {
	for path, scans := range t.restless {
		if t.restless[path] = scans - 1; scans <= 1 {
			delete(t.restless, path)
		}
	}
	pause := pollUnwatched
	if t.watch.follow(t.cfg.Sources, entries) && len(t.restless) == 0 && len(t.late) == 0 {
		pause = pollWatched
	}
	t.lastScan, t.nextScan = now, now.Add(pause)
}

// list looks at every name that the patterns match. firsts holds the patterns
// that are scanned for the first time.
func (t *Tailer) list(now time.Time) (entries []entry, firsts map[string]time.Time) {
	firsts = make(map[string]time.Time)
	seen := make(map[string]bool)
	for _, source := range t.cfg.Sources {
		for _, pattern := range source.Paths {
			names, err := expand(pattern)
			t.fail(pattern, err)
			if _, ok := t.globs[pattern]; !ok && err == nil {
				firsts[pattern] = now
			}
			for _, name := range names {
				if seen[name] || source.excludes(name) {
					continue
				}
				seen[name] = true
				if e, ok := t.entry(name); ok {
					entries = append(entries, e)
				}
			}
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for i := range entries { // now that all names are known
		entries[i].path = t.pathOf(entries[i].name, seen)
	}
	return entries, firsts
}

func (t *Tailer) entry(name string) (entry, bool) {
	at, err := stat(name)
	if isMissing(err) {
		return entry{}, false
	}
	t.fail(name, err)
	return entry{name: name, path: name, look: at, archived: compression(name) != ""}, err == nil
}

// pathOf returns the followed path of which name is a rotated form, or name.
func (t *Tailer) pathOf(name string, present map[string]bool) string {
	bases, ok := t.bases[name]
	if !ok {
		if len(t.bases) >= 10_000 { // names come and go
			clear(t.bases)
		}
		bases = rotatedFrom(name)
		t.bases[name] = bases
	}
	for _, path := range bases {
		if present[path] || len(t.byPath[path]) > 0 {
			return path
		}
	}
	return name
}

// noteRotations finds the live generations whose path leads elsewhere.
func (t *Tailer) noteRotations(entries []entry, now time.Time) {
	at := make(map[string]inode, len(entries))
	for _, e := range entries {
		at[e.name] = e.inode
	}
	for _, s := range t.streams {
		if s.State == meter.Live && at[s.Path] != s.inode() {
			s.State, s.grewAt, s.changed = meter.Rotated, now, true
			t.restless[s.Path] = 2
		}
	}
}

// noteTruncations finds the open files whose content was replaced.
func (t *Tailer) noteTruncations(now time.Time) {
	for _, s := range slices.Clone(t.streams) { // a truncation adds one
		if s.file == nil {
			continue
		}
		if at, err := t.look(s); err == nil && at != s.seen && errors.Is(s.verify(), errReplaced) {
			t.truncated(s, now)
		}
	}
}

// look looks at an open plain file: by the scan that is under way, if that has
// met it, to save a call for each file of many.
func (t *Tailer) look(s *stream) (look, error) {
	if at, ok := t.looks[s.inode()]; ok {
		return at, nil
	}
	info, err := s.file.Stat()
	if err != nil {
		return look{}, err
	}
	return lookAt(info), nil
}

// rotatedForms lists the rotated forms of the restless paths that the patterns
// did not match. complete is false when something could not be looked at.
func (t *Tailer) rotatedForms(known []entry) (forms []entry, complete bool) {
	complete = true
	names := make(map[string]bool, len(known))
	for _, e := range known {
		names[e.name] = true
	}
	folders := make(map[string][]string)
	for path := range t.restless {
		for _, dir := range foldersOf(path) {
			folders[dir] = append(folders[dir], path)
		}
	}
	for dir, paths := range folders {
		listing, err := os.ReadDir(dir)
		if err != nil {
			if !isMissing(err) {
				t.fail(dir, err)
				complete = false
			}
			continue
		}
		t.fail(dir, nil)
		for _, file := range listing {
			name := filepath.Join(dir, file.Name())
			if names[name] || file.IsDir() {
				continue
			}
			if path, ok := formOf(name, paths); ok && !t.isExcluded(name, path) {
				if e, ok := t.entry(name); ok {
					e.path = path
					forms = append(forms, e)
				}
			}
		}
	}
	slices.SortFunc(forms, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return forms, complete
}

// foldersOf returns the folders in which the path's rotated forms may lie: its
// own, and that of the file a symbolic link leads to.
func foldersOf(path string) []string {
	dirs := []string{filepath.Dir(path)}
	if target, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(target) != dirs[0] {
		dirs = append(dirs, filepath.Dir(target))
	}
	return dirs
}

// formOf returns the path among paths of which name is a rotated form.
func formOf(name string, paths []string) (string, bool) {
	bases := rotatedFrom(name)
	for _, base := range bases {
		for _, path := range paths {
			if base == path || filepath.Base(base) == filepath.Base(path) && filepath.Dir(base) != filepath.Dir(path) {
				return path, true
			}
		}
	}
	return "", false
}

// isExcluded reports whether a rotated form is one that every source of its
// path leaves out by name.
func (t *Tailer) isExcluded(name, path string) bool {
	for _, s := range t.cfg.Sources {
		if s.follows(path) && !s.excludes(name) {
			return false
		}
	}
	return true
}

// rejoin joins an entry to the generation that had its inode last, if its
// content still is that generation's.
func (t *Tailer) rejoin(e entry, entries []entry, now time.Time) {
	s := t.byInode[e.inode]
	if s == nil {
		return
	}
	s.metAt = now
	if s.isOpen() || s.seen == e.look { // or nothing was written since it was closed
		t.found(s, e)
		return
	}
	if s.isBlank() { // the inode may be that of another file by now
		if e.path != s.Path {
			t.lose(s, now)
			return
		} else if e.rotated() {
			return // decide sees
		}
	}
	f, arch, verdict := t.open(e, s)
	switch {
	case verdict == same || verdict == blanked || s.Offset == 0 && !s.finished() && f != nil:
		t.bind(s, e, f, arch, now)
	case verdict == shorter && t.survivedPowerLoss(s, e, entries):
		if err := s.jump(f, e.size); err != nil {
			t.fail(e.name, err)
			f.Close()
			return
		}
		t.cfg.Log.Warn("file is shorter than what was read of it, as after a power failure: going on at its end", "path", e.name, "size", e.size)
		t.bind(s, e, f, arch, now)
	default:
		closeFile(f)
		if t.failures[e.name] != "" || verdict == unread {
			return // nothing is known of its content
		}
		s.metAt = time.Time{}
		if s.finished() {
			delete(t.byInode, e.inode)
			s.Dev, s.Ino, s.changed = 0, 0, true
		} else {
			t.lose(s, now)
		}
	}
}

// survivedPowerLoss reports whether a file that begins like the generation but
// ends before the position is the same file, whose last bytes never reached
// the disk: it is new to this process, and no other file holds the generation.
func (t *Tailer) survivedPowerLoss(s *stream, e entry, entries []entry) bool {
	if s.seen.inode == e.inode || s.finished() || e.archived {
		return false
	}
	for _, c := range entries {
		if c.path != s.Path || c.inode == e.inode {
			continue
		}
		f, arch, verdict := t.open(c, s)
		closeFile(f)
		closeArchive(arch)
		if verdict == same {
			return false
		}
	}
	return true
}

// open opens the entry's file and compares it with the generation. A plain
// file is returned open, an archive only when it holds the generation.
func (t *Tailer) open(e entry, s *stream) (*os.File, *archive, verdict) {
	if e.archived {
		a, err := openArchive(e.name)
		if err != nil {
			if !isMissing(err) {
				t.fail(e.name, err)
			}
			return nil, nil, unread
		}
		verdict, err := a.holds(&s.Generation)
		if err == nil && verdict == shorter && s.finished() && s.EOFAt == s.Offset && a.endsAt(s.EOFAt) {
			verdict = same
		}
		t.fail(e.name, err)
		if verdict != same {
			a.Close()
			return nil, nil, verdict
		}
		return nil, a, verdict
	}
	f, err := t.openFile(e)
	if err != nil {
		return nil, nil, unread
	}
	verdict, err := compare(f, e.size, &s.Generation)
	t.fail(e.name, err)
	if err != nil {
		f.Close()
		return nil, nil, unread
	}
	return f, nil, verdict
}

// openEntry opens the entry's file, plain or compressed.
func (t *Tailer) openEntry(e entry) (f *os.File, arch *archive, err error) {
	if !e.archived {
		f, err = t.openFile(e)
		return f, nil, err
	}
	arch, err = openArchive(e.name)
	if err != nil && !isMissing(err) {
		t.fail(e.name, err)
	}
	return nil, arch, err
}

// openFile opens the entry's plain file, which must still be the one that was seen.
func (t *Tailer) openFile(e entry) (*os.File, error) {
	if !t.makeRoom() {
		t.crowded = true
		return nil, errCrowded
	}
	f, err := os.Open(e.name)
	if err != nil {
		if !isMissing(err) {
			t.fail(e.name, err)
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && lookAt(info).inode != e.inode {
		err = os.ErrNotExist // renamed since: the next scan sees where to
		t.restless[e.path] = 2
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// errCrowded is returned by openFile when as many files are open as may be. The
// file's turn comes when the others have been read.
var errCrowded = errors.New("too many open files")

// makeRoom counts a descriptor that is about to be opened. When as many are
// open as may be, it closes those that have been quiet longest, and reports
// whether there is room.
func (t *Tailer) makeRoom() bool {
	if t.opened++; t.opened <= t.cfg.MaxOpen {
		return true
	}
	var idle []*stream
	t.opened = 1
	for _, s := range t.streams {
		if !s.isOpen() {
			continue
		}
		t.opened++
		if s.file != nil && !s.queued && s.readTo == s.seen.size && !s.seen.unlinked && (s.State != meter.Rotated || s.readTo == s.Offset) {
			idle = append(idle, s)
		}
	}
	slices.SortFunc(idle, func(a, b *stream) int { return a.grewAt.Compare(b.grewAt) })
	for _, s := range idle[:min(len(idle), max(1, t.cfg.MaxOpen/10))] {
		s.close()
		s.parked = true
		t.opened--
	}
	if t.opened > t.cfg.MaxOpen {
		t.opened--
		return false
	}
	return true
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

func closeArchive(a *archive) {
	if a != nil {
		a.Close()
	}
}

// bind gives the generation its file.
func (t *Tailer) bind(s *stream, e entry, f *os.File, arch *archive, now time.Time) {
	if s.inode() != e.inode {
		if t.byInode[s.inode()] == s {
			delete(t.byInode, s.inode())
		}
		t.byInode[e.inode] = s
		s.Dev, s.Ino, s.changed = e.dev, e.ino, true
	}
	t.cfg.Log.Debug("reading", "name", e.name, "path", s.Path, "generation", s.ID, "offset", s.Offset, "size", e.size, "was", s.State)
	delete(t.aliases, e.look)
	s.close()
	s.file, s.arch, s.seen, s.parked = f, arch, e.look, false
	s.readTo, s.skipped, s.grewAt = s.Offset, 0, now
	if s.Compressed != e.archived {
		s.Compressed, s.changed = e.archived, true
	}
	switch {
	case !e.rotated() && e.name == s.Path && !e.archived:
		t.become(s, meter.Live)
	case s.State == meter.Done && e.archived:
		s.close()
	case s.State == meter.Done && e.size <= s.Offset:
		// stays as it is
	default:
		t.become(s, meter.Rotated)
	}
	t.found(s, e)
	t.enqueue(s)
}

func (t *Tailer) become(s *stream, state meter.GenerationState) {
	if s.State != state {
		s.State, s.changed = state, true
	}
}

// found notes under which name a generation's file was met.
func (t *Tailer) found(s *stream, e entry) {
	if !e.rotated() && e.name == s.Path && s.State == meter.Rotated && s.arch == nil {
		t.become(s, meter.Live) // its path leads to it again
	}
	s.name = e.name
	if t.byName[e.name] == s {
		return
	}
	t.byName[e.name] = s
	if target, err := filepath.EvalSymlinks(e.name); err == nil {
		t.byName[target] = s
	}
}

// search looks for a lost generation among the files of its path that belong
// to no other. When the time for it is over, the loss is counted.
func (t *Tailer) search(s *stream, entries []entry, complete bool, now time.Time) {
	if s.lostAt.IsZero() || now.Before(s.lostAt) {
		s.lostAt = now
	}
	t.restless[s.Path] = max(t.restless[s.Path], 2)
	for _, e := range entries {
		owner := t.byInode[e.inode]
		if e.path != s.Path || owner != nil && !(owner.isBlank() && e.rotated()) {
			continue
		}
		f, arch, verdict := t.open(e, s)
		if verdict == same {
			if owner != nil {
				t.lose(owner, now)
			}
			t.bind(s, e, f, arch, now)
			return
		}
		closeFile(f)
		complete = complete && verdict != unread
	}
	if complete && now.Sub(s.lostAt) >= t.cfg.Search {
		t.giveUp(s)
	}
}

// giveUp ends the search for a generation.
func (t *Tailer) giveUp(s *stream) {
	s.changed = true
	caughtUp := s.EOFAt == s.Offset || s.seen != look{} && s.seen.size == s.Offset
	if caughtUp {
		s.State = meter.Done
		return
	}
	s.State = meter.Gap
	s.Missed = max(0, s.seen.size-s.Offset, s.EOFAt-s.Offset)
	t.anomalies.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: s.Path}, s.Missed,
		fmt.Sprintf("the file was gone before it could be read on from offset %d", s.Offset))
	t.cfg.Log.Error("file was gone before it could be read to its end", "path", s.Path, "offset", s.Offset, "missed_bytes", s.Missed)
}

// decide settles what a file is whose inode belongs to no generation.
func (t *Tailer) decide(e entry, entries []entry, now time.Time) {
	blank := t.byInode[e.inode]
	if blank != nil && !(blank.isBlank() && e.rotated()) || t.aliases[e.look] {
		return
	}
	if !e.rotated() {
		if s := t.movedTo(e, entries); s != nil {
			f, arch, verdict := t.open(e, s)
			if verdict == same {
				t.bind(s, e, f, arch, now)
				return
			}
			closeFile(f)
		}
		t.adopt(e, now)
		return
	}
	switch from, s := t.origin(e, now); from {
	case copied:
		if blank != nil {
			t.lose(blank, now)
		}
		if s.finished() && !s.isOpen() && !s.metAt.Equal(now) && t.extends(e, s, now) {
			return
		}
		t.cfg.Log.Debug("copy of a known file", "name", e.name, "path", e.path, "generation", s.ID)
		t.aliases[e.look] = true
	case undecided:
		t.restless[e.path] = max(t.restless[e.path], 2)
	case unknown:
		if e.archived && t.unfinished(e, entries, now) {
			t.restless[e.path] = max(t.restless[e.path], 2)
			return
		}
		if blank == nil {
			t.adopt(e, now)
		} else if f, arch, err := t.openEntry(e); err == nil {
			t.bind(blank, e, f, arch, now)
		}
	}
}

// extends goes on with a finished generation whose own file is gone in a file
// that holds more of it, and reports whether that was so: a late writer was
// later than we waited, or the search for it was given up too early.
func (t *Tailer) extends(e entry, s *stream, now time.Time) bool {
	if s.Offset == 0 {
		return false
	}
	f, arch, verdict := t.open(e, s)
	if verdict != same {
		closeFile(f)
		closeArchive(arch)
		return false
	}
	more := f != nil && e.size > s.Offset
	if arch != nil && !arch.endsAt(s.Offset) {
		n, _ := arch.ReadAt(make([]byte, 1), s.Offset)
		more = n > 0
	}
	if !more {
		closeFile(f)
		closeArchive(arch)
		return false
	}
	s.State, s.changed = meter.Rotated, true
	t.bind(s, e, f, arch, now)
	return true
}

// movedTo returns the generation of a path that has a new file, if that file
// holds all that was read of it and its own is gone: the file was written anew
// (sed -i, an editor) or came back with its file system.
func (t *Tailer) movedTo(e entry, entries []entry) *stream {
	for _, s := range t.byPath[e.path] {
		gone := false
		if s.file != nil {
			at, err := t.look(s)
			gone = err == nil && at.unlinked
		} else if s.arch == nil {
			gone = !slices.ContainsFunc(entries, func(other entry) bool { return other.inode == s.inode() })
		}
		if !gone || e.size < s.Offset || s.Offset == 0 {
			continue
		}
		f, arch, verdict := t.open(e, s)
		closeFile(f)
		closeArchive(arch)
		if verdict == same {
			return s
		}
	}
	return nil
}

// origin is where the content of a rotated form comes from.
type origin int

const (
	unknown   origin = iota // no generation holds it
	copied                  // a generation holds it
	undecided               // it may be a copy that is still being written
)

// origin compares a rotated form with every generation of its path. With
// copied it returns the generation.
func (t *Tailer) origin(e entry, now time.Time) (origin, *stream) {
	settled := now.Sub(e.writtenAt()) >= t.cfg.Search || now.Before(e.writtenAt())
	if e.size == 0 && settled {
		return copied, &stream{} // of nothing
	} else if e.size == 0 {
		return undecided, nil
	}
	file, arch, err := t.openEntry(e)
	if err != nil {
		return undecided, nil
	}
	defer closeFile(file)
	defer closeArchive(arch)
	result := unknown
	for _, s := range t.byPath[e.path] {
		if s.inode() == e.inode {
			continue
		}
		var from origin
		if e.archived {
			from = archiveOrigin(arch, s)
		} else {
			from = fileOrigin(file, e, s, settled)
		}
		if from == copied {
			return copied, s
		}
		result = max(result, from)
	}
	return result, nil
}

func fileOrigin(f *os.File, e entry, s *stream, settled bool) origin {
	verdict, err := compare(f, e.size, &s.Generation)
	switch {
	case err != nil:
		return undecided
	case verdict == same || verdict == blanked:
		return copied
	case verdict == shorter && s.finished():
		return copied
	case verdict == shorter && s.State == meter.Lost:
		return undecided
	case s.State == meter.Live || s.State == meter.Rotated:
		prefix, err := s.beginsWith(f, e.size)
		if err != nil || prefix && !settled {
			return undecided // a copy of what is unread, perhaps still being written
		} else if prefix {
			return copied
		}
	}
	return unknown
}

// archiveOrigin decompresses no more than the head, unless it must.
func archiveOrigin(a *archive, s *stream) origin {
	beginning, err := s.beginning()
	switch {
	case err != nil:
		return undecided
	case !beginsAlike(a.head, beginning):
		return unknown
	case !s.finished() && s.State != meter.Live:
		return undecided // what compresses it may still be at work, and so are we
	case s.finished() && (s.EOFAt < 0 || a.endsAt(s.EOFAt)):
		return copied
	}
	again, err := openArchive(a.file.Name())
	if err != nil {
		return undecided
	}
	defer again.Close()
	switch verdict, err := again.holds(&s.Generation); {
	case err != nil:
		return undecided
	case verdict == same || verdict == shorter && s.State == meter.Gap:
		return copied
	}
	return unknown
}

// unfinished reports whether a compressed file may still be being written: it
// was touched just now, or the plain file is still there.
func (t *Tailer) unfinished(e entry, entries []entry, now time.Time) bool {
	plain := strings.TrimSuffix(e.name, compression(e.name))
	for _, other := range entries {
		if other.name == plain && other.rotated() {
			return true
		}
	}
	age := now.Sub(e.writtenAt())
	return age >= 0 && age < settle
}

// adopt begins a generation for a file that none holds.
func (t *Tailer) adopt(e entry, now time.Time) {
	known, since := t.followedSince(e.path)
	f, arch, err := t.openEntry(e)
	if err != nil {
		return
	}
	state := meter.Live
	if e.rotated() || e.archived {
		state = meter.Rotated
	}
	s := t.begin(e.path, e.look, state)
	switch {
	case e.rotated() && (!known || e.writtenAt().Before(since)):
		err = t.baseline(s, e, f, arch)
	case !known && t.startsAtEnd(e.path) && f != nil:
		var end int64
		if end, err = lastNewline(f, e.size); err == nil {
			err = s.jump(f, end)
		}
	}
	if err != nil {
		t.fail(e.name, err)
		t.forget(s)
		closeFile(f)
		closeArchive(arch)
		return
	}
	t.fail(e.name, nil)
	t.cfg.Log.Debug("new file", "name", e.name, "path", e.path, "generation", s.ID, "offset", s.Offset, "size", e.size)
	t.bind(s, e, f, arch, now)
}

// forget takes back the begin of a stream that came to nothing.
func (t *Tailer) forget(s *stream) {
	delete(t.byInode, s.inode())
	t.streams = slices.DeleteFunc(t.streams, func(other *stream) bool { return other == s })
	t.byPath[s.Path] = slices.DeleteFunc(t.byPath[s.Path], func(other *stream) bool { return other == s })
}

// baseline marks a rotated file as one that was there before: only what is
// appended to it from now on counts.
func (t *Tailer) baseline(s *stream, e entry, f *os.File, arch *archive) error {
	s.State = meter.Done
	if arch != nil {
		s.Head, s.Compressed = arch.head, true
		return nil
	}
	s.EOFAt = e.size
	return s.jump(f, e.size)
}

// followedSince returns since when a pattern that matches the path is
// followed; known is false while the first scan of all of them is under way.
func (t *Tailer) followedSince(path string) (known bool, since time.Time) {
	for _, source := range t.cfg.Sources {
		for _, pattern := range source.Paths {
			first, scanned := t.globs[pattern]
			if scanned && match(pattern, path) && (!known || first.Before(since)) {
				known, since = true, first
			}
		}
	}
	return known, since
}

func (t *Tailer) startsAtEnd(path string) bool {
	for _, source := range t.cfg.Sources {
		if source.follows(path) {
			return source.AtEnd
		}
	}
	return false
}

// lookAgain has a stream read when its file has changed since the last look,
// and ends one that is rotated and quiet.
func (t *Tailer) lookAgain(s *stream, now time.Time) {
	if s.arch != nil {
		t.enqueue(s)
	}
	if s.file != nil {
		at, err := t.look(s)
		if err != nil {
			t.fail(s.name, err)
			t.reopen(s)
			return
		}
		if at != s.seen {
			if at.size != s.seen.size {
				s.grewAt, s.ending = now, false
			}
			s.seen = at
			if s.Offset == 0 { // with nothing consumed, a truncation shows only in a copy
				t.restless[s.Path] = max(t.restless[s.Path], 2)
			}
			t.enqueue(s)
			if s.State == meter.Done && at.size > s.Offset {
				t.become(s, meter.Rotated) // a late writer
			}
		}
	}
	quiet := now.Sub(s.grewAt)
	switch {
	case s.State == meter.Rotated && s.parked:
		t.restless[s.Path] = max(t.restless[s.Path], 2)
		if quiet >= t.cfg.Quiet {
			t.finish(s)
		}
	case !s.isOpen():
	case s.State == meter.Rotated && quiet >= t.cfg.Quiet && !s.ending:
		s.ending = true
		t.enqueue(s)
	case s.State == meter.Done && (quiet >= linger || quiet < 0):
		s.close()
		if t.byName[s.name] == s {
			delete(t.byName, s.name)
		}
	}
}
