package pace

import (
	"fmt"
	"testing"
	"time"
)

var midnight = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// lowest draws 0, with which a pause is the longest that it can be.
func lowest() float64 { return 0 }

func none() int { return 0 }

func TestOffsetsAreSteadyAndEven(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 20 * time.Second, time.Minute, 30 * time.Minute} {
		width := min(interval, Widest)
		var parts [16]int
		for i := range 16_000 {
			name := fmt.Sprintf("machine-%d", i)
			offset := Offset(name, interval)
			if offset != Offset(name, interval) || offset < 0 || offset >= width {
				t.Fatalf("%s waits %v of %v", name, offset, width)
			}
			parts[offset*16/width]++
		}
		for _, n := range parts {
			if n < 850 || n > 1150 { // 1,000, by five standard deviations
				t.Errorf("interval %v: %v agents in each sixteenth", interval, parts)
				break
			}
		}
	}
}

func TestWaitEndsAtTheAgentsOwnMoment(t *testing.T) {
	p := New(Config{Interval: time.Minute, Identity: "a machine"})
	offset := Offset("a machine", time.Minute)
	if offset < time.Second {
		t.Fatalf("the test needs a machine that waits, not %v", offset)
	}
	for _, row := range []struct {
		name      string
		now, left time.Duration
		want      time.Duration
	}{
		{"at the window's end", 0, time.Hour, offset},
		{"a second later", time.Second, time.Hour, offset - time.Second},
		{"at its moment", offset, time.Hour, 0},
		{"after its moment", 50 * time.Second, time.Hour, 0},
		{"in the next window", time.Minute, time.Hour, offset},
		{"with little of the hour left", 0, reserve, 0},
		{"with just enough left", 0, reserve + offset, offset},
		{"past its hour", 0, -time.Minute, 0},
	} {
		if got := p.Wait(midnight.Add(row.now), row.left); got != row.want {
			t.Errorf("%s: waits %v, want %v", row.name, got, row.want)
		}
	}
	if got := New(Config{Interval: time.Minute}).Wait(midnight, time.Hour); got != 0 {
		t.Errorf("an agent that does not spread waits %v", got)
	}
}

func TestPausesGrowWithTheOutage(t *testing.T) {
	for _, row := range []struct {
		outage time.Duration
		slow   bool
		asked  time.Duration
		want   time.Duration
	}{
		{30 * time.Second, false, 0, 10 * time.Second},
		{2 * time.Minute, false, 0, 20 * time.Second},
		{3 * time.Minute, false, 0, 30 * time.Second},
		{50 * time.Minute, false, 0, 45 * time.Second},
		{30 * time.Second, true, 0, 20 * time.Second},
		{50 * time.Minute, true, 0, 45 * time.Second},
		{30 * time.Second, false, time.Minute, time.Minute},
	} {
		p := New(Config{Interval: time.Minute, Identity: "a machine", Random: lowest})
		now := midnight
		if first := p.Failed(now, row.slow, 0); first != time.Second {
			t.Errorf("the first pause is %v", first)
		}
		for range 10 {
			p.Failed(now, row.slow, 0)
		}
		p.Wait(now.Add(row.outage), time.Hour)
		if got := p.Failed(now.Add(row.outage), row.slow, row.asked); got != row.want {
			t.Errorf("after %v (slow: %v, asked: %v): %v, want %v", row.outage, row.slow, row.asked, got, row.want)
		}
		p.Succeeded(now.Add(row.outage), none)
		if got := p.Failed(now.Add(row.outage), row.slow, 0); got != time.Second {
			t.Errorf("the pauses begin again with %v", got)
		}
	}
}

func TestPausesOfWhatSpreadsNothingStayShort(t *testing.T) {
	p := New(Config{Random: lowest})
	for range 10 {
		p.Failed(midnight, false, 0)
	}
	p.Wait(midnight.Add(time.Hour), time.Hour)
	if got := p.Failed(midnight.Add(time.Hour), false, 0); got != shortOutage {
		t.Error(got)
	}
}

// A request that hangs has used up its pause, but for a second.
func TestHangingIsPartOfThePause(t *testing.T) {
	for taken, want := range map[time.Duration]time.Duration{0: 10 * time.Second, 4 * time.Second: 6 * time.Second, 30 * time.Second: time.Second} {
		p := New(Config{Random: lowest})
		for range 10 {
			p.Failed(midnight, false, 0)
		}
		if wait := p.Wait(midnight, time.Hour); wait != 0 {
			t.Fatal(wait)
		}
		if got := p.Failed(midnight.Add(taken), false, 0); got != want {
			t.Errorf("after a request of %v: %v, want %v", taken, got, want)
		}
	}
}

func TestPausesAreJittered(t *testing.T) {
	p := New(Config{Random: func() float64 { return 0.999999 }})
	if got := p.Failed(midnight, false, 0).Round(time.Millisecond); got != 667*time.Millisecond {
		t.Error(got)
	}
}

// A clock that is set back must not make an outage of it.
func TestPausesBearAClockThatIsSetBack(t *testing.T) {
	p := New(Config{Interval: time.Minute, Identity: "a machine", Random: lowest})
	p.Failed(midnight, false, 0)
	p.Failed(midnight.Add(-24*time.Hour), false, 0)
	p.Succeeded(midnight.Add(-24*time.Hour), none)
	if p.CatchingUp() {
		t.Error("it catches up after a moment")
	}
}

func TestCatchingUp(t *testing.T) {
	for _, row := range []struct {
		interval time.Duration
		outage   time.Duration
		sealed   int
		want     time.Duration // between two requests; 0: at once
	}{
		{time.Minute, 5*time.Minute - 1, 4, 0},
		{time.Minute, 5 * time.Minute, 5, 24 * time.Second},
		{time.Minute, 50 * time.Minute, 25, 24 * time.Second},
		{time.Minute, 50 * time.Minute, 50 * 25, 24 * time.Second},
		{time.Minute, 50 * time.Minute, 50 * 100, 6 * time.Second},
		{time.Second, 50 * time.Minute, 3000, 400 * time.Millisecond},
		{30 * time.Minute, 50 * time.Minute, 1, 24 * time.Second},
	} {
		p := New(Config{Interval: row.interval, Identity: "a machine"})
		p.Failed(midnight, false, 0)
		now := midnight.Add(row.outage)
		if got := p.Wait(now, time.Hour); got != 0 {
			t.Errorf("%+v: waits %v while deliveries fail", row, got)
		}
		p.Succeeded(now, func() int { return row.sealed })
		if p.CatchingUp() != (row.want > 0) {
			t.Errorf("%+v: catches up: %v", row, p.CatchingUp())
		}
		if row.want == 0 {
			continue
		}
		if got := p.Wait(now, time.Hour); got != row.want {
			t.Errorf("%+v: waits %v", row, got)
		}
		if got := p.Wait(now, reserve); got != 0 {
			t.Errorf("%+v: a record that soon expires waits %v", row, got)
		}
		p.Requested(now, 2) // of two products
		if got := p.Wait(now.Add(3*row.want/2), time.Hour); got != row.want/2 {
			t.Errorf("%+v: waits %v after two requests", row, got)
		}
		if got := p.Wait(now.Add(-time.Hour), time.Hour); got > row.want {
			t.Errorf("%+v: waits %v since the clock was set back", row, got)
		}
		if p.Idle(); p.CatchingUp() {
			t.Error("it catches up with nothing left")
		}
	}
	p := New(Config{Interval: time.Minute})
	p.Failed(midnight, false, 0)
	if p.Succeeded(midnight.Add(time.Hour), none); p.CatchingUp() {
		t.Error("an agent that does not spread catches up slowly")
	}
}
