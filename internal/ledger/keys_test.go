package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// keyedRules are rules with a memory: of a day, an hour, half an hour after a key was
// counted, and a day after.
func keyedRules() map[*meter.Rule]*meter.Once {
	rules := make(map[*meter.Rule]*meter.Once)
	for i, within := range []time.Duration{0, 0, 30 * time.Minute, 24 * time.Hour} {
		name := fmt.Sprint("keyed ", i)
		per := int64(1 + i%2*9)
		rules[&meter.Rule{Name: name, ProductID: product, SKU: fmt.Sprint(i % 3), Per: per}] = &meter.Once{Rule: name, Form: []string{"day", "hour", "", ""}[i], Within: within}
	}
	return rules
}

// keyRef returns a key as a rule has it at a time. The hashes of odd keys of a rule
// begin alike.
func keyRef(once *meter.Once, key int, at time.Time) meter.KeyRef {
	ref := meter.KeyRef{Once: once}
	if sum := sha256.Sum256(fmt.Append(nil, once.Rule, key)); key%2 == 0 {
		copy(ref.Hash[:], sum[:])
	} else {
		copy(ref.Hash[:], once.Rule)
		binary.BigEndian.PutUint32(ref.Hash[12:], uint32(key))
	}
	switch {
	case once.Within > 0:
		ref.Stretch, ref.At = meter.StretchWithin(at, once.Within)
	case once.Form == "day":
		ref.Stretch = meter.WindowAt(at, 24*time.Hour)
	default:
		ref.Stretch = meter.WindowAt(at, time.Hour)
	}
	return ref
}

// memory is an oracle: it keeps the time of each line that counted.
type memory map[string][]time.Time

func (m memory) first(once *meter.Once, key int, at time.Time) bool {
	name := fmt.Sprint(once.Rule, key)
	for _, counted := range m[name] {
		switch {
		case once.Within > 0 && at.Sub(counted).Abs() < once.Within:
			return false
		case once.Form == "day" && at.Truncate(24*time.Hour).Equal(counted.Truncate(24*time.Hour)):
			return false
		case once.Form == "hour" && at.Truncate(time.Hour).Equal(counted.Truncate(time.Hour)):
			return false
		}
	}
	m[name] = append(m[name], at)
	return true
}

// TestKeysAgainstAMemory commits random lines with keys, late and in any order,
// over crashes, restarts and commits that fail. The ledger must count what an
// oracle with perfect memory counts. METERLOG_TEST_SEED runs one seed again.
func TestKeysAgainstAMemory(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, rand.Uint64()}
	if text := os.Getenv("METERLOG_TEST_SEED"); text != "" {
		seeds = []uint64{must(strconv.ParseUint(text, 10, 64))}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			s := &keySimulation{
				T: t, rand: rand.New(rand.NewPCG(seed, 7)), dir: t.TempDir(), now: noon, rules: keyedRules(), recent: new(meter.RecentKeys),
				memory: memory{}, offsets: map[int64]int64{}, amounts: map[string]int64{}, repeats: map[string]int64{},
			}
			s.names = slices.SortedFunc(maps.Keys(s.rules), func(a, b *meter.Rule) int { return int(a.Name[6]) - int(b.Name[6]) })
			s.ledger = open(t, s.dir)
			for range 60 {
				s.step()
				s.compare()
				if t.Failed() {
					t.Fatalf("METERLOG_TEST_SEED=%d", seed)
				}
			}
		})
	}
}

type keySimulation struct {
	*testing.T
	rand   *rand.Rand
	dir    string
	ledger *Ledger
	recent *meter.RecentKeys
	now    time.Time
	rules  map[*meter.Rule]*meter.Once
	names  []*meter.Rule

	// The model.
	memory  memory
	offsets map[int64]int64  // of each generation
	amounts map[string]int64 // by rule
	repeats map[string]int64 // by rule
}

// line is a line with a key.
type line struct {
	rule              *meter.Rule
	key               int
	at                time.Time
	amount            int64
	generation, start int64
}

func (s *keySimulation) step() {
	s.now = s.now.Add(time.Duration(s.rand.IntN(1200)) * time.Second)
	switch s.rand.IntN(12) {
	case 0:
		s.restart(s.dir)
	case 1:
		s.restart(crash(s.T, s.dir))
	case 2: // what could come back within the hour stays
		_, err := s.ledger.ForgetKeys(s.Context(), s.now.Add(-5*time.Hour))
		check(s.T, err)
	case 3:
		must(s.ledger.Seal(s.Context(), s.now))
	default:
		s.commit()
	}
}

func (s *keySimulation) restart(dir string) {
	check(s.T, s.ledger.Close())
	s.dir, s.recent = dir, new(meter.RecentKeys)
	s.ledger = open(s.T, dir)
}

// commit commits a random batch. Where that fails, it commits it again, or the
// process ends and reads the same lines again.
func (s *keySimulation) commit() {
	var lines []line
	offsets := maps.Clone(s.offsets)
	for range s.rand.IntN(150) {
		g := 1 + s.rand.Int64N(3)
		at := s.now.Add(-time.Duration(s.rand.IntN(4000)) * time.Second).Truncate(time.Millisecond)
		lines = append(lines, line{s.names[s.rand.IntN(len(s.names))], s.rand.IntN(40), at, 1 + s.rand.Int64N(20), g, offsets[g]})
		offsets[g] += 10
	}
	batch := s.batch(lines, offsets)
	for s.rand.IntN(3) == 0 {
		ctx := cancelAfter(s.Context(), 1+s.rand.IntN(600))
		if s.ledger.Commit(ctx, batch, s.now) == nil {
			s.committed(lines, offsets)
			return
		}
		if s.rand.IntN(2) == 0 {
			s.restart(crash(s.T, s.dir))
			batch = s.batch(lines, offsets)
		}
	}
	check(s.T, s.ledger.Commit(s.Context(), batch, s.now))
	s.committed(lines, offsets)
}

func (s *keySimulation) batch(lines []line, offsets map[int64]int64) Batch {
	b := Batch{Tally: &meter.Tally{Recent: s.recent}}
	for _, l := range lines {
		key := meter.CountKey{Rule: l.rule, Window: meter.WindowAt(l.at, time.Minute), Generation: l.generation}
		b.Tally.AddKeyed(meter.Keyed{CountKey: key, KeyRef: keyRef(s.rules[l.rule], l.key, l.at), Amount: l.amount, Start: l.start, End: l.start + 10, Time: l.at.Unix()})
	}
	for id, offset := range offsets {
		b.Generations = append(b.Generations, meter.Generation{ID: id, Path: fmt.Sprint("/logs/", id), Offset: offset, State: meter.Live, EOFAt: -1})
	}
	return b
}

// committed does to the model what the lines do to the ledger.
func (s *keySimulation) committed(lines []line, offsets map[int64]int64) {
	s.offsets = offsets
	for _, l := range lines {
		if s.memory.first(s.rules[l.rule], l.key, l.at) {
			s.amounts[l.rule.Name] += l.amount
		} else {
			s.repeats[l.rule.Name]++
		}
		ref := keyRef(s.rules[l.rule], l.key, l.at)
		place := must(s.ledger.KeyPlace(s.Context(), ref, l.generation, l.start))
		counted := slices.Contains(s.memory[fmt.Sprint(l.rule.Name, l.key)], l.at)
		if !place.Known || place.Own && !counted || place.UUID == "" && l.rule.Per == 1 {
			s.Errorf("the line %+v counted: %v, and its key is at %+v", l, counted, place)
		}
	}
}

// compare holds the ledger against the model.
func (s *keySimulation) compare() {
	amounts := make(map[string]int64)
	rows, err := s.ledger.db.Query(`SELECT rule, sum(amount) FROM contributions GROUP BY rule`)
	check(s.T, err)
	defer rows.Close()
	for rows.Next() {
		var rule string
		var amount int64
		check(s.T, rows.Scan(&rule, &amount))
		amounts[rule] = amount
	}
	repeats := make(map[string]int64)
	for _, a := range must(s.ledger.Anomalies(s.Context())) {
		if a.Kind != meter.Repeated {
			s.Errorf("%+v", a)
		}
		repeats[a.Subject] = a.Count
	}
	if !maps.Equal(amounts, s.amounts) || !maps.Equal(repeats, s.repeats) {
		s.Errorf("counted are %v and repeated %v, want %v and %v", amounts, repeats, s.amounts, s.repeats)
	}
}

// A line whose keys are forgotten counts nothing, and says so.
func TestForgottenKeys(t *testing.T) {
	l := open(t, t.TempDir())
	rule := &meter.Rule{Name: "users", ProductID: product, SKU: sku, Per: 1}
	once := &meter.Once{Rule: "users", Form: "day"}
	add := func(key int, at time.Time, offset int64) {
		t.Helper()
		tally := new(meter.Tally)
		tally.AddKeyed(meter.Keyed{CountKey: meter.CountKey{Rule: rule, Window: meter.WindowAt(at, time.Minute), Generation: 1}, KeyRef: keyRef(once, key, at), Amount: 1, Start: offset, End: offset + 1, Time: at.Unix()})
		check(t, l.Commit(t.Context(), Batch{Tally: tally, Generations: []meter.Generation{{ID: 1, Offset: offset + 1, State: meter.Live, EOFAt: -1}}}, at))
	}
	add(1, noon, 0)
	if n := must(l.ForgetKeys(t.Context(), noon.Add(11*time.Hour))); n != 0 {
		t.Errorf("%d keys of a day that is not over were forgotten", n)
	}
	add(1, noon.Add(24*time.Hour), 1)
	if n := must(l.ForgetKeys(t.Context(), noon.Add(13*time.Hour))); n != 1 {
		t.Errorf("%d keys were forgotten, want 1", n)
	}
	add(1, noon, 2)
	add(2, noon.Add(24*time.Hour), 3)
	add(1, noon.Add(24*time.Hour), 4)
	kinds := make(map[meter.AnomalyKind]int64)
	for _, a := range must(l.Anomalies(t.Context())) {
		kinds[a.Kind] = a.Count
	}
	if kinds[meter.LateKey] != 1 || kinds[meter.Repeated] != 1 || len(records(t, l, Filter{})) != 2 {
		t.Errorf("%v, %+v", kinds, records(t, l, Filter{}))
	}
}

// A commit may be given up while it looks keys up. It then returns an error, and the
// next one counts the same lines.
func TestCommitGivenUpAmongKeys(t *testing.T) {
	l := open(t, t.TempDir())
	rule := &meter.Rule{Name: "users", ProductID: product, SKU: sku, Per: 1}
	once := &meter.Once{Rule: "users", Within: time.Hour}
	batch := func(minutes int) Batch {
		tally, at := new(meter.Tally), noon.Add(time.Duration(minutes)*time.Minute)
		for key := range 200 {
			start := int64(minutes*200 + key)
			tally.AddKeyed(meter.Keyed{CountKey: meter.CountKey{Rule: rule, Window: meter.WindowAt(at, time.Minute), Generation: 1}, KeyRef: keyRef(once, key, at), Amount: 1, Start: start, End: start + 1, Time: at.Unix()})
		}
		return Batch{Tally: tally, Generations: []meter.Generation{{ID: 1, Offset: int64(minutes+1) * 200, State: meter.Live, EOFAt: -1}}}
	}
	check(t, l.Commit(t.Context(), batch(0), noon))
	for minute, looks := 1, 1; minute < 40; looks += 2 {
		if l.Commit(cancelAfter(t.Context(), looks), batch(minute), noon) == nil {
			minute++
		} else if looks > 4000 {
			t.Fatal("no commit ended")
		}
	}
	if all := records(t, l, Filter{}); len(all) != 1 || all[0].Quantity != 200 {
		t.Errorf("%+v", all)
	}
}

// A hash that is no hash is damage, which a look at the keys reports.
func TestDamagedHash(t *testing.T) {
	var hash keyHash
	for _, value := range []any{nil, "text", []byte{}, make([]byte, 15), int64(1)} {
		if hash.Scan(value) == nil {
			t.Errorf("%T %v passes for the hash of a key", value, value)
		}
	}
	if err := hash.Scan([]byte("sixteen bytes...")); err != nil || string(hash[:]) != "sixteen bytes..." {
		t.Error(hash, err)
	}
}

// Decimal places that no rule can have are damage, and so is a unit of nothing.
func TestDamagedBills(t *testing.T) {
	for _, damage := range []string{"per = 0", "per = -7", "decimals = -1", "decimals = 10"} {
		l := open(t, t.TempDir())
		check(t, func() error { _, err := l.BindMachine(t.Context(), "m1", noon); return err }())
		g, tally := gauges()[1], new(meter.Tally)
		tally.AddSample(g.ref(1, noon), meter.Sample{Rule: g.rule, Generation: 1, End: 1, Amount: 5})
		check(t, l.Commit(t.Context(), Batch{Tally: tally, Generations: []meter.Generation{{ID: 1, Offset: 1, State: meter.Live, EOFAt: -1}}}, noon))
		_, err := l.db.Exec(`UPDATE peak_bills SET ` + damage)
		check(t, err)
		if f, err := l.BindMachine(t.Context(), "m2", noon); err == nil {
			t.Errorf("with %s the peaks were set aside: %+v", damage, f)
		}
		if n, err := l.ClosePeaks(t.Context(), Closing{Now: noon, Read: noon.Add(48 * time.Hour), Interval: time.Minute}); err == nil {
			t.Errorf("with %s %d stretches were closed", damage, n)
		}
	}
}

// The secret is made once.
func TestKeySecret(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	if secret := must(l.Reader.KeySecret(t.Context())); secret != nil {
		t.Errorf("a new ledger has the secret %x", secret)
	}
	first := must(l.KeySecret(t.Context()))
	check(t, l.Close())
	l = open(t, dir)
	if again := must(l.KeySecret(t.Context())); len(first) != 32 || !slices.Equal(first, again) {
		t.Errorf("the secret is %x, and was %x", again, first)
	}
	if other := must(open(t, t.TempDir()).KeySecret(t.Context())); slices.Equal(other, first) {
		t.Error("two ledgers have one secret")
	}
}
