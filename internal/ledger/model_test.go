package ledger

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// TestAgainstAModel does at random what an agent does to a ledger, and what
// befalls one, and holds the ledger against a simple model of it after every
// step. METERLOG_TEST_SEED runs one seed again.
func TestAgainstAModel(t *testing.T) {
	seeds := []uint64{1, 2, 3}
	if text := os.Getenv("METERLOG_TEST_SEED"); text != "" {
		seeds = []uint64{must(strconv.ParseUint(text, 10, 64))}
	} else {
		seeds = append(seeds, rand.Uint64())
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			s := newSimulation(t, seed)
			for s.steps = range 100 {
				s.step()
				if t.Failed() {
					t.Fatalf("METERLOG_TEST_SEED=%d fails at step %d", seed, s.steps)
				}
			}
			s.finish()
		})
	}
}

// simulation is a ledger beside a model of it.
type simulation struct {
	*testing.T
	rand   *rand.Rand
	dir    string
	ledger *Ledger
	now    time.Time
	rules  []*meter.Rule
	steps  int
	pruned bool

	// The model.
	read        map[int64]meter.Generation // what the meter loop has read
	generations map[int64]meter.Generation // what of it is committed
	globs       map[string]time.Time
	given       map[*meter.Rule]int64 // amounts counted, in all
	lines       map[lineKey]int64     // lines counted, in all
	rest        map[*meter.Rule]int64 // less than per
	open        map[openKey]int64     // quantities by what an open record is of
	records     map[string]meter.Record
	settled     map[string]int64 // quantities of records that Prune deleted, by SKU
	reissues    map[string]string
}

type lineKey struct {
	rule       string
	generation int64
}

type openKey struct {
	product, sku string
	window       meter.Window
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		T: t, rand: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(), now: noon,
		read: map[int64]meter.Generation{}, generations: map[int64]meter.Generation{}, lines: map[lineKey]int64{}, globs: map[string]time.Time{}, given: map[*meter.Rule]int64{},
		rest: map[*meter.Rule]int64{}, open: map[openKey]int64{}, records: map[string]meter.Record{},
		settled: map[string]int64{}, reissues: map[string]string{},
		rules: []*meter.Rule{
			{Name: "mails", ProductID: product, SKU: "a", Per: 1},
			{Name: "more mails", ProductID: product, SKU: "a", Per: 1},
			{Name: "tens", ProductID: product, SKU: "a", Per: 10}, // the same SKU in another measure
			{Name: "bytes", ProductID: product, SKU: "b", Per: 1 << 30},
			{Name: "thirds", ProductID: "another", SKU: "a", Per: 3},
		},
	}
	s.ledger = open(t, s.dir)
	return s
}

func (s *simulation) step() {
	s.Helper()
	s.now = s.now.Add(time.Duration(s.rand.IntN(20_000)) * time.Millisecond)
	if s.rand.IntN(30) == 0 {
		s.now = s.now.Add(time.Duration(s.rand.IntN(7200)-3600) * time.Second) // the clock is set
	}
	switch n := s.rand.IntN(100); {
	case n < 45:
		s.commit()
	case n < 60:
		s.seal()
	case n < 88:
		s.deliver()
	case n < 92:
		check(s.T, s.ledger.Close())
		s.ledger = open(s.T, s.dir)
	case n < 97:
		s.crash()
	default:
		s.prune()
	}
	s.compare()
}

// crash goes on with the files as they are on disk at this moment.
func (s *simulation) crash() {
	left := crash(s.T, s.dir)
	check(s.T, s.ledger.Close())
	s.dir, s.ledger = left, open(s.T, left)
}

// commit commits a random batch, under a context that may end meanwhile.
func (s *simulation) commit() {
	s.Helper()
	batch := Batch{Tally: new(meter.Tally)}
	for range 1 + s.rand.IntN(3) {
		g := s.readSome(batch.Tally)
		batch.Generations = append(batch.Generations, g)
	}
	if s.rand.IntN(10) == 0 {
		batch.Globs = map[string]time.Time{fmt.Sprintf("/logs/%d/*", s.rand.IntN(5)): s.now.Truncate(time.Millisecond)}
	}
	ctx := s.Context()
	if s.rand.IntN(3) == 0 {
		ctx = cancelAfter(ctx, 1+s.rand.IntN(80))
	}
	err := s.ledger.Commit(ctx, batch, s.now)
	switch {
	case err == nil:
		s.committed(batch)
	case ctx.Err() == nil:
		s.Fatal(err)
	case s.rand.IntN(2) == 0: // the process ends, and reads the lines again
		s.crash()
		s.read = maps.Clone(s.generations)
	default:
		s.compare()
		check(s.T, s.ledger.Commit(s.Context(), batch, s.now))
		s.committed(batch)
	}
}

// readSome makes up lines at the end of one of a few generations.
func (s *simulation) readSome(tally *meter.Tally) meter.Generation {
	id := 1 + s.rand.Int64N(4)
	g, known := s.read[id]
	if !known {
		g = meter.Generation{ID: id, Path: fmt.Sprintf("/logs/%d", id), Dev: 1, Ino: uint64(id), State: meter.Live, EOFAt: -1, Head: []byte("head")}
	}
	for range s.rand.IntN(6) {
		rule := s.rules[s.rand.IntN(len(s.rules))]
		at := s.now
		if s.rand.IntN(3) == 0 { // late: its window may be sealed
			at = at.Add(-time.Duration(s.rand.IntN(300)) * time.Second)
		}
		end := g.Offset + 1 + s.rand.Int64N(100)
		amount := 1 + s.rand.Int64N(2*rule.Per)
		tally.Add(meter.CountKey{Rule: rule, Window: meter.WindowAt(at, time.Minute), Generation: id}, amount, g.Offset, end, at.Unix())
		g.Offset = end
	}
	g.Mark = fmt.Append(nil, g.Offset)
	g.Trail = nil
	if s.rand.IntN(4) > 0 {
		g.Trail = fmt.Append(nil, "trail ", g.Offset)
	}
	s.read[id] = g
	return g
}

// committed does to the model what the batch does to the ledger.
func (s *simulation) committed(batch Batch) {
	for _, g := range batch.Generations {
		s.generations[g.ID] = g
	}
	for pattern, first := range batch.Globs {
		if first.After(s.globs[pattern]) {
			s.globs[pattern] = first
		}
	}
	keys := slices.SortedFunc(maps.Keys(batch.Tally.Counts), func(a, b meter.CountKey) int {
		return cmp.Compare(a.Window.Start, b.Window.Start)
	})
	for _, key := range keys {
		rule, amount := key.Rule, batch.Tally.Counts[key].Amount
		s.given[rule] += amount
		s.lines[lineKey{rule.Name, key.Generation}] += batch.Tally.Counts[key].Lines
		s.rest[rule] += amount
		if units := s.rest[rule] / rule.Per; units > 0 {
			s.open[openKey{rule.ProductID, rule.SKU, key.Window}] += units
		}
		s.rest[rule] %= rule.Per
	}
}

func (s *simulation) seal() {
	isDue := func(r meter.Record) bool { return !r.Window.EndTime().After(s.now) || r.OpenedAt.After(s.now) }
	due := 0
	for _, r := range records(s.T, s.ledger, Filter{State: []meter.State{meter.Open}}) {
		if isDue(r) {
			due++
		}
	}
	n, err := s.ledger.Seal(s.Context(), s.now)
	check(s.T, err)
	if n != due {
		s.Errorf("%d records sealed, want %d", n, due)
	}
	for _, r := range records(s.T, s.ledger, Filter{State: []meter.State{meter.Sealed}}) {
		if _, known := s.records[r.UUID]; known {
			continue
		}
		key := openKey{r.ProductID, r.SKU, r.Window}
		if r.Quantity != s.open[key] || !isDue(r) || r.Attempts != 0 || r.MaybeStored {
			s.Errorf("%+v was sealed at %v, and %d was open", r, s.now, s.open[key])
		}
		delete(s.open, key)
		s.records[r.UUID] = r
	}
}

// deliver takes what is due through an attempt to results of every kind, and
// sometimes crashes between.
func (s *simulation) deliver() {
	s.Helper()
	list, err := s.ledger.Pending(s.Context(), s.now, s.now, 1+s.rand.IntN(meter.MaxRecords), nil)
	check(s.T, err)
	for i, r := range list {
		known := s.records[r.UUID]
		r.ReissuedAs, known.ReissuedAs = "", "" // reissues of the same content are not told apart
		if r != known {
			s.Errorf("to be delivered is %+v, which was %+v", r, known)
		}
		if r.State != meter.Sealed || i > 0 && r.Window.Start < list[i-1].Window.Start {
			s.Errorf("%+v comes behind %+v", r, list[max(i-1, 0)])
		}
	}
	check(s.T, s.ledger.Attempt(s.Context(), list))
	for _, r := range list {
		r.Attempts++
		r.MaybeStored = true
		s.records[r.UUID] = r
	}
	switch s.rand.IntN(8) {
	case 0:
		s.crash() // before the answer
		return
	case 1:
		return // the same without the crash: it could not be settled
	}
	var results []meter.Result
	for _, r := range list {
		results = append(results, s.fate(r))
	}
	retryAfter := time.Duration(s.rand.IntN(60)) * time.Second
	check(s.T, s.ledger.Settle(s.Context(), results, s.now, retryAfter))
	for _, result := range results {
		s.note(result)
	}
	if s.rand.IntN(4) == 0 { // again, with another result: the first of them that is final holds
		var again []meter.Result
		for _, result := range results {
			if result.State != meter.Sealed {
				other := s.fate(s.records[result.UUID])
				again = append(again, other)
			}
		}
		check(s.T, s.ledger.Settle(s.Context(), again, s.now, retryAfter))
	}
}

func (s *simulation) fate(r meter.Record) meter.Result {
	fates := []meter.Result{
		{State: meter.Accepted},
		{State: meter.Accepted},
		{State: meter.Sealed, Reason: "connection refused"},
		{State: meter.Sealed, Reason: "no answer", MaybeStored: true},
		{State: meter.Refused, Reason: "INVALID_SKU_ID"},
		{State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: true},
		{State: meter.Expired, Reason: "EXPIRED"},
		{State: meter.InDoubt, Reason: "EXPIRED"},
	}
	fate := fates[s.rand.IntN(len(fates))]
	fate.UUID = r.UUID
	return fate
}

// note does to the model what a result does to the ledger.
func (s *simulation) note(result meter.Result) {
	r := s.records[result.UUID]
	r.State, r.Reason = result.State, result.Reason
	r.MaybeStored = result.MaybeStored
	if result.State != meter.Sealed {
		r.SettledAt = s.now.Truncate(time.Millisecond)
	}
	s.records[r.UUID] = r
	if !result.Reissue {
		return
	}
	for _, reissue := range records(s.T, s.ledger, Filter{State: []meter.State{meter.Sealed}}) {
		if _, known := s.records[reissue.UUID]; known || content(reissue) != content(r) || s.reissues[r.UUID] != "" {
			continue
		}
		if reissue.Attempts != 0 || reissue.MaybeStored || !reissue.SettledAt.IsZero() || reissue.Reason != "" {
			s.Errorf("%+v was issued again as %+v", r, reissue)
		}
		s.records[reissue.UUID] = reissue
		s.reissues[r.UUID] = reissue.UUID
	}
	if s.reissues[r.UUID] == "" {
		s.Errorf("%+v was not issued again", r)
	}
}

func (s *simulation) prune() {
	before := s.now.Add(-time.Duration(s.rand.IntN(600)) * time.Second)
	n, err := s.ledger.Prune(s.Context(), before)
	check(s.T, err)
	for id, r := range s.records {
		_, kept := s.records[s.reissues[id]]
		if !r.State.Settled() || !r.SettledAt.Before(before.Truncate(time.Millisecond)) || kept {
			continue
		}
		n--
		s.pruned = true
		defer delete(s.records, id) // the chain is judged as it was
		if s.reissues[id] == "" {
			s.settled[r.ProductID+"/"+r.SKU] += r.Quantity
		}
	}
	if n != 0 {
		s.Errorf("%d more records were deleted than should have been", n)
	}
}

// compare holds all that the ledger tells against the model.
func (s *simulation) compare() {
	s.Helper()
	unseen := maps.Clone(s.records)
	unopened := maps.Clone(s.open)
	for _, r := range records(s.T, s.ledger, Filter{}) {
		if r.State == meter.Open {
			key := openKey{r.ProductID, r.SKU, r.Window}
			if r.Quantity != unopened[key] {
				s.Errorf("%+v is open, and should hold %d", r, unopened[key])
			}
			delete(unopened, key)
			continue
		}
		if r.State.Settled() {
			r.MaybeStored = false // says nothing any more
		}
		known := s.records[r.UUID]
		r.ReissuedAs, known.ReissuedAs = "", "" // reissues of the same content are not told apart
		if r != known {
			s.Errorf("it is\n%+v and should be\n%+v", r, known)
		}
		delete(unseen, r.UUID)
	}
	if len(unseen) > 0 || len(unopened) > 0 {
		s.Errorf("missing are %v, and the open %v", unseen, unopened)
	}
	got := must(s.ledger.Generations(s.Context()))
	want := slices.SortedFunc(maps.Values(s.generations), func(a, b meter.Generation) int { return cmp.Compare(a.ID, b.ID) })
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		s.Errorf("the positions are\n%+v and should be\n%+v", got, want)
	}
	if got := must(s.ledger.Globs(s.Context())); !reflect.DeepEqual(got, s.globs) {
		s.Errorf("the globs are %v and should be %v", got, s.globs)
	}
}

// finish asks the product's question: was every unit billed exactly once?
func (s *simulation) finish() {
	billed := maps.Clone(s.settled)
	for _, r := range records(s.T, s.ledger, Filter{}) {
		if s.reissues[r.UUID] == "" { // else its reissue bills it
			billed[r.ProductID+"/"+r.SKU] += r.Quantity
		}
	}
	want := make(map[string]int64)
	for _, rule := range s.rules {
		if units := s.given[rule] / rule.Per; units > 0 {
			want[rule.ProductID+"/"+rule.SKU] += units
		}
	}
	if !maps.Equal(billed, want) {
		s.Errorf("billed are %v, want %v", billed, want)
	}
	if s.pruned {
		return
	}
	rows, err := s.ledger.db.Query(`SELECT rule, generation_id, sum(lines) FROM contributions GROUP BY rule, generation_id`)
	check(s.T, err)
	defer rows.Close()
	kept := make(map[lineKey]int64)
	for rows.Next() {
		var key lineKey
		var lines int64
		check(s.T, rows.Scan(&key.rule, &key.generation, &lines))
		kept[key] = lines
	}
	if !maps.Equal(kept, s.lines) {
		s.Errorf("records know of the lines %v, want %v", kept, s.lines)
	}
}

// cancelAfter returns a context that ends when it has been looked at so often.
func cancelAfter(parent context.Context, looks int) context.Context {
	ctx, cancel := context.WithCancel(parent)
	c := &countdown{Context: ctx, cancel: cancel}
	c.left.Store(int64(looks))
	return c
}

type countdown struct {
	context.Context
	left   atomic.Int64
	cancel func()
}

func (c *countdown) look() {
	if c.left.Add(-1) <= 0 {
		c.cancel()
	}
}

func (c *countdown) Done() <-chan struct{} { c.look(); return c.Context.Done() }
func (c *countdown) Err() error            { c.look(); return c.Context.Err() }
