package tailer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// jobs begins a scene in which each job wrote a file of its own, and is over.
func jobs(t *testing.T, n int) *scene {
	s := follow(t, "*.log")
	var want []string
	for i := range n {
		s.append(fmt.Sprintf("job-%d.log", i), fmt.Sprintf("done %d\n", i))
		want = append(want, fmt.Sprintf("done %d", i))
	}
	s.expect(want...)
	for i := range n {
		s.rename(fmt.Sprintf("job-%d.log", i), fmt.Sprintf("job-%d.log.1", i))
	}
	s.expect()
	for range 3 {
		s.pass(2 * time.Minute)
		s.expect()
	}
	return s
}

func (s *scene) wantAtRest(want int) {
	s.t.Helper()
	resting := len(s.tailer.rest.ids)
	for _, others := range s.tailer.rest.others {
		resting += len(others)
	}
	if resting != want {
		s.t.Errorf("%d generations are at rest and %d are not, want %d at rest", resting, len(s.tailer.streams), want)
	}
}

// Finished files leave memory. What was read of them does not count again, whatever
// is done with them later.
func TestFinishedFilesRest(t *testing.T) {
	s := jobs(t, 9)
	s.wantAtRest(9)
	if s.append("job-0.log.1", "late\n"); s.tailer.watch == nil { // the next census finds it
		s.rename("job-0.log.1", "job-0.log.2")
		s.rename("job-0.log.2", "job-0.log")
	}
	s.expect("late")
	s.rename("job-1.log.1", "renamed.log") // into the pattern again, under another name
	s.compress("job-2.log.1")
	s.copy("job-3.log.1", "job-3.log.2")
	s.check(os.Remove(s.path("job-4.log.1")))
	s.expect()
	s.append("job-4.log", "another job\n") // perhaps with the inode of the removed file
	s.expect("another job")
	s.pass(2 * time.Hour)
	s.expect()
	s.kill()
	s.expect()
	s.wantAtRest(6) // 2, 3 and 5 to 8
	s.append("job-1.log", "done 1 more\n")
	s.append("renamed.log", "end\n")
	s.expect("done 1 more", "end")
	s.wantAnomalies(nil)
}

// A finished file is found by its first bytes alone.
func TestContentOfFilesAtRest(t *testing.T) {
	s := follow(t, "*.log")
	text := ""
	for i := range 60 {
		text += fmt.Sprintf("%d %s\n", i, strings.Repeat("x", 40))
	}
	s.append("job.log", text)
	s.expect(splitLines([]byte(text))...)
	s.rename("job.log", "job.log.1")
	for range 3 {
		s.expect()
		s.pass(2 * time.Minute)
	}
	s.wantAtRest(1)
	s.check(os.Rename(s.path("job.log.1"), s.path("elsewhere")))
	s.copy("elsewhere", "before the upgrade.log")
	s.expect()
	s.pass(time.Minute)
	s.expect()
	s.wantAnomalies(nil)
}

// The census looks at files at rest too, and forgets those that are gone for a week.
func TestFilesAtRestAreForgotten(t *testing.T) {
	s := jobs(t, 5)
	s.check(os.Remove(s.path("job-0.log.1")))
	s.compress("job-1.log.1")
	s.idle(6)
	s.wantForgotten(0)
	s.idle(2)
	s.wantForgotten(1)
	s.wantAtRest(4)
	s.check(os.Remove(s.path("job-1.log.1.gz")))
	s.idle(9)
	s.wantForgotten(2)
	s.wantAtRest(3)
	s.rename("job-2.log.1", "job-2.log")
	s.append("job-2.log", "more\n")
	s.expect("more")
	s.wantAnomalies(nil)
}

// While finished files cannot be read from the ledger, nothing that may be one of them
// counts. Afterwards all does.
func TestLedgerOfFilesAtRestFails(t *testing.T) {
	s := jobs(t, 3)
	s.kill()
	s.start()
	broken := true
	inner := s.tailer.cfg.Finished
	s.tailer.cfg.Finished = func(ids []int64) ([]meter.Generation, []meter.Copy, error) {
		if broken {
			return nil, nil, errors.New("disk I/O error")
		}
		return inner(ids)
	}
	s.rename("job-0.log.1", "job-0.log")
	s.append("job-0.log", "more\n")
	s.append("new.log", "new\n")
	s.expect()
	broken = false
	s.expect("more", "new")
	s.wantAnomalies(nil)
}

// Random jobs write, end, and have their files renamed, compressed, copied, removed and
// brought back. A follower whose finished files rest counts the same lines as one that
// keeps all in memory.
func TestRestChangesNothing(t *testing.T) {
	runs := 15
	if *historyFlag != 300 || *seedFlag >= 0 {
		runs = *historyFlag
	}
	first := *firstFlag
	if *seedFlag >= 0 {
		first, runs = *seedFlag, 1
	}
	for seed := first; seed < first+int64(runs); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { restAgainstMemory(t, rand.New(rand.NewPCG(uint64(seed), 9))) })
	}
}

// settle reads until nothing comes any more, however busy the machine is, and returns
// the lines.
func (s *scene) settle() (lines []string) {
	for quiet, rounds := 0, 0; quiet < 2 && rounds < 100; quiet, rounds = quiet+1, rounds+1 {
		read := s.read()
		s.commit()
		lines = append(lines, read...)
		if len(read) > 0 || len(s.tailer.inspected) > 0 || len(s.tailer.queue) > 0 {
			quiet = -1
		}
	}
	slices.Sort(lines)
	return lines
}

func restAgainstMemory(t *testing.T, random *rand.Rand) {
	pattern := []string{"*.log", "job*", "job-?*.log"}[random.IntN(3)]
	resting := follow(t, pattern)
	awake := follow(t, pattern)
	awake.dir = resting.dir
	awake.cfg.Sources[0].Paths[0] = resting.path(pattern)
	awake.inMemory = true
	var did []string
	note := func(format string, args ...any) { did = append(did, fmt.Sprintf(format, args...)) }
	most := 0
	step := func() {
		got, want := resting.settle(), awake.settle()
		if !slices.Equal(got, want) {
			t.Fatalf("at rest %q, in memory %q, after:\n%s", short(got), short(want), strings.Join(did, "\n"))
		}
		most = max(most, len(resting.tailer.rest.ids))
	}
	pass := func(d time.Duration) { resting.pass(d); awake.pass(d); note("%v pass", d); step() }
	lines := 0
	text := func() string {
		var b strings.Builder
		for range 1 + random.IntN(40) {
			lines++
			fmt.Fprintf(&b, "%d %s\n", lines, strings.Repeat("x", random.IntN(80)))
		}
		return b.String()
	}
	resting.append("job-0.log", text())
	step()
	for n := 1; n < 120; n++ {
		files, err := os.ReadDir(resting.dir)
		resting.check(err)
		name := files[random.IntN(len(files))].Name()
		plain := !strings.HasSuffix(name, ".gz")
		to := []string{name + ".1", "copy-" + name, fmt.Sprintf("job-%d.log", random.IntN(n)), strings.TrimSuffix(name, ".1")}[random.IntN(4)]
		if _, err := os.Lstat(resting.path(to)); err == nil || len(to) > 60 {
			to = fmt.Sprintf("job-%d.log.%d", n, random.IntN(3))
		}
		switch what := random.IntN(12); {
		case what < 3 || len(files) < 3:
			name = fmt.Sprintf("job-%d.log", n)
			note("a job writes %s", name)
			resting.append(name, text())
		case what == 3 && plain:
			note("%s grows", name)
			resting.append(name, text())
		case what < 6:
			note("%s becomes %s", name, to)
			resting.rename(name, to)
		case what == 6 && plain:
			note("%s is compressed", name)
			resting.compress(name)
		case what == 7:
			note("%s is removed", name)
			resting.check(os.Remove(resting.path(name)))
		case what == 8:
			note("%s is copied to %s", name, to)
			resting.copy(name, to)
		case what == 9:
			note("restart")
			resting.kill()
			awake.kill()
		case what == 10:
			pass(time.Hour + time.Minute)
		default:
			pass(2 * time.Minute)
		}
		if random.IntN(3) > 0 {
			step()
		}
	}
	for range 3 {
		pass(time.Minute)
	}
	resting.check(resting.tailer.breach())
	if most == 0 {
		t.Error("nothing was at rest")
	}
}
