package journal

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// machine is a machine with a clock that can be set, and a ledger for one Clock.
type machine struct {
	t      *testing.T
	now    time.Time
	every  time.Duration
	clock  *Clock
	ledger map[int64]meter.Generation
	lastID int64

	given  map[int64]int // stretches in the ledger, by their beginning
	missed int64         // in the ledger
	batch  []int64       // given since the last commit
}

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func newMachine(t *testing.T, every time.Duration) *machine {
	m := &machine{t: t, now: moved(noon.Add(30*time.Second), 0), every: every, ledger: make(map[int64]meter.Generation), given: make(map[int64]int)}
	m.start(time.Time{})
	return m
}

func (m *machine) start(since time.Time) {
	var known []meter.Generation
	for _, g := range m.ledger {
		known = append(known, g)
	}
	m.clock = NewClock(ClockConfig{
		Source: "up", Path: "clock:up", Every: m.every, Known: known, Since: since,
		NewID: func() int64 { m.lastID++; return m.lastID },
	})
	m.look()
}

// look reads all that the clock has.
func (m *machine) look() {
	for {
		b, ok := m.clock.Next(m.now)
		if !ok {
			return
		}
		lines := strings.Split(strings.TrimSpace(string(b.Data)), "\n")
		if len(lines) != len(b.Events) {
			m.t.Fatalf("%d lines and %d events", len(lines), len(b.Events))
		}
		for i, e := range b.Events {
			if want := time.Unix(e.To-1, 0).UTC().Format(time.RFC3339); lines[i] != want {
				m.t.Errorf("the event of %d to %d is %q, want %q", e.From, e.To, lines[i], want)
			}
			m.batch = append(m.batch, e.From)
		}
	}
}

func (m *machine) commit() {
	var tally meter.Tally
	for _, g := range m.clock.Take(&tally) {
		m.ledger[g.ID] = g
	}
	for _, a := range tally.Anomalies {
		m.missed += a.Count
	}
	for _, start := range m.batch {
		m.given[start]++
		if m.given[start] > 1 {
			m.t.Errorf("the stretch of %s is given twice", time.Unix(start, 0).UTC())
		}
	}
	m.batch = nil
}

// run lets so much time pass, while the agent looks every few seconds.
func (m *machine) run(d time.Duration) {
	for end := m.now.Add(d); m.now.Before(end); {
		m.now = m.now.Add(min(5*time.Second, end.Sub(m.now)))
		m.look()
	}
	m.commit()
}

// set sets the clock: only its wall time, as the monotonic one goes on.
func (m *machine) set(by time.Duration) { m.now = moved(m.now, by) }

func (m *machine) expect(given int, missed int64) {
	m.t.Helper()
	if len(m.given) != given || m.missed != missed {
		m.t.Errorf("%d stretches are given and %d missed, want %d and %d", len(m.given), m.missed, given, missed)
	}
}

func TestClockGivesEachStretchThatEnds(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(10 * time.Minute) // from 12:00:30
	m.expect(10, 0)
	if _, ok := m.given[noon.Unix()]; !ok {
		t.Error("the stretch in which the agent was started is not given at its end")
	}
}

func TestClockMissesWhatEndsWhileItIsDown(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(2 * time.Minute)
	m.now = m.now.Add(5 * time.Minute)
	m.start(time.Time{})
	m.run(time.Minute)
	m.expect(3, 5)
}

// A kill before the first stretch ends: the ledger knows since when.
func TestClockKilledInItsFirstStretch(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.commit()
	m.now = m.now.Add(2 * time.Minute)
	m.start(time.Time{})
	m.run(time.Minute)
	m.expect(1, 2)
}

func TestClockKilledBeforeTheCommit(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(time.Minute)
	m.now = m.now.Add(time.Minute)
	m.look()
	m.batch = nil // killed: neither position nor count
	m.start(time.Time{})
	m.run(time.Minute)
	m.expect(2, 1)
}

func TestClockGoesOnOverAReload(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(29 * time.Second)
	seen := m.clock.Seen()
	m.now = m.now.Add(3 * time.Second) // the stretch ends meanwhile
	m.start(seen)
	m.run(time.Minute)
	m.expect(2, 0)
}

// An agent whose ledger cannot be written for long runs anyway.
func TestClockGivesWhatEndsWhileTheLoopIsHeld(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(time.Minute)
	m.now = m.now.Add(10 * time.Minute)
	m.look()
	m.commit()
	m.expect(11, 0)
}

func TestClockMissesWhatEndsWhileTheMachineSleeps(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(time.Minute)
	m.set(10 * time.Minute)
	m.run(time.Minute)
	m.expect(2, 10)
}

// A clock that is hours ahead at boot must not keep the right time from being
// billed.
func TestClockThatIsSetBackFromTheFuture(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(time.Minute)
	m.set(3 * time.Hour)
	m.run(2 * time.Minute)
	m.expect(3, 180)
	m.set(-3 * time.Hour)
	m.run(5 * time.Minute)
	m.expect(8, 175)
	m.start(time.Time{}) // and a restart knows as much
	m.run(time.Minute)
	m.expect(9, 174)
}

func TestClockThatIsSetBackGivesNothingTwice(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(30 * time.Minute)
	m.set(-20 * time.Minute)
	m.run(20 * time.Minute)
	m.expect(30, 0)
	m.run(5 * time.Minute)
	m.expect(35, 0)
}

func TestClockThatIsSetBackBeforeItsFirstStart(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(2 * time.Minute)
	m.set(-24 * time.Hour)
	m.run(3 * time.Minute)
	m.expect(5, 0)
	m.set(24 * time.Hour)
	m.run(time.Minute)
	m.expect(6, 3)
}

func TestClockWithAnotherLengthGivesNoTimeTwice(t *testing.T) {
	m := newMachine(t, time.Minute)
	m.run(7 * time.Minute) // to 12:07
	m.every = 5 * time.Minute
	m.start(m.clock.Seen())
	m.run(10 * time.Minute)
	m.expect(7+1, 0) // 12:05 to 12:10 is billed in part: the next ends at 12:15
	if m.given[noon.Add(10*time.Minute).Unix()] != 1 {
		t.Error("the first whole stretch is not given")
	}
}

func TestClockOverAnyHistory(t *testing.T) {
	for seed := range uint64(300) {
		chance := rand.New(rand.NewPCG(seed, 1))
		m := newMachine(t, []time.Duration{time.Second, 7 * time.Second, time.Minute, time.Hour}[chance.IntN(4)])
		for range 150 {
			switch chance.IntN(8) {
			case 0:
				m.set(time.Duration(chance.IntN(7200)-3600) * time.Second)
			case 1: // a kill
				m.batch = nil
				m.now = m.now.Add(time.Duration(chance.IntN(300)) * time.Second)
				m.start(time.Time{})
			case 2:
				m.commit()
				m.start(m.clock.Seen())
			default:
				m.run(time.Duration(chance.IntN(90_000)) * time.Millisecond)
			}
		}
		m.commit()
		if m.missed < 0 {
			t.Errorf("%d stretches are missed", m.missed)
		}
		if len(m.clock.runs) > mostRuns {
			t.Errorf("%d runs are kept", len(m.clock.runs))
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestStretchesAreWhatTheClockGave(t *testing.T) {
	g := meter.Generation{ID: 7, Path: "clock:up", Query: "1m0s"}
	b := Stretches(g, noon.Unix(), noon.Add(3*time.Minute).Unix())
	if len(b.Events) != 3 || b.Generation != 7 || !strings.HasPrefix(string(b.Data), "2026-11-25T12:00:59Z\n") {
		t.Errorf("%q, %v", b.Data, b.Events)
	}
}
