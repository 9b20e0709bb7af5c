package tailer

import (
	"bytes"
	"cmp"
	"errors"
	"hash/maphash"
	"io"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// relation says how the content of a file agrees with a generation.
type relation int

const (
	unrelated relation = iota // it begins otherwise
	whole                     // it holds all that was consumed
	part                      // it is only a beginning of the generation
	forked                    // it begins like the generation and goes on otherwise
	headless                  // it holds the generation's last lines, not from its beginning
)

// place says where the generation's own file is.
type place int

const (
	gone   place = iota // nowhere: removed, truncated or replaced
	there               // this scan met it
	hidden              // it was not looked for yet
)

// facts are what one scan knows of a file and of a generation with the same
// beginning. The agreement is evidence: see isEvidence.
type facts struct {
	relation relation
	own      place
	finished bool // the generation
	more     bool // the file holds more than was consumed
	beyond   bool // the file holds bytes that the generation's own file does not
	settled  bool // nobody writes to the file any more
	busy     bool // the generation's own file was removed and not read to its end yet
	unproved bool // only the first bytes of a part could be compared
}

// answer says what a file is to a generation.
type answer int

const (
	stranger answer = iota // it is another file
	goesOn                 // the generation goes on in it
	copied                 // it counts nothing
	cutOff                 // the generation lost its end, and goes on behind the last line that is left
	trimmed                // the generation lost its beginning, and goes on behind its last line
	unclear                // the next scan knows more
	garbage                // it cannot be decompressed, and nobody writes to it any more
)

// judge is the table of what a file can be to a generation.
func judge(f facts) answer {
	switch {
	case f.relation == unrelated:
		return stranger
	case f.own == hidden:
		return unclear
	case f.own == there && (f.relation == forked || f.relation == headless || f.beyond):
		return stranger
	case f.own == there:
		return copied
	case f.relation == headless:
		return trimmed
	case f.relation == forked:
		return cutOff
	case f.relation == whole && (f.more || !f.finished):
		if f.busy {
			return unclear
		}
		return goesOn
	case f.relation == part && f.unproved:
		return stranger
	case f.relation == part && !f.finished && !f.settled:
		return unclear // it may be a copy that is still being written
	}
	return copied
}

// isEvidence reports whether files with this beginning have one content, whatever
// their names: the beginning is long enough, and its lines are not all alike.
func isEvidence(head []byte) bool { return len(head) >= meter.HeadSize && !repeats(head) }

// repeats reports whether the first bytes of a file are one line, again and again.
func repeats(head []byte) bool {
	end := bytes.IndexByte(head, '\n') + 1
	if end == 0 || end == len(head) {
		return logfile.IsBlankData(head)
	}
	return bytes.Equal(head[end:], head[:len(head)-end])
}

// isTimeless reports whether a new file may well have just this content: one line,
// once or again and again.
func isTimeless(head []byte) bool {
	return logfile.Alike(head) || repeats(head) || bytes.IndexByte(head, '\n')+1 == len(head)
}

var headSeed = maphash.MakeSeed()

// beginning is how many bytes find a generation that was hardly read yet.
const beginning = 64

func beginningKey(head []byte) uint64 { return maphash.Bytes(headSeed, head[:beginning]) }

// headKey is what generations are found by that may begin like a file.
func headKey(head []byte) uint64 { return maphash.Bytes(headSeed, head[:meter.HeadSize]) }

// index takes a generation into the index by content, once its beginning is known.
func (t *Tailer) index(s *stream) {
	if s.opening != nil && s.Offset > 0 {
		t.takeFromIndex(s)
		s.opening = nil
	}
	switch {
	case s.indexed:
	case s.opening != nil && isEvidence(s.opening):
		s.key, s.indexed = headKey(s.opening), true
		t.byHead[s.key] = append(t.byHead[s.key], s)
	case isEvidence(s.Head):
		t.takeFromIndex(s)
		s.key, s.indexed = headKey(s.Head), true
		t.byHead[s.key] = append(t.byHead[s.key], s)
	case !s.begins && len(s.Head) >= beginning && len(s.Head) < meter.HeadSize:
		s.key, s.begins = beginningKey(s.Head), true
		t.byHead[s.key] = append(t.byHead[s.key], s)
	}
}

// takeFromIndex takes a generation out of the index by content.
func (t *Tailer) takeFromIndex(s *stream) {
	if !s.indexed && !s.begins {
		return
	}
	s.indexed, s.begins = false, false
	t.byHead[s.key] = slices.DeleteFunc(t.byHead[s.key], func(other *stream) bool { return other == s })
	if len(t.byHead[s.key]) == 0 {
		delete(t.byHead, s.key)
	}
}

// kin returns the generations that begin as the file does, as far as that is
// evidence, the newest first.
func (t *Tailer) kin(head []byte) ([]*stream, error) {
	if !isEvidence(head) {
		return nil, nil
	}
	if err := t.wakeBehind(headKey(head)); err != nil {
		return nil, err
	}
	all := t.byHead[headKey(head)]
	kin := make([]*stream, 0, len(all))
	for i := range all {
		if s := all[len(all)-1-i]; bytes.Equal(s.Head, head[:meter.HeadSize]) || bytes.Equal(s.opening, head[:meter.HeadSize]) {
			kin = append(kin, s)
		}
	}
	for _, s := range t.byHead[beginningKey(head)] { // its file tells the rest
		if s.file == nil || s.finished() || !bytes.HasPrefix(head, s.Head) {
			continue
		}
		if begins, err := logfile.ReadAt(s.file, 0, meter.HeadSize); err == nil && bytes.Equal(begins, head[:meter.HeadSize]) {
			kin = append(kin, s)
		}
	}
	return kin, nil
}

// placeOf returns where the generation's own file is, by the last scan. A family
// that the scan did not list is listed by the next.
func (t *Tailer) placeOf(s *stream) place {
	switch {
	case s.file != nil:
		if isUnlinked(s.file) {
			return gone
		}
		return there
	case s.State == meter.Lost: // also if a copy of its beginning is there
		return gone
	case s.arch != nil || s.metAt.Equal(t.lastScan) || s.heldAt.Equal(t.lastScan):
		return there
	case t.listedForms[s.Path]:
		return gone
	}
	if at, err := t.disk.State(s.lastName()); err == nil && at.Inode == s.inode() {
		return there
	}
	t.rescan[s.Path] = max(t.rescan[s.Path], 2)
	return hidden
}

// relate compares a plain file with a generation whose beginning it has. at is
// where the file goes on, if it is forked.
func (t *Tailer) relate(f logfile.File, size int64, s *stream) (facts, int64, error) {
	if s.Offset == 0 { // its own file tells the rest
		begins, err := s.beginsWith(t.disk, f, size)
		if begins {
			return facts{relation: part, own: there}, 0, err
		}
		return facts{}, 0, err
	}
	facts := facts{own: t.placeOf(s), finished: s.finished(), more: size > s.Offset, busy: t.isBusy(s)}
	var at int64
	s.Trail = t.lastTrail(s)
	match, err := logfile.Compare(f, size, &s.Generation)
	switch match {
	case logfile.Same:
		facts.relation = whole
		facts.beyond = facts.finished && facts.more
	case logfile.Shorter:
		facts.relation = part
		proved, holds, endErr := t.endHolds(f, size, s, facts.own)
		if err = errors.Join(err, endErr); !holds {
			facts.relation = forked
		}
		facts.unproved = !proved && facts.finished
	case logfile.Unread:
		return facts, 0, err
	default:
		facts.relation = forked
	}
	if facts.relation == forked && facts.own == gone {
		c, found, cutErr := s.cutOf(f, size, match)
		if at, err = c.at, cutErr; !found || facts.finished && !c.exact {
			facts.relation = unrelated
		}
	}
	if facts.own == there && !facts.finished && facts.relation != forked {
		var begins bool
		begins, err = s.beginsWith(t.disk, f, size)
		facts.beyond = !begins
		if errors.Is(err, logfile.ErrReplaced) { // the generation's file was truncated, not this one
			facts.own, err = hidden, nil
		}
	}
	if s.arch != nil && !s.finished() {
		facts.own = hidden // its end is still to come
	}
	return facts, at, err
}

// endHolds reports whether the end of a file that ends before the position is
// where it was read. It is proved by the trail, or by a file that is there.
func (t *Tailer) endHolds(f io.ReaderAt, size int64, s *stream, own place) (proved, holds bool, err error) {
	lines := logfile.TrailLines(s.Trail)
	i := slices.IndexFunc(lines, func(l logfile.ReadLine) bool { return l.End >= size })
	if i > 0 || i == 0 && lines[0].End == size {
		last := lines[i]
		if size < last.End {
			last = lines[i-1]
		}
		text, err := logfile.ReadAt(f, last.Start, int(size-last.Start))
		if err != nil || int64(len(text)) < last.End-last.Start {
			return false, false, err
		}
		line, rest := text[:last.End-last.Start], text[last.End-last.Start:]
		return true, logfile.TrailHash(line) == last.Hash && bytes.IndexByte(rest, '\n') < 0, nil
	}
	if own != there || !s.finished() && s.file == nil {
		return false, true, nil
	}
	held := s.file
	var arch *logfile.Archive
	if held == nil {
		name := cmp.Or(s.holder, s.lastName())
		held, arch, err = t.openEntry(t.tellArchive(entry{name: name, archived: logfile.Compression(name) != "", anyInode: true}))
		if err != nil {
			return false, true, nil
		}
		defer logfile.CloseFile(held)
		defer t.putBack(arch)
	}
	from := max(0, size-meter.MarkSize)
	end, err := logfile.ReadAt(f, from, int(size-from))
	if err != nil {
		return false, true, err
	}
	found := make([]byte, len(end))
	if arch != nil {
		if _, err = arch.ReadAt(found, from); errors.Is(err, logfile.ErrUndecided) {
			return false, true, err
		}
	} else {
		_, err = held.ReadAt(found, from)
	}
	return err == nil, bytes.Equal(found, end), nil
}

func isUnlinked(f logfile.File) bool {
	info, err := f.Stat()
	return err == nil && logfile.FileStateOf(info).Unlinked
}

// isBusy reports whether the generation's own file was removed, and something of it
// is still to be read.
func (t *Tailer) isBusy(s *stream) bool {
	if s.file == nil {
		return false
	}
	info, err := s.file.Stat()
	return err != nil || s.queued || info.Size() != s.readTo
}

// isRandom reports whether a file that begins so was overwritten, as shred does:
// text has fewer different bytes.
func isRandom(head []byte) bool {
	var seen [256]bool
	different := 0
	for _, c := range head {
		if !seen[c] {
			seen[c] = true
			different++
		}
	}
	return len(head) == meter.HeadSize && different >= 200
}

// ask decides what a plain file is before anything of it counts from its first
// byte, and reports whether it may be read now. It may not while that is not
// clear, or if another generation counts what the file holds.
func (t *Tailer) ask(s *stream, now time.Time) (bool, error) {
	if s.arch != nil {
		return t.askArchive(s, now)
	}
	info, err := s.file.Stat()
	if err != nil {
		return false, err
	}
	size := info.Size()
	if shrunk := size < s.seen.Size; shrunk || s.shrunkAt.Equal(t.lastScan) {
		t.seeShrunk(s, shrunk)
		s.seen = logfile.FileStateOf(info)
		return false, nil
	}
	s.seen = logfile.FileStateOf(info)
	head, err := logfile.ReadAt(s.file, 0, meter.HeadSize)
	if err != nil {
		return false, err
	}
	kin, err := t.kin(head)
	if err != nil {
		return false, err
	}
	for _, g := range kin {
		if g == s {
			continue
		}
		facts, at, err := t.relate(s.file, size, g)
		if err != nil {
			return false, err
		}
		facts.settled = t.settled(s.seen, now)
		if answer := judge(facts); answer != stranger {
			return false, t.obey(answer, s, g, at, now)
		}
	}
	if s.State == meter.Rotated && isRandom(head) {
		t.noteCopy(s.seen, &stream{}, now)
		t.retire(s)
		return false, nil
	}
	for _, g := range t.family(s) {
		if g == s || g.finished() && s.Before != g.ID {
			continue
		}
		if s.Before == g.ID && t.placeOf(g) != there {
			end, count, err := logfile.Standing(logfile.TrailLines(g.past), s.file, size)
			switch {
			case err != nil:
				return false, err
			case count >= logfile.LeastRun && !t.settled(s.seen, now):
				return false, t.obey(unclear, s, g, 0, now) // it is being overwritten
			case count >= logfile.LeastRun:
				return false, t.obey(cutOff, s, g, end, now)
			}
		}
		at, err := t.trimmedAt(g, s, size)
		if err != nil {
			return false, err
		}
		if at > 0 {
			return false, t.obey(judge(facts{relation: headless, own: t.placeOf(g), finished: g.finished()}), s, g, at, now)
		}
	}
	if s.asked, s.askedTo = size >= meter.HeadSize, size; s.asked {
		s.opening = head
		t.index(s)
	}
	return true, nil
}

// seeShrunk has a scan look for the copy of what a file held before it was truncated.
// Nothing of the file was read, so nothing else tells of the truncation.
func (t *Tailer) seeShrunk(s *stream, shrunk bool) {
	if shrunk {
		s.shrunkAt, t.nextScan = t.lastScan, t.lastScan
	}
	t.rescan[s.Path] = max(t.rescan[s.Path], 2)
}

// askArchive is ask for a compressed file. It comes after the plain files that wait to
// be asked, since the archive may hold the same. It may also hold the last lines of a
// generation without its beginning.
func (t *Tailer) askArchive(s *stream, now time.Time) (bool, error) {
	if slices.ContainsFunc(t.queue, func(other *stream) bool { return other.isUnasked() && other.file != nil }) {
		t.enqueue(s)
		return false, nil
	}
	e := entry{name: s.name, path: s.Path, FileState: s.seen, archived: true}
	s.arch.Step()
	s.arch.Advance()
	kin, err := t.kin(s.arch.Head)
	if err != nil {
		return false, err
	}
	for _, g := range kin {
		if g == s {
			continue
		}
		answer := t.archiveOrigin(s.arch, e, g, now)
		if s.arch.Pending() {
			t.enqueue(s)
			return false, nil
		}
		if answer != stranger {
			return false, t.obey(answer, s, g, 0, now)
		}
	}
	s.asked = true
	for _, g := range t.family(s) {
		lines := logfile.TrailLines(g.past)
		if g == s || g.finished() || len(lines) == 0 || t.placeOf(g) != gone {
			continue
		}
		archive, err := t.disk.OpenArchive(s.name)
		if err != nil {
			return false, err
		}
		behind, err := logfile.RunIn(lines, io.LimitReader(archive.From(0), mostUnpacked))
		archive.Close()
		at := behind + g.Offset - lines[len(lines)-1].End // the bytes that were read since the trail
		if behind == 0 || err != nil || at < behind {
			continue
		}
		from := max(0, at-meter.MarkSize)
		mark := make([]byte, at-from)
		n, err := s.arch.ReadAt(mark, from)
		if err != nil && !errors.Is(err, io.EOF) {
			s.asked = false
			return false, err
		}
		if n == len(mark) && bytes.HasSuffix(g.Mark, mark) {
			t.cfg.Log.Debug("an archive goes on without its beginning", "name", s.name, "generation", g.ID, "offset", at)
			s.Head, s.Mark, s.Offset, s.readTo, s.changed = bytes.Clone(s.arch.Head), mark, at, at, true
			g.State, g.EOFAt, g.changed = meter.Done, g.Offset, true
			break
		}
	}
	t.enqueue(s)
	return true, nil
}

// mostUnpacked is how many bytes of an archive are searched for the end of a trail.
const mostUnpacked = 1 << 20

// trimmedAt returns where a generation goes on in the file of s, if the file holds
// the generation's last lines and not its beginning; 0 otherwise.
func (t *Tailer) trimmedAt(g, s *stream, size int64) (int64, error) {
	lines := logfile.TrailLines(g.past)
	if len(lines) == 0 || g.Offset < lines[len(lines)-1].End {
		return 0, nil
	}
	at, err := logfile.RunIn(lines, io.NewSectionReader(s.file, 0, size))
	if at == 0 || err != nil {
		return 0, err
	}
	at += g.Offset - lines[len(lines)-1].End // the bytes that were read since the trail
	if at > size {
		return 0, nil
	}
	mark, err := logfile.ReadAt(s.file, max(0, at-int64(len(g.Mark))), int(min(at, int64(len(g.Mark)))))
	if err != nil || !bytes.HasSuffix(g.Mark, mark) {
		return 0, err
	}
	return at, nil
}

// obey does what an answer says of the new generation s and the known one g.
func (t *Tailer) obey(answer answer, s, g *stream, at int64, now time.Time) error {
	e := entry{name: s.name, path: s.Path, FileState: s.seen}
	t.cfg.Log.Debug("content is known", "name", e.name, "generation", g.ID, "path", g.Path, "answer", int(answer), "offset", at)
	switch answer {
	case unclear:
		t.undecided = true
		t.rescan[s.Path] = max(t.rescan[s.Path], 2)
		return nil
	case copied:
		t.noteCopy(s.seen, g, now)
		t.retire(s)
	case goesOn:
		f := s.file
		s.file = nil
		t.retire(s)
		t.attach(g, e, f, nil, now)
	case cutOff, trimmed:
		if err := s.jump(s.file, at); err != nil {
			return err
		}
		s.cutTo = at
		s.asked = true
		if g.State == meter.Lost { // s has its lines
			g.State, g.EOFAt, g.changed = meter.Done, g.Offset, true
		}
		t.enqueue(s)
	case stranger:
		s.asked = true
		t.enqueue(s)
	}
	return nil
}

// retire ends a generation that began for a file which belongs to another, before
// anything of it was read.
func (t *Tailer) retire(s *stream) {
	s.close()
	t.drop(map[*stream]bool{s: true})
}
