package tailer

import (
	"bytes"
	"io/fs"
	"os"
	"slices"

	"github.com/meterlog/meterlog/internal/logfile"
)

// A file may have several names, by hard or symbolic links, and its generation has
// the sources of all of them. Names come and go. A new name adds its sources for lines
// that are not read yet. A name that is gone keeps its sources for the lines that the
// file had when the scan saw it go.

// named is a followed path that leads to a generation's file, or led there.
type named struct {
	path   string
	until  int64 // lines before this offset count for its sources, too; -1 while it leads there
	beside bool  // it led there while another did: no rotation made it
}

// lead is a name that a scan found, and the followed path that it belongs to.
type lead struct{ name, path string }

// nameInodes notes which names led to each inode when this scan saw them. Links come
// first: the tailer looks for their earlier files by them.
func (t *Tailer) nameInodes(entries []entry) {
	t.leads = make(map[logfile.Inode][]lead, len(entries))
	for _, e := range entries {
		if leads := t.leads[e.Inode]; !slices.ContainsFunc(leads, func(l lead) bool { return l.path == e.path }) {
			t.leads[e.Inode] = append(leads, lead{e.name, e.path})
		}
	}
	for at, leads := range t.leads {
		if len(leads) > 1 {
			slices.SortStableFunc(leads, func(a, b lead) int { return linkRank(a.path) - linkRank(b.path) })
			t.leads[at] = leads
		}
	}
}

func linkRank(name string) int {
	if info, err := os.Lstat(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return 0
	}
	return 1
}

// linksFirst puts the entries of links before the entries of their targets.
func (t *Tailer) linksFirst(entries []entry) {
	rank := func(e entry) int {
		if leads := t.leads[e.Inode]; len(leads) > 1 {
			return slices.IndexFunc(leads, func(l lead) bool { return l.path == e.path })
		}
		return 0
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return rank(a) - rank(b) })
}

// rename takes the names of a generation's file from the scan. The file is the
// generation's: the caller has compared them. A name that is new counts only if it
// leads to this file now. The scan saw it earlier, and the inode may have gone to
// another file since then.
func (t *Tailer) rename(s *stream, e entry) {
	now := t.leads[e.Inode]
	if len(now) == 0 {
		return // no scan has met it
	}
	leadsTo := func(path string) bool { return slices.ContainsFunc(now, func(l lead) bool { return l.path == path }) }
	if s.names == nil {
		s.names = []named{{path: s.Path, until: -1}}
	}
	changed := false
	for i, n := range s.names {
		if n.until < 0 && !leadsTo(n.path) {
			s.names[i].until, changed = e.Size, true
		}
	}
	for _, l := range now {
		i := slices.IndexFunc(s.names, func(n named) bool { return n.path == l.path })
		switch {
		case i >= 0 && s.names[i].until < 0:
		case !t.stillLeads(l.name, s, e):
		case i < 0:
			s.names, changed = append(s.names, named{path: l.path, until: -1}), true
		default:
			s.names[i].until, changed = -1, true
		}
	}
	if !changed {
		return
	}
	gone := func(n named) bool { return n.until >= 0 }
	alone := len(slices.DeleteFunc(slices.Clone(s.names), gone)) == 1
	for i, n := range s.names {
		s.names[i].beside = n.beside || !alone && !gone(n)
	}
	t.applyNames(s)
}

// stillLeads reports whether a name leads to the generation's file. No other file can
// get the inode of an open one. Their states tell closed files apart.
func (t *Tailer) stillLeads(name string, s *stream, e entry) bool {
	at, err := t.disk.State(name)
	return err == nil && at.Inode == e.Inode && (s.isOpen() || at == e.FileState)
}

// nameSoon adds a name that came just now, so that what is read before the next scan
// counts for its sources too.
func (t *Tailer) nameSoon(name string) {
	if len(t.sourcesOf(name)) == 0 || t.pathOf(name, nil) != name {
		return
	}
	at, err := t.disk.State(name)
	s := t.byInode[at.Inode]
	if err != nil || s == nil || s.Path == name || !s.isOpen() { // a closed file may have lost its inode to this one
		return
	}
	if s.names == nil {
		s.names = []named{{path: s.Path, until: -1}}
	}
	if !slices.ContainsFunc(s.names, func(n named) bool { return n.path == name }) {
		s.names = append(s.names, named{path: name, until: -1})
		t.applyNames(s)
	}
}

// applyNames works out the generation's sources, and how each calls its file.
func (t *Tailer) applyNames(s *stream) {
	for _, n := range s.names {
		t.goBy(s, n.path)
	}
	gone := func(n named) bool { return n.until >= 0 && n.until <= s.Offset }
	if slices.ContainsFunc(s.names, func(n named) bool { return !gone(n) }) {
		s.names = slices.DeleteFunc(s.names, gone)
	}
	s.sources, s.under = nil, nil
	for _, source := range t.cfg.Sources {
		for _, n := range s.names {
			if source.follows(n.path) {
				s.sources, s.under = append(s.sources, source.Name), append(s.under, n.path)
				break
			}
		}
	}
}

// mostNames bounds what is remembered of a file that links lead to.
const mostNames = 16

// goBy notes a name that leads to the stream's file. Copies and rotated forms of the
// file may have that name too.
func (t *Tailer) goBy(s *stream, name string) {
	if s.goesBy(name) || len(s.Names) >= mostNames {
		return
	}
	s.Names, s.changed = append(s.Names, name), true
	t.indexUnder(name, s)
}

// indexUnder adds a stream to the index by path, under another of its names, if a source
// follows that.
func (t *Tailer) indexUnder(name string, s *stream) {
	if len(t.sourcesOf(name)) > 0 {
		t.byPath[name] = append(t.byPath[name], s)
	}
}

// goesBy reports whether the name leads to the stream's file, or led there.
func (s *stream) goesBy(name string) bool { return name == s.Path || slices.Contains(s.Names, name) }

// family returns the streams that have a path in common with this one, with itself.
func (t *Tailer) family(s *stream) []*stream {
	all := t.byPath[s.Path]
	if len(s.Names) == 0 {
		return all
	}
	all = slices.Clone(all)
	for _, name := range s.Names {
		for _, other := range t.byPath[name] {
			if !slices.Contains(all, other) {
				all = append(all, other)
			}
		}
	}
	return all
}

// isNamed reports whether a link beside the generation's path leads to its file
// still, by the inodes of the names that the scan has listed.
func (s *stream) isNamed(at map[string]logfile.Inode) bool {
	return slices.ContainsFunc(s.names, func(n named) bool { return n.beside && n.until < 0 && at[n.path] == s.inode() })
}

// sameNames returns how many bytes of data, whole lines from the position on, count
// for the same sources.
func (t *Tailer) sameNames(s *stream, data []byte) int {
	whole := len(data)
	for _, n := range s.names {
		switch rest := n.until - s.Offset; {
		case n.until < 0:
		case rest <= 0 && len(s.names) > 1:
			before := len(s.names)
			if t.applyNames(s); len(s.names) < before {
				return t.sameNames(s, data)
			}
		case rest <= 0:
		case rest < int64(whole):
			if whole = bytes.LastIndexByte(data[:rest], '\n') + 1; whole == 0 {
				whole = bytes.IndexByte(data, '\n') + 1
			}
		}
	}
	return whole
}

// otherNames returns the names of the file beside its sources, or nil where all of
// them call it by the path.
func (s *stream) otherNames() []string {
	if slices.ContainsFunc(s.under, func(name string) bool { return name != s.Path }) {
		return s.under
	}
	return nil
}
