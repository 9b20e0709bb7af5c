package tailer

import "github.com/meterlog/meterlog/internal/logfile"

// packed is whether a file in this state is compressed.
type packed struct {
	logfile.FileState
	yes bool
}

// tellArchives finds the rotated files that are compressed although their names do not
// say so. multilog, svlogd and s6-log make such files.
func (t *Tailer) tellArchives(entries []entry) {
	before := t.packed
	t.packed = make(map[logfile.Inode]packed)
	for i, e := range entries {
		if !e.rotated() || e.archived {
			continue
		}
		if !t.breathe() {
			return
		}
		if known, ok := before[e.Inode]; ok && known.FileState == e.FileState {
			t.packed[e.Inode] = known
		}
		entries[i] = t.tellArchive(e)
	}
}

// tellArchive returns the entry, as archived if its file is compressed. It reads the
// first bytes of files that are new or have changed.
func (t *Tailer) tellArchive(e entry) entry {
	if e.archived || !e.rotated() && !e.anyInode {
		return e
	}
	if s := t.byInode[e.Inode]; s != nil && (s.isOpen() || s.seen == e.FileState) {
		e.archived = s.Compressed
		return e
	}
	if known, ok := t.packed[e.Inode]; ok && known.FileState == e.FileState {
		e.archived = known.yes
		return e
	}
	if copy, ok := t.copies[e.Inode]; ok && copy.FileState == e.FileState {
		return e // nobody opens it
	}
	f, err := t.openFile(e)
	if err != nil {
		return e
	}
	defer f.Close()
	if form, err := logfile.CompressionOf(f); err == nil {
		e.archived = form != ""
		t.packed[e.Inode] = packed{e.FileState, e.archived}
	}
	return e
}
