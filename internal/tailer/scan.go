package tailer

import (
	"cmp"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// entry is a name that a scan found, and what it leads to.
type entry struct {
	anyInode bool   // the file may differ from the file that the scan saw
	name     string // of the file
	path     string // the followed path that it belongs to; the name may be a rotated form of it
	logfile.FileState
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
//
// It pauses between two files when its step is over: see breathe. In these pauses
// nothing is read whose place it has still to find.
func (t *Tailer) scan(now time.Time) {
	began := time.Now()
	clear(t.unreadable)
	t.warned = 0
	if t.disk.Refresh != nil {
		t.disk.Refresh()
	}
	t.opened, t.archives, t.outOfDescriptors, t.undecided, t.passed = 0, 0, false, false, 0
	for _, s := range t.streams {
		if s.isOpen() {
			t.opened++
		}
		if s.arch != nil {
			t.archives += weight(s.name)
		}
	}
	for _, i := range t.inspected {
		t.archives += weight(i.name)
	}
	entries, firsts := t.list(now)
	if t.isBroken() || !t.wakeFor(entries) {
		return
	}
	for _, e := range entries {
		t.states[e.Inode] = e.FileState
	}
	defer clear(t.states)
	clear(t.truncations)
	t.nameInodes(entries)
	t.linksFirst(entries)
	t.noteRotations(entries, now)
	t.noteUnseen(entries, now)
	census, err := t.callCensus(now)
	if err != nil {
		t.giveUpScan(err)
	}
	if err != nil || t.isBroken() {
		return
	}
	t.noteTruncations(now)
	forms, complete := t.rotatedForms(entries)
	if t.isBroken() || !t.wakeFor(forms) {
		return
	}
	entries = append(entries, forms...)
	t.nameInodes(entries)
	defer func() { t.leads = nil }()
	if t.tellArchives(entries); t.isBroken() {
		return
	}
	for _, e := range entries {
		if !t.breathe() {
			return
		}
		t.rejoin(e, entries, now)
	}
	for _, e := range entries { // copies are known before anything is compared
		if !t.breathe() {
			return
		}
		if t.byInode[e.Inode] == nil {
			t.isCopy(e, now)
		}
	}
	for _, s := range slices.Clone(t.streams) {
		if !t.breathe() {
			return
		}
		if s.State == meter.Rotated && !s.isOpen() && !s.metAt.Equal(now) && complete && !t.isHidden(s.Path) {
			t.markLost(s, now)
		}
		if s.State == meter.Lost {
			t.search(s, entries, complete && !t.isHidden(s.Path), now)
		}
	}
	if t.opened+len(entries) > t.cfg.MaxOpen {
		entries = longestFirst(entries)
	}
	t.unclear = t.unclear[:0]
	for i, e := range entries {
		if !t.breathe() || !t.awaitRoom(entries[i:]) {
			return
		}
		t.decide(e, entries, now)
	}
	t.orderCopies()
	if census {
		t.takeCensus(entries, now)
	}
	t.rotatedOpen = t.rotatedOpen[:0]
	for _, s := range slices.Clone(t.streams) {
		if !t.breathe() {
			return
		}
		t.lookAgain(s, now)
		if s.State == meter.Rotated && s.isOpen() {
			t.rotatedOpen = append(t.rotatedOpen, s)
		}
	}
	t.endInspections()
	t.layToRest(now)
	t.notLookedAt = t.passed
	for pattern, first := range firsts {
		t.globs[pattern], t.newGlobs[pattern] = first, first
		delete(t.leftGlobs, pattern)
	}
	t.forgetFailures()
	took := time.Since(began)
	cost := took
	if t.sweep != nil {
		cost = t.sweep.cost + time.Since(t.sweep.began)
	}
	t.scheduleScan(entries, now, took, cost)
}

// longestFirst returns the entries with the longest plain files first and archives last.
// Where files are read before all can be open, a copy comes after what it was made from.
func longestFirst(entries []entry) []entry {
	sorted := slices.Clone(entries)
	length := func(e entry) int64 {
		if e.archived {
			return -1
		}
		return e.Size
	}
	slices.SortStableFunc(sorted, func(a, b entry) int { return cmp.Compare(length(b), length(a)) })
	return sorted
}

// A scan of files at rest costs at most so small a part of a core, while it comes
// at least once in mostPause.
const (
	restPart  = 500
	mostPause = time.Minute
)

// scheduleScan plans the next scan from the end of the last, and from what it took
// and cost.
func (t *Tailer) scheduleScan(entries []entry, now time.Time, took, cost time.Duration) {
	for path, scans := range t.rescan {
		if t.rescan[path] = scans - 1; scans <= 1 {
			delete(t.rescan, path)
		}
	}
	end := now.Add(took)
	next := now.Add(pollUnwatched)
	if soonest := end.Add(max(cost, pollUnwatched/2)); next.Before(soonest) {
		next = soonest
	}
	if t.watch.follow(t.cfg.Sources, entries) && len(t.rescan) == 0 && len(t.rotatedOpen) == 0 {
		pause := min(mostPause, max(pollWatched, time.Duration(len(entries))*pollWatchedFile, restPart*cost))
		next = end.Add(max(pause, cost))
	}
	t.nextScan, t.scanned = next, len(entries)
}

// list looks at every name that the patterns match. firsts holds the patterns
// that are scanned for the first time.
func (t *Tailer) list(now time.Time) (entries []entry, firsts map[string]time.Time) {
	firsts = make(map[string]time.Time)
	seen := make(map[string]bool)
	for _, source := range t.cfg.Sources {
		for _, pattern := range source.Paths {
			names, err := glob.Expand(pattern)
			t.failToLook(pattern, err)
			if _, ok := t.globs[pattern]; !ok && !errors.Is(err, doublestar.ErrBadPattern) {
				firsts[pattern] = logfile.AsFilesAreDated(now)
			}
			for _, name := range names {
				if seen[name] || source.files().Excludes(name) {
					continue
				}
				seen[name] = true
				if !t.breathe() {
					return nil, nil
				}
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
	at, err := t.disk.State(name)
	switch {
	case errors.Is(err, logfile.ErrLinkRefused):
		t.refuse(name, err)
		return entry{}, false
	case logfile.IsMissing(err), errors.Is(err, logfile.ErrNotRegular) && !t.isNamed(name):
		return entry{}, false // a glob may match folders too
	}
	t.failToLook(name, err)
	return entry{name: name, path: name, FileState: at, archived: logfile.Compression(name) != ""}, err == nil
}

// isNamed reports whether the configuration gives the name itself.
func (t *Tailer) isNamed(name string) bool {
	return slices.ContainsFunc(t.cfg.Sources, func(s Source) bool { return slices.Contains(s.Paths, name) })
}

// pathOf returns the followed path that name is a rotated form of, or name itself.
func (t *Tailer) pathOf(name string, present map[string]bool) string {
	for _, path := range t.basesOf(name) {
		if present[path] || t.isPath(path) {
			return path
		}
	}
	return name
}

// basesOf is rotatedFrom, remembered.
func (t *Tailer) basesOf(name string) []string {
	bases, ok := t.bases[name]
	if !ok {
		if len(t.bases) >= maxBases { // names come and go
			clear(t.bases)
		}
		bases = logfile.RotatedFrom(name)
		t.bases[name] = bases
	}
	return bases
}

// maxBases bounds the memory of names.
const maxBases = 20_000

// noteRotations finds the live generations whose path leads elsewhere, and the
// paths that are new, and has the rotated forms of these paths looked at.
func (t *Tailer) noteRotations(entries []entry, now time.Time) {
	at := make(map[string]logfile.Inode, len(entries))
	for _, e := range entries {
		at[e.name] = e.Inode
		if s := t.byInode[e.Inode]; len(t.byPath[e.path]) > 0 || s != nil && s.Path != e.path {
			continue
		}
		t.rescan[e.path] = 2 // it may have been rotated before anybody saw it
	}
	for _, s := range t.streams {
		where, found := at[s.Path]
		if s.State == meter.Live && where != s.inode() && !s.isNamed(at) && (found || !t.isHidden(s.Path)) {
			s.State, s.grewAt, s.changed = meter.Rotated, now, true
			t.rescan[s.Path] = 2
		}
		if (s.State == meter.Rotated || s.State == meter.Lost) && !s.isOpen() {
			t.rescan[s.Path] = 2 // until a scan finds it
		}
	}
}

// isPath reports whether generations of a path are known.
func (t *Tailer) isPath(path string) bool { return len(t.byPath[path]) > 0 || t.rest.has(path) }

// wasRead reports whether anything was read of a path.
func (t *Tailer) wasRead(path string) bool {
	return t.rest.has(path) || slices.ContainsFunc(t.byPath[path], func(s *stream) bool { return s.Offset > 0 })
}

// noteUnseen finds the compressed forms of names that are followed and were
// compressed before anybody read them, and has them looked at. Only what was
// written since their pattern is followed counts.
func (t *Tailer) noteUnseen(entries []entry, now time.Time) {
	folders := make(map[string]bool)
	for _, e := range entries {
		folders[filepath.Dir(e.name)] = true
	}
	for _, source := range t.cfg.Sources {
		for _, pattern := range source.Paths {
			folders[glob.Root(pattern)] = true
		}
	}
	maps.DeleteFunc(t.listed, func(dir string, _ time.Time) bool { return !folders[dir] })
	for dir := range folders {
		info, err := t.disk.Stat(dir)
		if err != nil || info.ModTime().Equal(t.listed[dir]) {
			continue
		}
		listing, err := t.disk.ReadDir(dir)
		if err != nil {
			continue // list or rotatedForms says so
		}
		if now.Sub(info.ModTime()).Abs() >= settle { // else more may have the same time
			t.listed[dir] = info.ModTime()
		}
		for _, file := range listing {
			if !t.breathe() {
				return
			}
			name := filepath.Join(dir, file.Name())
			path := logfile.Uncompressed(name)
			if path == name || t.wasRead(path) || t.pathOf(path, nil) != path {
				continue
			}
			known, since := t.followedSince(path)
			if !known || len(t.sourcesOf(path)) == 0 {
				continue
			}
			if e, ok := t.entry(name); ok && t.byInode[e.Inode] == nil && !e.WrittenAt().Before(since) {
				t.rescan[path] = max(t.rescan[path], 2)
			}
		}
	}
}

// noteTruncations finds the open files whose content was replaced.
func (t *Tailer) noteTruncations(now time.Time) {
	for _, s := range slices.Clone(t.streams) { // a truncation adds one
		if !t.breathe() {
			return
		}
		if s.file == nil {
			continue
		}
		if at, err := t.fileState(s); err == nil && at != s.seen && errors.Is(s.verify(), logfile.ErrReplaced) {
			t.truncated(s, now)
		}
	}
}

// isHidden reports whether the file at the path, or a rotated form of it, may be
// there and could not be looked at in this scan.
func (t *Tailer) isHidden(path string) bool {
	for name := range t.unreadable {
		if t.pathOf(name, nil) == path || glob.HasMeta(name) && glob.Match(name, path) {
			return true
		}
	}
	return false
}

// fileState returns the state of an open plain file: from the scan under way, if that has
// met it, to save a call for each file of many.
func (t *Tailer) fileState(s *stream) (logfile.FileState, error) {
	if at, ok := t.states[s.inode()]; ok {
		return at, nil
	}
	info, err := s.file.Stat()
	if err != nil {
		return logfile.FileState{}, err
	}
	return logfile.FileStateOf(info), nil
}

// rotatedForms lists the rotated forms of the paths in rescan that the patterns did
// not match. It ignores excludes, since the files were written under a followed name.
// complete is false when something could not be read.
func (t *Tailer) rotatedForms(known []entry) (forms []entry, complete bool) {
	complete = true
	seen := make(map[string]bool, len(known))
	for _, e := range known {
		seen[e.name] = true
	}
	folders := make(logfile.Families)
	t.listedForms = make(map[string]bool, len(t.rescan))
	for path := range t.rescan {
		if !t.breathe() {
			return nil, false
		}
		t.listedForms[path] = true
		folders.Add(path, path)
		for _, s := range t.byPath[path] {
			if s.isOpen() || s.finished() {
				continue
			}
			for _, name := range s.Names {
				owner := s.Path
				if t.isPath(name) {
					owner = name
				}
				folders.Add(name, owner)
			}
		}
	}
	for dir, paths := range folders {
		listing, err := t.disk.ReadDir(dir)
		if logfile.IsMissing(err) {
			continue
		}
		t.failToLook(dir, err)
		complete = complete && err == nil
		for _, file := range listing {
			if !t.breathe() {
				return nil, false
			}
			name := filepath.Join(dir, file.Name())
			if seen[name] {
				continue
			}
			path, ok := logfile.Owner(paths, name, t.basesOf)
			if !ok {
				continue
			}
			seen[name] = true
			if e, ok := t.entry(name); ok {
				e.path = path
				forms = append(forms, e)
			}
		}
	}
	slices.SortFunc(forms, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return forms, complete
}

// lookAgain queues a stream when its file has changed since the last look. It ends a
// stream that is rotated and quiet.
func (t *Tailer) lookAgain(s *stream, now time.Time) {
	if s.arch != nil {
		if info, err := s.arch.File.Stat(); err == nil && s.seen.Differs(logfile.FileStateOf(info)) {
			t.reopen(s) // it was not whole
		}
	}
	if s.file != nil {
		at, err := t.fileState(s)
		if err != nil {
			t.fail(s.name, err)
			t.reopen(s)
			return
		}
		if at != s.seen {
			if s.Offset == 0 && at.Size < s.seen.Size {
				t.seeShrunk(s, true)
			}
			if at.Size != s.seen.Size {
				s.grewAt, s.ending = now, false
			}
			s.seen, s.changed = at, true
			if s.Offset == 0 { // before any line is consumed, a truncation shows only in a copy
				t.rescan[s.Path] = max(t.rescan[s.Path], 2)
			}
			t.enqueue(s)
			if s.State == meter.Done && at.Size > s.Offset {
				t.become(s, meter.Rotated) // a late writer
				s.countedTorn = s.endsTorn()
			}
		}
	}
	if s.grewAt.IsZero() || now.Before(s.grewAt) { // it was taken over, or the clock was set back
		s.grewAt = now
	}
	if (s.Before != 0 || s.waiting) && !s.begun() || s.awaited && s.readTo > s.Offset || s.isUnasked() && s.seen.Size > 0 {
		t.enqueue(s) // it may have waited
	}
	quiet := now.Sub(s.grewAt)
	switch {
	case s.State == meter.Rotated && s.closedIdle:
		if quiet >= t.cfg.Quiet {
			t.finish(s)
		}
	case s.State == meter.Rotated && s.damaged != nil && !s.isOpen():
		if t.settled(s.seen, now) {
			t.setAside(s, now)
		}
	case !s.isOpen():
	case s.State == meter.Rotated && !s.ending && quiet >= t.tornWait(s):
		s.ending = true
		t.enqueue(s)
	case s.State == meter.Done && quiet >= linger:
		s.close()
		if t.byName[s.name] == s {
			delete(t.byName, s.name)
		}
	}
}
