package ledger

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// gauge is a rule with peak, as a test has it.
type gauge struct {
	rule *meter.Rule
	peak *meter.Peak
	each time.Duration
	late string // its source, if that has `late: read`
}

func (g gauge) stretch(at time.Time) meter.Window { return meter.WindowAt(at, g.each) }

func (g gauge) ref(key int, at time.Time) meter.PeakRef {
	return meter.PeakRef{Peak: g.peak, Hash: meter.KeyHash{byte(key)}, Stretch: g.stretch(at)}
}

// gauges are rules of an hour and of a day, with a wait and without, with units of
// several and of one.
func gauges() (all []gauge) {
	for i, per := range []int64{1, 7, 1, 100} {
		g := gauge{each: []time.Duration{time.Hour, 24 * time.Hour}[i/2]}
		g.rule = &meter.Rule{Name: fmt.Sprint("gauge ", i), ProductID: product, SKU: fmt.Sprint(i % 3), Per: per}
		g.peak = &meter.Peak{Rule: g.rule.Name, Form: fmt.Sprint("each ", g.each), Wait: time.Duration(i%2) * 10 * time.Minute}
		if i == 2 {
			g.late = "source"
		}
		all = append(all, g)
	}
	return all
}

// peakState is what a map knows of the peaks.
type peakState struct {
	tops    map[meter.PeakRef]int64
	closed  map[meter.PeakRef]bool // without their keys
	amounts map[string]int64       // counted, by rule
	late    map[string]int64       // lines, by rule
}

// whole returns a stretch without its key.
func whole(ref meter.PeakRef) meter.PeakRef {
	ref.Hash = meter.KeyHash{}
	return ref
}

func (s *peakState) sample(ref meter.PeakRef, amount int64) {
	if s.closed[whole(ref)] {
		s.late[ref.Peak.Rule]++
		return
	}
	s.tops[ref] = max(s.tops[ref], amount)
}

// close closes what is over.
func (s *peakState) close(over func(meter.PeakRef) bool) {
	for ref, amount := range s.tops {
		if over(ref) {
			s.amounts[ref.Peak.Rule] += amount
			s.closed[whole(ref)] = true
			delete(s.tops, ref)
		}
	}
}

type peakSimulation struct {
	*testing.T
	rand    *rand.Rand
	dir     string
	ledger  *Ledger
	now     time.Time
	gauges  []gauge
	offsets map[int64]int64
	model   peakState
}

// sampled is a line of a gauge.
type sampled struct {
	gauge
	ref               meter.PeakRef
	amount            int64
	generation, start int64
}

// TestPeaksAgainstAMap commits random samples, late and in any order, and closes
// stretches, over crashes, restarts and transactions that fail. The ledger must count
// what a map counts. METERLOG_TEST_SEED runs one seed again.
func TestPeaksAgainstAMap(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, 6, rand.Uint64()}
	if text := os.Getenv("METERLOG_TEST_SEED"); text != "" {
		seeds = []uint64{must(strconv.ParseUint(text, 10, 64))}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			s := &peakSimulation{T: t, rand: rand.New(rand.NewPCG(seed, 11)), dir: t.TempDir(), now: noon, gauges: gauges(), offsets: map[int64]int64{},
				model: peakState{map[meter.PeakRef]int64{}, map[meter.PeakRef]bool{}, map[string]int64{}, map[string]int64{}}}
			s.ledger = open(t, s.dir)
			for range 120 {
				s.step()
				s.compare()
				if t.Failed() {
					t.Fatalf("METERLOG_TEST_SEED=%d", seed)
				}
			}
		})
	}
}

func (s *peakSimulation) step() {
	s.now = s.now.Add(time.Duration(s.rand.IntN(2400)-300) * time.Second)
	switch s.rand.IntN(10) {
	case 0:
		s.restart(s.dir)
	case 1:
		s.restart(crash(s.T, s.dir))
	case 2, 3, 4:
		s.close()
	case 5:
		must(s.ledger.Seal(s.Context(), s.now))
	default:
		s.commit()
	}
}

func (s *peakSimulation) restart(dir string) {
	check(s.T, s.ledger.Close())
	s.dir = dir
	s.ledger = open(s.T, dir)
}

// insist has a transaction fail at random places until it succeeds, with crashes.
func (s *peakSimulation) insist(work func(context bool) error) {
	for s.rand.IntN(3) == 0 {
		if work(true) == nil {
			return
		}
		if s.rand.IntN(2) == 0 {
			s.restart(crash(s.T, s.dir))
		}
	}
	check(s.T, work(false))
}

func (s *peakSimulation) commit() {
	var lines []sampled
	offsets := maps.Clone(s.offsets)
	for range s.rand.IntN(60) {
		g, id := s.gauges[s.rand.IntN(len(s.gauges))], 1+s.rand.Int64N(3)
		at := s.now.Add(-time.Duration(s.rand.IntN(7200)) * time.Second)
		lines = append(lines, sampled{g, g.ref(s.rand.IntN(4), at), 1 + s.rand.Int64N(500), id, offsets[id]})
		offsets[id] += 10
	}
	s.insist(func(fails bool) error {
		ctx := s.Context()
		if fails {
			ctx = cancelAfter(ctx, 1+s.rand.IntN(400))
		}
		batch := Batch{Tally: new(meter.Tally)}
		for _, l := range lines {
			batch.Tally.AddSample(l.ref, meter.Sample{Rule: l.rule, Generation: l.generation, Start: l.start, End: l.start + 10, Amount: l.amount, LateRead: l.late})
		}
		for id, offset := range offsets {
			batch.Generations = append(batch.Generations, meter.Generation{ID: id, Path: fmt.Sprint("/logs/", id), Offset: offset, State: meter.Live, EOFAt: -1})
		}
		return s.ledger.Commit(ctx, batch, s.now)
	})
	s.offsets = offsets
	for _, l := range lines {
		s.model.sample(l.ref, l.amount)
	}
}

// close closes stretches as an agent does that has read everything at some time
// before, or that is behind.
func (s *peakSimulation) close() {
	c := Closing{Now: s.now, Read: s.now.Add(-time.Duration(s.rand.IntN(3600)) * time.Second), Interval: time.Minute}
	if s.rand.IntN(3) == 0 {
		c.From, c.Over = s.now.Add(-time.Hour), s.now.Add(-50*time.Minute)
	}
	s.insist(func(fails bool) error {
		ctx := s.Context()
		if fails {
			ctx = cancelAfter(ctx, 1+s.rand.IntN(200))
		}
		_, err := s.ledger.ClosePeaks(ctx, c)
		return err
	})
	s.model.close(func(ref meter.PeakRef) bool {
		end := ref.Stretch.EndTime()
		return !end.Add(ref.Peak.Wait).After(c.Read) || end.After(c.From) && !end.After(c.Over) && !c.Over.IsZero()
	})
}

// compare holds the ledger against the map.
func (s *peakSimulation) compare() {
	amounts, late, held := make(map[string]int64), make(map[string]int64), make(map[string]int64)
	rows, err := s.ledger.db.Query(`SELECT rule, sum(amount) FROM contributions GROUP BY rule`)
	check(s.T, err)
	defer rows.Close()
	for rows.Next() {
		var rule string
		var amount int64
		check(s.T, rows.Scan(&rule, &amount))
		amounts[rule] = amount
	}
	for _, a := range must(s.ledger.Anomalies(s.Context())) {
		if a.Kind == meter.LatePeak {
			late[a.Subject] = a.Count
		} else if a.Kind != meter.LateEvent {
			s.Errorf("%+v", a)
		}
	}
	want := make(map[string]int64)
	for ref, amount := range s.model.tops {
		want[ref.Peak.Rule] += amount
	}
	for _, p := range must(s.ledger.OpenPeaks(s.Context())) {
		held[p.Rule] += p.Amount.Int64()
	}
	if !maps.Equal(amounts, s.model.amounts) || !maps.Equal(late, s.model.late) || !maps.Equal(held, want) {
		s.Errorf("counted are %v, late %v and open %v, want %v, %v and %v", amounts, late, held, s.model.amounts, s.model.late, want)
	}
}

// peaked commits one sample.
func peaked(t *testing.T, l *Ledger, g gauge, key int, at time.Time, amount, offset int64) {
	t.Helper()
	tally := new(meter.Tally)
	tally.AddSample(g.ref(key, at), meter.Sample{Rule: g.rule, Generation: 1, Start: offset, End: offset + 1, Amount: amount, LateRead: g.late})
	check(t, l.Commit(t.Context(), Batch{Tally: tally, Generations: []meter.Generation{{ID: 1, Offset: offset + 1, State: meter.Live, EOFAt: -1}}}, at))
}

// The peak of an hour is a record of the hour's last second.
func TestPeakIsOfTheLastSecond(t *testing.T) {
	l, g := open(t, t.TempDir()), gauges()[0]
	for i, amount := range []int64{3, 9, 9, 4} {
		peaked(t, l, g, 0, noon.Add(time.Duration(i)*10*time.Minute), amount, int64(i))
	}
	if next := must(l.NextClosing(t.Context())); !next.Equal(noon.Add(time.Hour)) {
		t.Errorf("it closes at %v", next)
	}
	if n := must(l.ClosePeaks(t.Context(), Closing{Now: noon.Add(time.Hour), Read: noon.Add(time.Hour - time.Second), Interval: 7 * time.Minute})); n != 0 {
		t.Errorf("%d stretches were closed early", n)
	}
	if n := must(l.ClosePeaks(t.Context(), Closing{Now: noon.Add(time.Hour), Read: noon.Add(time.Hour), Interval: 7 * time.Minute})); n != 1 {
		t.Errorf("%d stretches were closed", n)
	}
	r := one(t, l, Filter{})
	if r.Quantity != 9 || !r.Timestamp.Equal(noon.Add(time.Hour-time.Second)) || r.Window != meter.WindowAt(r.Timestamp, 7*time.Minute) {
		t.Errorf("%+v", r)
	}
	place := must(l.PeakPlace(t.Context(), g.ref(0, noon)))
	if want := (PeakPlace{Known: true, Generation: 1, Offset: 1, UUID: r.UUID}); place != want {
		t.Errorf("the peak is %+v, want %+v", place, want)
	}
	peaked(t, l, g, 1, noon, 100, 4)
	if anomalies := must(l.Anomalies(t.Context())); len(anomalies) != 1 || anomalies[0].Kind != meter.LatePeak || anomalies[0].Count != 1 {
		t.Errorf("%+v", anomalies)
	}
	if must(l.NextClosing(t.Context())) != (time.Time{}) {
		t.Error("something is open")
	}
}

// A source with `late: read` has a peak that is too old count when it is closed.
func TestLatePeakOfLateRead(t *testing.T) {
	l, g := open(t, t.TempDir()), gauges()[0]
	g.late = "source"
	peaked(t, l, g, 0, noon, 5, 0)
	now := noon.Add(3 * time.Hour)
	must(l.ClosePeaks(t.Context(), Closing{Now: now, Read: now, Interval: time.Minute}))
	if r := one(t, l, Filter{}); r.Quantity != 5 || !r.Timestamp.Equal(now) {
		t.Errorf("%+v", r)
	}
	if a := must(l.Anomalies(t.Context())); len(a) != 1 || a[0].Kind != meter.LateEvent || a[0].Subject != "source" {
		t.Errorf("%+v", a)
	}
}

// A rule that is changed within a stretch has one peak in it: the largest, in the
// product, unit and decimals of its line. What is less than a unit of the earlier
// form is set aside, and the remainder of the new form stays.
func TestPeakOfAChangedRule(t *testing.T) {
	l, g := open(t, t.TempDir()), gauges()[1] // per 7
	g.rule.Unit = "old"
	then := g
	peaked(t, l, then, 0, noon, 30, 0)
	now := *g.rule
	now.Unit, now.Decimals, now.Per = "new", 1, 70
	g.rule = &now
	commit(t, l, &now, minute(0), 6)
	peaked(t, l, g, 0, noon, 299, 20) // 29.9
	end := noon.Add(2 * time.Hour)
	must(l.ClosePeaks(t.Context(), Closing{Now: end, Read: end, Interval: time.Minute, Rules: []*meter.Rule{&now}}))
	if r := one(t, l, Filter{}); r.Quantity != 4 {
		t.Errorf("%+v", r)
	}
	var remainder, aside int64
	check(t, l.db.QueryRow(`SELECT (SELECT remainder FROM remainders), (SELECT remainder FROM set_aside)`).Scan(&remainder, &aside))
	if remainder != 6 || aside != 2 {
		t.Errorf("the remainder is %d and %d are set aside", remainder, aside)
	}
	peaked(t, l, g, 0, noon.Add(24*time.Hour), 301, 30) // 30.1
	peaked(t, l, then, 0, noon.Add(24*time.Hour), 30, 40)
	if place := must(l.PeakPlace(t.Context(), g.ref(0, noon.Add(24*time.Hour)))); !place.Open || place.Offset != 30 {
		t.Errorf("the larger of 30.1 and 30 is at %+v", place)
	}
	peaked(t, l, then, 0, noon.Add(24*time.Hour), 31, 50)
	if place := must(l.PeakPlace(t.Context(), g.ref(0, noon.Add(24*time.Hour)))); place.Offset != 50 {
		t.Errorf("the larger of 30.1 and 31 is at %+v", place)
	}
}

// Sums that no int64 holds make several records.
func TestPeaksThatOverflow(t *testing.T) {
	l, g := open(t, t.TempDir()), gauges()[0]
	for key := range 3 {
		peaked(t, l, g, key, noon, math.MaxInt64, int64(key))
	}
	if p := must(l.OpenPeaks(t.Context())); len(p) != 1 || p[0].Text() != "27670116110564327421" || p[0].Peaks != 3 {
		t.Errorf("%+v", p)
	}
	must(l.ClosePeaks(t.Context(), Closing{Now: noon.Add(time.Hour), Over: noon.Add(time.Hour), Interval: time.Minute}))
	all := records(t, l, Filter{})
	if len(all) != 3 || slices.ContainsFunc(all, func(r meter.Record) bool { return r.Quantity != math.MaxInt64 }) {
		t.Errorf("%+v", all)
	}
}

// What an open stretch has on a copied disk is the first machine's. The copy counts
// its own lines alone, also while it does not know yet that it is a copy.
func TestPeaksOfAClone(t *testing.T) {
	for _, foreign := range []bool{true, false} {
		t.Run(fmt.Sprint("foreign ", foreign), func(t *testing.T) {
			dir := t.TempDir()
			l, g := open(t, dir), gauges()[1] // per 7
			must(l.BindInstance(t.Context(), "first", true, noon))
			peaked(t, l, g, 0, noon, 30, 0)
			peaked(t, l, g, 1, noon, 60, 1)
			check(t, l.Close())
			l = open(t, dir)
			check(t, l.AwaitInstance(t.Context()))
			peaked(t, l, g, 0, noon, 20, 2)
			peaked(t, l, g, 1, noon, 70, 3)
			closing := Closing{Now: noon.Add(2 * time.Hour), Read: noon.Add(2 * time.Hour), Interval: time.Minute}
			if n := must(l.ClosePeaks(t.Context(), closing)); n != 0 {
				t.Error("a stretch was closed whose machine is unknown")
			}
			id := map[bool]string{true: "second", false: "first"}[foreign]
			aside := must(l.BindInstance(t.Context(), id, true, noon))
			if foreign != (aside.Peaks == 1) {
				t.Errorf("%+v", aside)
			}
			if n := must(l.ClosePeaks(t.Context(), closing)); n != 1 {
				t.Errorf("%d stretches were closed", n)
			}
			sum := make(map[meter.State]int64)
			for _, r := range records(t, l, Filter{}) {
				sum[r.State] += r.Quantity
			}
			want := map[meter.State]int64{meter.Open: 100 / 7}
			if foreign {
				want = map[meter.State]int64{meter.Open: 90 / 7, meter.Foreign: 90 / 7}
			}
			if !maps.Equal(sum, want) {
				t.Errorf("%v, want %v", sum, want)
			}
		})
	}
}

// Peaks stay as long as their records do.
func TestPrunePeaks(t *testing.T) {
	l, g := open(t, t.TempDir()), gauges()[0]
	peaked(t, l, g, 0, noon, 5, 0)
	peaked(t, l, g, 0, noon.Add(time.Hour), 6, 1)
	later := noon.Add(2 * time.Hour)
	must(l.ClosePeaks(t.Context(), Closing{Now: noon.Add(time.Hour), Read: noon.Add(time.Hour), Interval: time.Minute}))
	if n := must(l.PrunePeaks(t.Context(), later)); n != 0 {
		t.Errorf("%d peaks were deleted whose record is there", n)
	}
	must(l.Seal(t.Context(), later))
	check(t, l.Settle(t.Context(), []meter.Result{{UUID: one(t, l, Filter{}).UUID, State: meter.Accepted}}, later, 0))
	must(pruneAll(t.Context(), l, later.Add(time.Hour)))
	if n := must(l.PrunePeaks(t.Context(), noon.Add(time.Hour))); n != 0 {
		t.Errorf("%d peaks were deleted that are not old", n)
	}
	if n := must(l.PrunePeaks(t.Context(), later)); n != 1 {
		t.Errorf("%d peaks were deleted, want 1: the other is open", n)
	}
}

// Who removes a ledger hears of peaks that had not counted.
func TestRemovePeaks(t *testing.T) {
	dir := t.TempDir()
	l, g := open(t, dir), gauges()[0]
	peaked(t, l, g, 0, noon, 5, 0)
	must(l.ClosePeaks(t.Context(), Closing{Now: noon.Add(time.Hour), Read: noon.Add(time.Hour), Interval: time.Minute}))
	peaked(t, l, g, 0, noon.Add(time.Hour), 6, 1)
	peaked(t, l, g, 1, noon.Add(time.Hour), 7, 2)
	left := crash(t, dir)
	if removed, err := Remove(t.Context(), left); err != nil || removed.Peaks != 2 || removed.Unsettled != 1 {
		t.Errorf("removed %+v, %v", removed, err)
	}
}
