package tailer

import (
	"errors"
	"os"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
)

// inspection is an archive that this process compares with what it knows, step by
// step. It keeps its answers until a scan no longer asks.
type inspection struct {
	*logfile.Archive
	name  string
	at    logfile.FileState
	asked time.Time // the scan that last asked for it
	turn  int       // when it last went on: the lowest is next
}

// openArchive opens the entry's compressed file. It goes on with an inspection of an
// earlier scan.
func (t *Tailer) openArchive(e entry) (*logfile.Archive, error) {
	if t.surveying {
		t.undecided = true
		return nil, logfile.ErrUndecided
	}
	if e.anyInode {
		at, err := t.disk.State(e.name)
		if err != nil {
			return nil, err
		}
		e.FileState = at
	}
	i := t.inspected[e.Inode]
	if i != nil && i.at != e.FileState {
		t.endInspection(i)
		i = nil
	}
	if i == nil {
		var err error
		if i, err = t.inspect(e); err != nil {
			if !logfile.IsMissing(err) && !errors.Is(err, errCrowded) {
				t.fail(e.name, err)
			}
			return nil, err
		}
	}
	if !i.asked.Equal(t.lastScan) {
		i.asked = t.lastScan
		i.Step()
	}
	err := i.Begin()
	switch {
	case errors.Is(err, logfile.ErrUndecided):
		t.undecided = true
		return nil, err
	case err != nil:
		t.fail(e.name, err)
		t.endInspection(i)
		return nil, err
	}
	return i.Archive, nil
}

// inspect begins an inspection.
func (t *Tailer) inspect(e entry) (*inspection, error) {
	if t.archives > 0 && t.archives+weight(e.name) > min(maxWeight, t.cfg.MaxOpen/8) {
		t.outOfDescriptors = true
		t.passed++
		return nil, errCrowded
	}
	f, err := t.disk.Open(e.name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && logfile.FileStateOf(info).Inode != e.Inode {
		err = os.ErrNotExist // renamed since: the next scan sees where to
		t.rescan[e.path] = 2
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	i := &inspection{Archive: logfile.NewArchive(f), name: e.name, at: e.FileState}
	t.inspected[e.Inode] = i
	t.archives += weight(e.name)
	return i, nil
}

// inspectionOf returns the inspection that an archive belongs to, or nil.
func (t *Tailer) inspectionOf(a *logfile.Archive) *inspection {
	for _, i := range t.inspected {
		if i.Archive == a {
			return i
		}
	}
	return nil
}

// putBack ends the use of an archive. One that took more than a step stays open
// until the scan ends, or a later one if it has not come to its end.
func (t *Tailer) putBack(a *logfile.Archive) {
	if a == nil {
		return
	}
	if i := t.inspectionOf(a); i == nil {
		a.Close()
	} else if !a.Stepped() {
		t.endInspection(i)
	}
}

// keep takes an archive out of the inspections: a generation has it now.
func (t *Tailer) keep(a *logfile.Archive) {
	if i := t.inspectionOf(a); i != nil {
		delete(t.inspected, i.at.Inode)
		t.archives -= weight(i.name)
	}
}

func (t *Tailer) endInspection(i *inspection) {
	i.Close()
	delete(t.inspected, i.at.Inode)
	t.archives -= weight(i.name)
}

// endInspections ends the inspections that the scan did not ask for, or whose answers
// it has taken.
func (t *Tailer) endInspections() {
	for _, i := range t.inspected {
		if !i.asked.Equal(t.lastScan) || !i.Pending() {
			t.endInspection(i)
		}
	}
}

// inspectOn lets one archive go on for a step, each in its turn, and reports whether
// there was one. When the archive has its answer, the next scan is due.
func (t *Tailer) inspectOn(now time.Time) bool {
	var turn *inspection
	for _, i := range t.inspected {
		if i.Pending() && (turn == nil || i.turn < turn.turn) {
			turn = i
		}
	}
	if turn == nil {
		return false
	}
	t.turns++
	turn.turn = t.turns
	turn.Step()
	if turn.Advance(); !turn.Pending() && t.nextScan.After(now) {
		t.nextScan = now
	}
	return true
}
