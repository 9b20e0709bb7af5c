package tailer

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// scene is a folder of logs and a tailer that follows some of them, with a
// clock that the test moves and commits that it makes.
type scene struct {
	t         *testing.T
	dir       string
	now       time.Time
	cfg       Config
	tailer    *Tailer
	committed map[int64]meter.Generation
	copies    knownCopies
	globs     map[string]time.Time
	anomalies meter.Tally
	inMemory  bool // finished generations stay in memory
}

// follow begins a scene in which patterns below its folder are followed.
func follow(t *testing.T, patterns ...string) *scene {
	s := &scene{t: t, dir: t.TempDir(), now: time.Now(), committed: make(map[int64]meter.Generation), globs: make(map[string]time.Time)}
	for _, p := range patterns {
		s.cfg.Sources = append(s.cfg.Sources, Source{Name: fmt.Sprintf("s%d", len(s.cfg.Sources)), Paths: []string{s.path(p)}})
	}
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

func (s *scene) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// append writes text to the end of a file, which it makes if need be.
func (s *scene) append(name, text string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	s.check(err)
	_, err = f.WriteString(text)
	s.check(err)
	s.check(f.Close())
	s.check(os.Chtimes(s.path(name), s.now, s.now))
}

// dated has new files made at the scene's time, which goes on with each.
func (s *scene) dated() (made func(name string)) {
	births := make(map[logfile.Inode]int64)
	s.cfg.disk = logfile.OS
	s.cfg.disk.BornAt = func(f logfile.File) int64 {
		info, err := f.Stat()
		s.check(err)
		return births[logfile.FileStateOf(info).Inode]
	}
	return func(name string) {
		s.t.Helper()
		info, err := os.Stat(s.path(name))
		s.check(err)
		s.pass(time.Millisecond)
		births[logfile.FileStateOf(info).Inode] = s.now.UnixNano()
		s.check(os.Chtimes(s.path(name), s.now, s.now))
	}
}

func (s *scene) rename(from, to string) {
	s.t.Helper()
	s.check(os.Rename(s.path(from), s.path(to)))
}

func (s *scene) copy(from, to string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path(from))
	s.check(err)
	s.check(os.WriteFile(s.path(to), text, 0o644))
	s.check(os.Chtimes(s.path(to), s.now, s.now))
}

// compress replaces a file by a compressed one, as gzip does.
func (s *scene) compress(name string) { s.t.Helper(); s.compressAs(name, ".gz") }

func (s *scene) compressAs(name, ext string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	s.check(err)
	info, err := os.Stat(s.path(name))
	s.check(err)
	s.check(os.WriteFile(s.path(name+ext), compressed(s.t, ext, string(text)), 0o644))
	s.check(os.Chtimes(s.path(name+ext), info.ModTime(), info.ModTime()))
	s.check(os.Remove(s.path(name)))
}

func (s *scene) start() {
	s.cfg.Known, s.cfg.Copies = s.known(), s.copies.list()
	s.cfg.Globs, s.cfg.NoWatch = s.globs, true
	if !s.inMemory {
		s.cfg.Finished = func(ids []int64) ([]meter.Generation, []meter.Copy, error) {
			return finished(s.committed, s.copies, ids)
		}
	}
	s.tailer = New(s.cfg)
}

func (s *scene) known() []meter.Generation {
	var known []meter.Generation
	for _, id := range slices.Sorted(maps.Keys(s.committed)) {
		known = append(known, s.committed[id])
	}
	return known
}

// knownCopies are the copies that a ledger would know of.
type knownCopies map[logfile.Inode]meter.Copy

func (v *knownCopies) take(copies []meter.Copy) {
	if *v == nil {
		*v = make(knownCopies)
	}
	for _, c := range copies {
		if at := (logfile.Inode{Dev: c.Dev, Ino: c.Ino}); c.Of == 0 {
			delete(*v, at)
		} else {
			(*v)[at] = c
		}
	}
}

// finished returns generations as a ledger would, by their IDs.
func finished(all map[int64]meter.Generation, copies knownCopies, ids []int64) (found []meter.Generation, of []meter.Copy, err error) {
	for _, id := range ids {
		g := all[id]
		if g.State != meter.Done && g.State != meter.Gap {
			return nil, nil, fmt.Errorf("generation %d is at rest, and %s", id, g.State)
		}
		found = append(found, g)
	}
	for _, c := range copies {
		if slices.Contains(ids, c.Of) {
			of = append(of, c)
		}
	}
	return found, of, nil
}

func (v knownCopies) list() []meter.Copy { return slices.Collect(maps.Values(v)) }

func (s *scene) kill() {
	if s.tailer != nil {
		s.check(s.tailer.breach())
		s.tailer.Close()
	}
	s.tailer = nil
}

// read returns the lines that are there a little later, sorted, without
// committing them.
func (s *scene) read() []string {
	s.t.Helper()
	if s.tailer == nil {
		s.start()
	}
	lines := []string{}
	for range 3 { // what one scan finds may need another to be settled
		s.now = s.now.Add(1100 * time.Millisecond)
		for {
			b, ok := nextOf(s.tailer, s.now)
			if !ok {
				break
			}
			lines = append(lines, splitLines(b.Data)...)
		}
	}
	slices.Sort(lines)
	return lines
}

func splitLines(data []byte) []string {
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func (s *scene) commit() {
	generations, copies, globs := s.tailer.Take(&s.anomalies)
	for _, g := range generations {
		s.committed[g.ID] = g
	}
	s.copies.take(copies)
	for p, at := range globs {
		s.globs[p] = at
	}
}

// expect reads and commits, and wants these lines in any order.
func (s *scene) expect(want ...string) {
	s.t.Helper()
	got := s.read()
	s.commit()
	s.compare(got, want)
}

// expectInAll wants lines that are read now or 20 seconds later, each once.
func (s *scene) expectInAll(want ...string) {
	s.t.Helper()
	got := s.read()
	s.pass(20 * time.Second)
	s.compare(append(got, s.read()...), want)
}

func (s *scene) compare(got, want []string) {
	s.t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Fatalf("read %q, want %q", short(got), short(want))
	}
}

func short(lines []string) []string {
	out := []string{}
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%.40s", l))
	}
	return out
}

func (s *scene) pass(d time.Duration) { s.now = s.now.Add(d) }

func (s *scene) wantAnomalies(want map[meter.AnomalyKind]int64) {
	s.t.Helper()
	got := map[meter.AnomalyKind]int64{}
	for key, a := range s.anomalies.Anomalies {
		if a.Count != 0 {
			got[key.Kind] += a.Count
		}
	}
	if len(got) != len(want) {
		for key, a := range s.anomalies.Anomalies {
			s.t.Logf("%v: %+v", key, *a)
		}
		s.t.Fatalf("anomalies %v, want %v", got, want)
	}
	for kind, n := range want {
		if got[kind] != n {
			s.t.Fatalf("anomalies %v, want %v", got, want)
		}
	}
}

func lines(prefix string, n int) (text string, all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s %d", prefix, i))
	}
	return strings.Join(all, "\n") + "\n", all
}

// shift makes room for a rotated form, as logrotate does.
func (s *scene) shift(name string) {
	s.t.Helper()
	for i := 9; i >= 1; i-- {
		if _, err := os.Stat(s.path(fmt.Sprintf("%s.%d", name, i))); err == nil {
			s.rename(fmt.Sprintf("%s.%d", name, i), fmt.Sprintf("%s.%d", name, i+1))
		}
	}
}

// nextOf returns the next block with lines, however many steps come before it.
func nextOf(t *Tailer, now time.Time) (meter.Block, bool) {
	for {
		b, ok := t.Next(now)
		if !ok || len(b.Data) > 0 {
			return b, ok
		}
	}
}
