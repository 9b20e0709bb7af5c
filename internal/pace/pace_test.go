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
		now := midnight.Add(row.now)
		if got := p.Wait(now, now.Add(-time.Second), row.left); got != row.want {
			t.Errorf("%s: waits %v, want %v", row.name, got, row.want)
		}
	}
	if got := New(Config{Interval: time.Minute}).Wait(midnight, midnight, time.Hour); got != 0 {
		t.Errorf("an agent that does not spread waits %v", got)
	}
}

func TestPauses(t *testing.T) {
	const sec = time.Second
	for _, row := range []struct {
		name     string
		interval time.Duration // 0: nothing is spread
		slow     bool
		asked    time.Duration
		want     []time.Duration
	}{
		{"what spreads nothing", 0, false, 0, []time.Duration{sec, 2 * sec, 4 * sec, 8 * sec, 10 * sec, 10 * sec}},
		{"the same, somebody must act", 0, true, 0, []time.Duration{sec, 2 * sec, 4 * sec, 8 * sec, 16 * sec, 20 * sec}},
		{"a fleet's agent", time.Minute, false, 0, []time.Duration{29800 * time.Millisecond, 29800 * time.Millisecond}},
		{"a long window", 30 * time.Minute, true, 0, []time.Duration{29800 * time.Millisecond, 29800 * time.Millisecond}},
		{"a short window", 10 * sec, false, 0, []time.Duration{4966667 * time.Microsecond, 4966667 * time.Microsecond, 4966667 * time.Microsecond, 8 * sec, 10 * sec}},
		{"the shortest window", sec, false, 0, []time.Duration{sec, 2 * sec, 4 * sec, 8 * sec, 10 * sec, 10 * sec}},
		{"the API asks for more", time.Minute, false, 2 * time.Minute, []time.Duration{2 * time.Minute}},
	} {
		cfg := Config{Interval: row.interval, Random: lowest}
		if row.interval > 0 {
			cfg.Identity = "a machine"
		}
		p := New(cfg)
		for range 2 { // a success begins again
			now := midnight
			for i, want := range row.want {
				if wait := p.Wait(now, now, time.Hour); i > 0 && wait != 0 {
					t.Errorf("%s: waits %v beside its pause", row.name, wait)
				}
				p.begun = now
				if got := p.Failed(now, row.slow, row.asked).Round(time.Microsecond); got != want {
					t.Errorf("%s: pause %d is %v, want %v", row.name, i, got, want)
				}
				now = now.Add(want)
			}
			p.Succeeded(now, 1, none)
			p.Idle(now)
			p.answered = time.Time{}
		}
	}
}

// One failure among deliveries that succeed is no outage.
func TestAFailureAmongSuccesses(t *testing.T) {
	p := New(Config{Interval: time.Minute, Identity: "a machine", Random: lowest})
	p.Succeeded(midnight, 1, none)
	pause := func(after time.Duration) time.Duration {
		p.begun = midnight.Add(after)
		return p.Failed(p.begun, false, 0)
	}
	if got := pause(time.Second); got != time.Second {
		t.Errorf("the pause is %v", got)
	}
	if got := pause(2 * time.Second); got < 29*time.Second {
		t.Errorf("the second pause is %v", got)
	}
	p.Answered(midnight.Add(3 * time.Second))
	if got := pause(4 * time.Second); got != time.Second {
		t.Errorf("after an answer the pause is %v", got)
	}
	p.Succeeded(midnight.Add(time.Minute), 1, none)
	if got := pause(2 * time.Minute); got < 29*time.Second {
		t.Errorf("a minute after an answer the pause is %v", got)
	}
}

// A request that hangs has used up its pause, except for a second.
func TestHangingIsPartOfThePause(t *testing.T) {
	for taken, want := range map[time.Duration]time.Duration{0: 10 * time.Second, 4 * time.Second: 6 * time.Second, 30 * time.Second: time.Second} {
		p := New(Config{Random: lowest})
		for range 10 {
			p.Failed(midnight, false, 0)
		}
		if wait := p.Wait(midnight, midnight, time.Hour); wait != 0 {
			t.Fatal(wait)
		}
		if got := p.Failed(midnight.Add(taken), false, 0); got != want {
			t.Errorf("after a request of %v: %v, want %v", taken, got, want)
		}
	}
}

func TestPausesAreJittered(t *testing.T) {
	highest := func() float64 { return 0.999999 }
	if got := New(Config{Random: highest}).Failed(midnight, false, 0).Round(time.Millisecond); got != 667*time.Millisecond {
		t.Error(got)
	}
	p := New(Config{Random: highest, Interval: time.Minute, Identity: "a machine"})
	p.begun = midnight
	if got := p.Failed(midnight, false, 0).Round(time.Millisecond); got != 29651*time.Millisecond {
		t.Error(got)
	}
}

// A clock that is set back must not make an outage of it.
func TestPausesBearAClockThatIsSetBack(t *testing.T) {
	p := New(Config{Interval: time.Minute, Identity: "a machine", Random: lowest})
	p.Failed(midnight, false, 0)
	p.Failed(midnight.Add(-24*time.Hour), false, 0)
	p.Succeeded(midnight.Add(-24*time.Hour), 25, func() int { return 100 })
	if p.Spacing() {
		t.Error("it catches up after a moment")
	}
}

// What a window holds beside a first request goes evenly over the window.
func TestRequestsOfAWindowAreSpread(t *testing.T) {
	for _, row := range []struct {
		interval      time.Duration
		records, left int
		want          time.Duration // between two requests; 0: at once
	}{
		{time.Minute, 25, 0, 0},
		{time.Minute, 25, 5, 30 * time.Second},
		{time.Minute, 25, 30, 20 * time.Second},
		{time.Minute, 4, 36, 6 * time.Second}, // of many products
		{time.Minute, 25, 59 * 25, time.Second},
		{time.Minute, 25, 60 * 25, 0},
		{time.Second, 25, 5, 0},
		{30 * time.Minute, 25, 5, 30 * time.Second},
	} {
		p := New(Config{Interval: row.interval, Identity: "a machine"})
		now := midnight.Add(45 * time.Second)
		p.Succeeded(now, row.records, func() int { return row.left })
		p.Requested(now, 1)
		if row.want == 0 {
			if p.Spacing() {
				t.Errorf("%+v: requests are spread", row)
			}
			continue
		}
		if got := p.Wait(now, now, time.Hour); got != row.want {
			t.Errorf("%+v: waits %v", row, got)
		}
		now = now.Add(row.want)
		p.Succeeded(now, 5, func() int { t.Error("a round is measured twice"); return 0 })
		if p.Idle(now); p.Spacing() {
			t.Error("requests are spread with nothing left")
		}
	}
}

func TestCatchingUp(t *testing.T) {
	for _, row := range []struct {
		interval      time.Duration
		outage        time.Duration
		records, left int
		want          time.Duration // between two requests; 0: at once
	}{
		{time.Minute, longOutage - 1, 25, 40, 0},
		{time.Minute, longOutage, 25, 0, 0},
		{time.Minute, 50 * time.Minute, 25, 25, 60 * time.Second / 7 * 2},
		{time.Minute, 50 * time.Minute, 25, 49 * 25, 60 * time.Second / 7 * 2},
		{time.Minute, 50*time.Minute - 20*time.Second, 25, 49 * 25, 60 * time.Second / 7 * 2}, // a window is one full request
		{time.Minute, 50 * time.Minute, 25, 50*100 - 25, 60 * time.Second / 7 / 2},
		{time.Minute, 50 * time.Minute, 4, 50*40 - 4, 60 * time.Second / 7 / 5}, // of many products
		{time.Second, 50 * time.Minute, 25, 2975, time.Second / 7 * 2},
		{30 * time.Minute, 50 * time.Minute, 25, 1, 60 * time.Second / 7 * 2},
	} {
		p := New(Config{Interval: row.interval, Identity: "a machine", Random: lowest})
		p.Failed(midnight, false, 0)
		now := midnight.Add(row.outage)
		if got := p.Wait(now, midnight, time.Hour); got != 0 {
			t.Errorf("%+v: waits %v while deliveries fail", row, got)
		}
		p.Succeeded(now, row.records, func() int { return row.left })
		p.Requested(now, 1)
		if p.Spacing() != (row.want > 0) {
			t.Errorf("%+v: catches up: %v", row, p.Spacing())
		}
		if row.want == 0 {
			continue
		}
		half := min(row.interval, time.Minute) / 2
		if got := p.Wait(now, midnight, time.Hour); got != half {
			t.Errorf("%+v: waits %v while the others come back", row, got)
		}
		now = now.Add(half)
		p.Succeeded(now, row.records, none)
		p.Requested(now, 1)
		if got := p.Wait(now, midnight, time.Hour).Round(time.Microsecond); got != row.want.Round(time.Microsecond) {
			t.Errorf("%+v: waits %v", row, got)
		}
		if got := p.Wait(now, midnight, reserve); got != 0 {
			t.Errorf("%+v: a record that soon expires waits %v", row, got)
		}
		p.Requested(now, 2) // of two products
		if got := p.Wait(now.Add(3*row.want/2), midnight, time.Hour).Round(time.Microsecond); got != (row.want / 2).Round(time.Microsecond) {
			t.Errorf("%+v: waits %v after two requests", row, got)
		}
		if got := p.Wait(now.Add(-time.Hour), midnight, time.Hour); got > time.Minute {
			t.Errorf("%+v: waits %v since the clock was set back", row, got)
		}
	}
	p := New(Config{Interval: time.Minute})
	p.Failed(midnight, false, 0)
	if p.Succeeded(midnight.Add(time.Hour), 25, func() int { return 1000 }); p.Spacing() {
		t.Error("an agent that does not spread catches up slowly")
	}
}

// After an outage, what it held back goes at once, and a window that ends then waits
// until the other agents have come back. That is half a minute at most.
func TestCalmAfterAnOutage(t *testing.T) {
	p := New(Config{Interval: time.Minute, Identity: "a machine", Random: lowest})
	offset := Offset("a machine", time.Minute)
	p.Failed(midnight.Add(20*time.Second), false, 0)
	back := midnight.Add(50 * time.Second)
	p.Succeeded(back, 25, func() int { return 5 })
	if got := p.Wait(back, midnight.Add(-time.Second), time.Hour); got != 0 {
		t.Errorf("what was held back waits %v", got)
	}
	p.Idle(back)
	end := midnight.Add(time.Minute)
	if got, want := p.Wait(end, end.Add(-time.Second), time.Hour), max(offset, 20*time.Second); got != want {
		t.Errorf("the next window waits %v, want %v", got, want)
	}
	if got := p.Wait(back.Add(-time.Hour), back, time.Hour); got > Widest {
		t.Errorf("it waits %v since the clock was set back", got)
	}
}

// An outage may end while nothing is left to deliver.
func TestOutageEndsWithNothingLeft(t *testing.T) {
	p := New(Config{Interval: time.Minute, Identity: "a machine", Random: lowest})
	p.Failed(midnight, false, 0)
	p.Idle(midnight.Add(time.Second))
	end := midnight.Add(2 * time.Minute)
	if got, want := p.Wait(end, end, time.Hour), Offset("a machine", time.Minute); got != want {
		t.Errorf("it waits %v, want %v", got, want)
	}
}

func TestDraw(t *testing.T) {
	half := func() float64 { return 0.5 }
	for interval, want := range map[time.Duration]time.Duration{0: 0, time.Minute: 30 * time.Second, time.Hour: 30 * time.Second, 6 * time.Second: 3 * time.Second} {
		p := New(Config{Interval: interval, Identity: "a machine", Random: half})
		if got := p.Draw(time.Minute); got != want {
			t.Errorf("windows of %v: %v, want %v", interval, got, want)
		}
	}
}
