package tailer

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// A path is at rest when all its generations are finished and no scan meets a file of
// theirs. Then they leave memory, which keeps hashes of what somebody may ask by: the
// path, the inodes of their files and copies, and their first bytes. When somebody asks,
// the path wakes: its generations come from the ledger again, as after a restart.

// rest holds the paths at rest.
type rest struct {
	ids    map[uint64]int64    // a generation of each path
	others map[uint64][]int64  // the other generations of the path
	paths  map[uint64]uint64   // the path of each inode and of each head
	more   map[uint64][]uint64 // further paths with that head or inode
	absent map[int64]int64     // generations that no file held at their last census, and since when: seconds since 1970
	due    []uint64            // paths that the census under way has still to look at
}

func newRest() rest {
	return rest{
		ids: make(map[uint64]int64), others: make(map[uint64][]int64),
		paths: make(map[uint64]uint64), more: make(map[uint64][]uint64), absent: make(map[int64]int64),
	}
}

var restSeed = maphash.MakeSeed()

func pathKey(path string) uint64 { return maphash.String(restSeed, path) }

func inodeKey(at logfile.Inode) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], at.Dev)
	binary.LittleEndian.PutUint64(b[8:], at.Ino)
	return maphash.Bytes(restSeed, b[:])
}

// has reports whether a path is at rest.
func (r *rest) has(path string) bool {
	if len(r.ids) == 0 {
		return false
	}
	_, ok := r.ids[pathKey(path)]
	return ok
}

// put adds a generation of a path.
func (r *rest) put(path uint64, g *meter.Generation) {
	if _, ok := r.ids[path]; ok {
		r.others[path] = append(r.others[path], g.ID)
	} else {
		r.ids[path] = g.ID
	}
	for _, key := range restKeys(g) {
		r.point(key, path)
	}
}

// restKeys returns what a finished generation is found by, beside its path.
func restKeys(g *meter.Generation) (keys []uint64) {
	if at := (logfile.Inode{Dev: g.Dev, Ino: g.Ino}); at != (logfile.Inode{}) {
		keys = append(keys, inodeKey(at))
	}
	if isEvidence(g.Head) {
		keys = append(keys, headKey(g.Head))
	}
	return keys
}

// point has a key lead to a path.
func (r *rest) point(key, path uint64) {
	switch first, ok := r.paths[key]; {
	case !ok:
		r.paths[key] = path
	case first != path && !slices.Contains(r.more[key], path):
		r.more[key] = append(r.more[key], path)
	}
}

// unpoint takes a path from a key.
func (r *rest) unpoint(key, path uint64) {
	more := slices.DeleteFunc(r.more[key], func(other uint64) bool { return other == path })
	if r.paths[key] == path {
		delete(r.paths, key)
		if len(more) > 0 {
			r.paths[key], more = more[0], more[1:]
		}
	}
	if r.more[key] = more; len(more) == 0 {
		delete(r.more, key)
	}
}

// behind returns the paths that a key leads to.
func (r *rest) behind(key uint64) []uint64 {
	first, ok := r.paths[key]
	if !ok {
		return nil
	}
	return append([]uint64{first}, r.more[key]...)
}

// mayRest reports whether nothing but a file's content or inode can concern the
// generation again.
func mayRest(g *meter.Generation) bool {
	return (g.State == meter.Done || g.State == meter.Gap) && g.Offset > 0 && len(g.Names) == 0 && !g.Left
}

// restKnown lays the paths of an earlier run to rest and returns the generations and
// copies of the others.
func (t *Tailer) restKnown() (known []meter.Generation, copies []meter.Copy) {
	if t.cfg.Finished == nil {
		return t.cfg.Known, t.cfg.Copies
	}
	awake := make(map[string]bool)
	for i := range t.cfg.Known {
		g := &t.cfg.Known[i]
		if g.State != meter.Forgotten && (!mayRest(g) || t.cfg.Open[g.ID] != nil) {
			awake[g.Path] = true
		}
	}
	at := make(map[int64]uint64)
	for i := range t.cfg.Known {
		g := &t.cfg.Known[i]
		if g.State == meter.Forgotten || awake[g.Path] || len(t.sourcesOf(g.Path)) == 0 {
			known = append(known, *g)
			continue
		}
		t.lastID = max(t.lastID, g.ID)
		at[g.ID] = pathKey(g.Path)
		t.rest.put(at[g.ID], g)
	}
	for _, c := range t.cfg.Copies {
		if path, resting := at[c.Of]; resting {
			t.rest.point(inodeKey(logfile.Inode{Dev: c.Dev, Ino: c.Ino}), path)
		} else {
			copies = append(copies, c)
		}
	}
	return known, copies
}

// wake takes a path up again. After an error the path is still at rest.
func (t *Tailer) wake(path uint64) error {
	first, resting := t.rest.ids[path]
	if !resting {
		return nil
	}
	generations, copies, err := t.cfg.Finished(append([]int64{first}, t.rest.others[path]...))
	if err != nil {
		return err
	}
	delete(t.rest.ids, path)
	delete(t.rest.others, path)
	before := len(t.streams)
	for i := range generations {
		g := &generations[i]
		for _, key := range restKeys(g) {
			t.rest.unpoint(key, path)
		}
		stolen := t.byInode[logfile.Inode{Dev: g.Dev, Ino: g.Ino}] != nil // another file has the inode now
		if stolen {
			g.Dev, g.Ino, g.Born = 0, 0, 0
		}
		s := t.know(*g)
		if s == nil {
			continue
		}
		s.changed = stolen
		if since, ok := t.rest.absent[g.ID]; ok {
			s.absentSince = time.Unix(since, 0)
			delete(t.rest.absent, g.ID)
		}
	}
	for _, c := range copies {
		t.rest.unpoint(inodeKey(logfile.Inode{Dev: c.Dev, Ino: c.Ino}), path)
	}
	t.knowCopies(copies, t.streams[before:])
	return nil
}

func (t *Tailer) wakePath(path string) error {
	if len(t.rest.ids) == 0 {
		return nil
	}
	return t.wake(pathKey(path))
}

// wakeBehind wakes the paths that a key leads to.
func (t *Tailer) wakeBehind(key uint64) error {
	for _, path := range t.rest.behind(key) {
		if err := t.wake(path); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tailer) wakeInode(at logfile.Inode) error {
	if len(t.rest.ids) == 0 {
		return nil
	}
	return t.wakeBehind(inodeKey(at))
}

// ownerOf returns the generation that had the inode last, if it can be found out.
func (t *Tailer) ownerOf(at logfile.Inode) *stream {
	if t.wakeInode(at) != nil {
		return nil // the next scan asks again
	}
	return t.byInode[at]
}

// wakeFor wakes what entries of a scan may belong to, and reports whether the scan may
// go on.
func (t *Tailer) wakeFor(entries []entry) bool {
	for _, e := range entries {
		if len(t.rest.ids) == 0 {
			break
		}
		if !t.breathe() {
			return false
		}
		err := t.wakeInode(e.Inode)
		if err == nil {
			err = t.wakePath(e.path)
		}
		if err != nil {
			t.giveUpScan(err)
			return false
		}
	}
	return true
}

// giveUpScan ends a scan that cannot know what it must know. The next one comes soon.
func (t *Tailer) giveUpScan(err error) {
	t.cfg.Log.Warn("finished files cannot be read from the ledger: what is new waits", "error", err)
	t.undecided = true
	t.nextScan = t.lastScan.Add(pollUnwatched)
}

// layToRest lets the paths rest that the scan has met no file of. What concerns them
// is in the ledger by now: the caller commits what Take returns before it calls Next
// again.
func (t *Tailer) layToRest(now time.Time) {
	if t.cfg.Finished == nil || len(t.newCopies) > 0 {
		return
	}
	resting := make(map[*stream]bool)
	for path, all := range t.byPath {
		if t.rescan[path] > 0 || slices.ContainsFunc(all, func(s *stream) bool { return !s.mayRest(now) }) {
			continue
		}
		for _, s := range all {
			resting[s] = true
			t.rest.put(pathKey(path), &s.Generation)
			if !s.absentSince.IsZero() {
				t.rest.absent[s.ID] = s.absentSince.Unix()
			}
		}
	}
	if len(resting) == 0 {
		return
	}
	for at, copy := range t.copies {
		if resting[copy.stream] {
			t.rest.point(inodeKey(at), pathKey(copy.stream.Path))
			delete(t.copies, at)
		}
	}
	t.remove(resting)
}

// mayRest reports whether a stream needs no memory of its own.
func (s *stream) mayRest(now time.Time) bool {
	return mayRest(&s.Generation) && s.taken && !s.changed && !s.isOpen() && !s.queued && !s.metAt.Equal(now) && !s.heldAt.Equal(now)
}

// censusPart is how many paths at rest one scan of a census looks at.
const censusPart = 2000

// callAtRest calls a part of the paths at rest to the census under way, and reports
// whether there were any.
func (t *Tailer) callAtRest() (bool, error) {
	part := t.rest.due[:min(censusPart, len(t.rest.due))]
	t.rest.due = t.rest.due[len(part):]
	for _, path := range part {
		if !t.breathe() {
			return false, nil
		}
		before := len(t.streams)
		if err := t.wake(path); err != nil {
			return false, err
		}
		for _, s := range t.streams[before:] {
			t.rescan[s.Path] = max(t.rescan[s.Path], 1)
		}
	}
	return len(part) > 0, nil
}
