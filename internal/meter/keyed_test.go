package meter

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// keyedLine returns a line of a rule with a key, in a stretch of an hour.
func keyedLine(rule *Rule, once *Once, key uint64, stretch, start int64) Keyed {
	k := Keyed{CountKey: CountKey{Rule: rule, Window: Window{stretch, stretch + 60}}, Amount: 1, Start: start, End: start + 1, Time: stretch}
	k.Once, k.Stretch = once, Window{stretch, stretch + 3600}
	binary.BigEndian.PutUint64(k.Hash[:], key*0x9e3779b97f4a7c15)
	copy(k.Hash[8:], rule.Name)
	return k
}

// The lines of a tally come out as they went in, whatever their number and order. A
// line whose key is among them already is a repeat of it.
func TestKeyedLines(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	once := map[*Rule]*Once{mails: {Rule: "mails", Form: "hour"}, bytes: {Rule: "bytes", Form: "hour"}}
	var tally Tally
	for round := range 3 {
		type place struct {
			rule    *Rule
			key     uint64
			stretch int64
		}
		var first []Keyed
		repeats := make(map[place]uint32)
		at := make(map[place]int)
		for i := range int64(5 * chunk / 2) {
			p := place{[]*Rule{mails, bytes}[random.IntN(2)], random.Uint64N(1500), 3600 * random.Int64N(3)}
			k := keyedLine(p.rule, once[p.rule], p.key, p.stretch, i)
			tally.AddKeyed(k)
			if _, again := at[p]; again {
				repeats[p]++
				continue
			}
			at[p], first = len(first), append(first, k)
		}
		if tally.Keyed.Len() != len(first) || len(tally.Keyed.Groups) != 6 {
			t.Fatalf("round %d: %d lines in %d groups, want %d in 6", round, tally.Keyed.Len(), len(tally.Keyed.Groups), len(first))
		}
		for p, i := range at {
			k, g, want := tally.Keyed.Line(i), tally.Keyed.Group(i), first[i]
			if tally.Keyed.Ref(i) != want.KeyRef || g.CountKey != want.CountKey || k.Start != want.Start || k.End != want.End || k.Amount != want.Amount || k.Repeats != repeats[p] {
				t.Fatalf("round %d: the line %d is %+v of %+v with %d repeats, want %+v with %d", round, i, *k, *g, k.Repeats, want, repeats[p])
			}
		}
		outcomes := make([]Outcome, len(first))
		tally.Resolve(outcomes)
		counted, repeated := int64(0), int64(0)
		for _, c := range tally.Counts {
			counted += c.Lines
		}
		for _, a := range tally.Anomalies {
			repeated += a.Count
		}
		if counted != int64(len(first)) || counted+repeated != 5*chunk/2 {
			t.Fatalf("round %d: %d lines counted and %d repeated, want %d of %d", round, counted, repeated, len(first), 5*chunk/2)
		}
		tally.Reset()
	}
}

// What repeats a line that came too late came too late itself. Two lines of a rule
// with within are for the ledger to tell apart.
func TestOutcomesOfRepeats(t *testing.T) {
	once := &Once{Rule: "mails", Form: "hour"}
	within := &Once{Rule: "bytes", Within: time.Hour}
	for outcome, want := range map[Outcome]map[AnomalyKind]int64{
		FirstOfKey: {Repeated: 2}, RepeatOfKey: {Repeated: 3}, LateForKey: {LateKey: 3},
	} {
		var tally Tally
		for i := range int64(3) {
			tally.AddKeyed(keyedLine(mails, once, 1, 0, i))
		}
		tally.AddKeyed(keyedLine(bytes, within, 1, 0, 3))
		tally.AddKeyed(keyedLine(bytes, within, 1, 0, 4))
		if tally.Keyed.Len() != 3 {
			t.Fatalf("%d lines are left to the ledger, want 3", tally.Keyed.Len())
		}
		outcomes := []Outcome{outcome, FirstOfKey, FirstOfKey}
		copied := tally.Resolved(outcomes)
		tally.Resolve(outcomes)
		for _, got := range []*Tally{copied, &tally} {
			lines := int64(0)
			for _, c := range got.Counts {
				lines += c.Lines
			}
			if lines != 2+map[bool]int64{true: 1}[outcome == FirstOfKey] || len(got.Anomalies) != 1 {
				t.Errorf("outcome %d: %d lines counted, %v", outcome, lines, got.Anomalies)
			}
			for kind, n := range want {
				if a := got.Anomalies[AnomalyKey{kind, "mails"}]; a == nil || a.Count != n {
					t.Errorf("outcome %d: %v, want %d of %s", outcome, got.Anomalies, n, kind)
				}
			}
		}
	}
}

// The cache knows a repeat only of a key that it has, and forgets the oldest.
func TestRecentKeys(t *testing.T) {
	each := &Once{Rule: "mails", Form: "hour"}
	within := &Once{Rule: "bytes", Within: 10 * time.Minute}
	ref := func(once *Once, key uint64, stretch, at int64) *KeyRef {
		k := keyedLine(&Rule{Name: once.Rule}, once, key, stretch, 0)
		k.At = at
		return &k.KeyRef
	}
	c := new(RecentKeys)
	c.Add(ref(each, 1, 3600, 0))
	c.Add(ref(within, 1, 3600, 3_000_000))
	for _, test := range []struct {
		ref  *KeyRef
		want bool
	}{
		{ref(each, 1, 3600, 0), true},
		{ref(each, 2, 3600, 0), false},
		{ref(each, 1, 7200, 0), false},
		{ref(within, 1, 3600, 2_400_001), true},
		{ref(within, 1, 3600, 2_400_000), false},
		{ref(within, 1, 3600, 3_599_999), true},
		{ref(within, 1, 7200, 0), false},
	} {
		if got := c.Repeats(test.ref); got != test.want {
			t.Errorf("%+v repeats: %v, want %v", *test.ref, got, test.want)
		}
	}
	if (*RecentKeys)(nil).Repeats(ref(each, 1, 3600, 0)) {
		t.Error("no cache knows a key")
	}
}
