package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// richLedger makes a folder with a ledger that holds rows of every kind: records of
// every state, keys, peaks, remainders and what was set aside.
func richLedger(t *testing.T) (dir string) {
	dir = t.TempDir()
	l := used(t, dir)
	users, gauge := richKeys(), gauges()[1]
	list := pending(t, l, noon)
	settle(t, l, noon, list, meter.Result{State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: true})
	sealed(t, l, ago(30), ago(20), ago(10))
	list = pending(t, l, noon)
	settle(t, l, noon, list[:1], meter.Result{State: meter.Expired, Reason: "EXPIRED"})
	settle(t, l, noon, list[1:2], meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID"})
	check(t, l.Attempt(t.Context(), list[2:]))
	check(t, l.RememberValues(t.Context(), []*meter.Rule{{Name: "mails", SKU: sku, Values: []string{"=a", "else"}}}))
	check(t, l.Commit(t.Context(), richBatch(users, gauge, 0), noon.Add(-48*time.Hour)))
	check(t, l.Commit(t.Context(), richBatch(users, gauge, 1), noon))
	check(t, l.SetProblems(t.Context(), []meter.Problem{{Code: "a", Message: "b", Hint: "c", Since: noon}}))
	check(t, l.Commit(t.Context(), counts(&meter.Rule{Name: "stale", ProductID: product, SKU: "s", Per: 10, Unit: "old"}, map[meter.Window]int64{minute(0): 4}), noon))
	check(t, l.Close())
	startedAgain(t, dir)
	return dir
}

// richKeys are rules that remember keys: once in a day, and once in two hours.
func richKeys() map[*meter.Rule]*meter.Once {
	return map[*meter.Rule]*meter.Once{
		{Name: "users", ProductID: product, SKU: sku, Per: 1}:    {Rule: "users", Form: "day"},
		{Name: "jobs", ProductID: product, SKU: "jobs", Per: 10}: {Rule: "jobs", Within: 2 * time.Hour},
	}
}

// richBatch returns lines of a day with keys, samples, copies, anomalies and a pattern.
func richBatch(users map[*meter.Rule]*meter.Once, g gauge, day int) Batch {
	b := Batch{Tally: new(meter.Tally), Globs: map[string]time.Time{"/*.log": noon}, Copies: []meter.Copy{{FileState: meter.FileState{Dev: 1, Ino: uint64(day)}, Of: 2}}}
	at := noon.Add(time.Duration(day-2) * 24 * time.Hour)
	start := int64(1000 * (day + 1))
	for rule, once := range users {
		for key := range 70 {
			b.Tally.AddKeyed(meter.Keyed{
				CountKey: meter.CountKey{Rule: rule, Window: meter.WindowAt(at, time.Minute), Generation: 2}, KeyRef: keyRef(once, key%60+day, at),
				Amount: 3, Start: start + int64(key), End: start + int64(key) + 1, Time: at.Unix(),
			})
		}
	}
	for key := range 3 {
		b.Tally.AddSample(g.ref(key, at), meter.Sample{Rule: g.rule, Generation: 2, Start: start + int64(key), End: start + int64(key) + 1, Amount: int64(10 * key)})
	}
	b.Tally.AddAnomaly(meter.AnomalyKey{Kind: meter.BytesMissed, Subject: "/a"}, 1, "example")
	b.Generations = []meter.Generation{{ID: 2, Path: "/b.log", Dev: 1, Ino: 2, Offset: start + 100, State: meter.Live, EOFAt: -1, Head: []byte("head"), Mark: []byte("mark"), Names: []string{"/c.log"}}}
	b.Activity = []meter.Activity{{Rule: "users", FirstMatch: noon, LastMatch: noon, Longest: []meter.LongestOver{{Day: noon.Truncate(24 * time.Hour), Stretch: meter.Stretch{Bytes: 1, Time: time.Minute}}}}}
	return b
}

// ledgerCall is a call of the ledger that may be given up.
type ledgerCall struct {
	name string
	call func(ctx context.Context, l *Ledger) (any, error)
}

// writingCalls returns a call of every method that writes.
func writingCalls() []ledgerCall {
	g := gauges()[1]
	closing := Closing{Now: noon, Read: noon, Interval: time.Minute, Rules: []*meter.Rule{g.rule}}
	now := noon.Add(time.Hour)
	return []ledgerCall{
		{"commit", func(ctx context.Context, l *Ledger) (any, error) {
			b := richBatch(richKeys(), g, 2)
			err := l.Commit(ctx, b, now)
			return fmt.Sprint(len(b.Tally.Counts), b.Tally.Keyed.Len(), len(b.Tally.Peaks), len(b.Tally.Anomalies)), err
		}},
		{"commit in doubt", func(ctx context.Context, l *Ledger) (any, error) {
			if err := l.AwaitInstance(ctx); err != nil {
				return nil, err
			}
			return nil, l.Commit(ctx, richBatch(richKeys(), g, 2), now)
		}},
		{"seal", func(ctx context.Context, l *Ledger) (any, error) { return l.Seal(ctx, now) }},
		{"seal what has begun", func(ctx context.Context, l *Ledger) (any, error) { return l.SealBegun(ctx, now) }},
		{"seal all", func(ctx context.Context, l *Ledger) (any, error) { return l.SealAll(ctx, now) }},
		{"close peaks", func(ctx context.Context, l *Ledger) (any, error) { return l.ClosePeaks(ctx, closing) }},
		{"prune", func(ctx context.Context, l *Ledger) (any, error) { return l.Prune(ctx, now) }},
		{"prune peaks", func(ctx context.Context, l *Ledger) (any, error) { return l.PrunePeaks(ctx, now) }},
		{"forget keys", func(ctx context.Context, l *Ledger) (any, error) { return l.ForgetKeys(ctx, now) }},
		{"bind to another machine", func(ctx context.Context, l *Ledger) (any, error) { return l.BindMachine(ctx, "m2", now) }},
		{"bind to another instance", func(ctx context.Context, l *Ledger) (any, error) {
			if err := l.AwaitInstance(ctx); err != nil {
				return nil, err
			}
			return l.BindInstance(ctx, "i2", false, now)
		}},
		{"complete units", func(ctx context.Context, l *Ledger) (any, error) {
			return nil, l.CompleteUnits(ctx, []*meter.Rule{{Name: "tens", ProductID: product, SKU: tens.SKU, Per: 2}}, minute(0), now)
		}},
		{"keep remainders", func(ctx context.Context, l *Ledger) (any, error) {
			return l.KeepRemainders(ctx, []*meter.Rule{{Name: "stale", ProductID: product, SKU: "s", Per: 10, Unit: "new"}}, now)
		}},
		{"attempt", func(ctx context.Context, l *Ledger) (any, error) {
			list := waitingRecords(l)
			return len(list), l.Attempt(ctx, list)
		}},
		{"settle", func(ctx context.Context, l *Ledger) (any, error) {
			var results []meter.Result
			for _, r := range waitingRecords(l) {
				results = append(results, meter.Result{UUID: r.UUID, State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: true})
			}
			return len(results), l.Settle(ctx, results, now, time.Minute)
		}},
		{"release", func(ctx context.Context, l *Ledger) (any, error) { return nil, l.Release(ctx) }},
		{"remember values", func(ctx context.Context, l *Ledger) (any, error) {
			return nil, l.RememberValues(ctx, []*meter.Rule{{Name: "mails", SKU: sku, Values: []string{"=b", "=c"}}})
		}},
		{"problems", func(ctx context.Context, l *Ledger) (any, error) {
			return nil, l.SetProblems(ctx, []meter.Problem{{Code: "x", Message: "y", Since: noon}, {Code: "z", Message: "y", Since: noon}})
		}},
		{"secret of the keys", func(ctx context.Context, l *Ledger) (any, error) {
			secret, err := l.KeySecret(ctx)
			return len(secret), err
		}},
		{"identity", func(ctx context.Context, l *Ledger) (any, error) {
			name, err := l.Identity(ctx)
			return len(name), err
		}},
		{"queue again", func(ctx context.Context, l *Ledger) (any, error) {
			var uuids []string
			err := l.Records(context.Background(), Filter{State: []meter.State{meter.Refused}}, func(r meter.Record) error {
				uuids = append(uuids, r.UUID)
				return nil
			})
			if err != nil {
				return nil, err
			}
			retries, err := Requeue(ctx, l.dir(), uuids, nil, now)
			return len(retries), err
		}},
	}
}

// waitingRecords returns the records that are due.
func waitingRecords(l *Ledger) []meter.Record {
	return must(l.Pending(context.Background(), noon, noon, meter.MaxRecords, nil))
}

func (l *Ledger) dir() string {
	var path string
	if err := l.db.QueryRow(`SELECT file FROM pragma_database_list`).Scan(&path); err != nil {
		panic(err)
	}
	return filepath.Dir(path)
}

// readingCalls returns a call of every method that reads.
func readingCalls() []ledgerCall {
	g := gauges()[1]
	var key meter.KeyRef
	for _, o := range richKeys() {
		if o.Within > 0 {
			key = keyRef(o, 5, noon)
		}
	}
	all := []ledgerCall{
		{"generations", func(ctx context.Context, l *Ledger) (any, error) { return l.Generations(ctx) }},
		{"copies", func(ctx context.Context, l *Ledger) (any, error) { return l.Copies(ctx) }},
		{"globs", func(ctx context.Context, l *Ledger) (any, error) { return l.Globs(ctx) }},
		{"activity", func(ctx context.Context, l *Ledger) (any, error) { return l.Activity(ctx) }},
		{"anomalies", func(ctx context.Context, l *Ledger) (any, error) { return l.Anomalies(ctx) }},
		{"problems", func(ctx context.Context, l *Ledger) (any, error) { return l.Problems(ctx) }},
		{"totals", func(ctx context.Context, l *Ledger) (any, error) { return l.Totals(ctx) }},
		{"usage", func(ctx context.Context, l *Ledger) (any, error) { return l.Usage(ctx, noon.Add(-time.Hour)) }},
		{"unbilled", func(ctx context.Context, l *Ledger) (any, error) { return l.Unbilled(ctx) }},
		{"latest", func(ctx context.Context, l *Ledger) (any, error) { return l.Latest(ctx, 5) }},
		{"oldest", func(ctx context.Context, l *Ledger) (any, error) { return l.OldestUnsettled(ctx) }},
		{"next seal", func(ctx context.Context, l *Ledger) (any, error) { return l.NextSeal(ctx) }},
		{"next closing", func(ctx context.Context, l *Ledger) (any, error) { return l.NextClosing(ctx) }},
		{"open peaks", func(ctx context.Context, l *Ledger) (any, error) { return l.OpenPeaks(ctx) }},
		{"peaks in", func(ctx context.Context, l *Ledger) (any, error) { return l.PeaksIn(ctx, g.rule.Name, 2, 0, 10_000) }},
		{"peak place", func(ctx context.Context, l *Ledger) (any, error) { return l.PeakPlace(ctx, g.ref(1, noon)) }},
		{"key place", func(ctx context.Context, l *Ledger) (any, error) { return l.KeyPlace(ctx, key, 2, 2004) }},
		{"pending", func(ctx context.Context, l *Ledger) (any, error) { return l.Pending(ctx, noon, noon, 25, nil) }},
		{"held", func(ctx context.Context, l *Ledger) (any, error) { return l.Held(ctx, noon, noon, 25) }},
		{"unsettled", func(ctx context.Context, l *Ledger) (any, error) {
			open, sealed, err := l.Unsettled(ctx)
			return []int{open, sealed}, err
		}},
		{"records", func(ctx context.Context, l *Ledger) (any, error) {
			var all []meter.Record
			return all, l.Records(ctx, Filter{}, func(r meter.Record) error { all = append(all, r); return nil })
		}},
		{"accounts", func(ctx context.Context, l *Ledger) (any, error) {
			var all []Account
			for _, r := range must(l.Latest(context.Background(), 100)) {
				a, err := l.Account(ctx, r.UUID)
				if err != nil {
					return nil, err
				}
				all = append(all, a)
			}
			return all, nil
		}},
	}
	for _, by := range []Period{Always, Daily} {
		all = append(all, ledgerCall{"sums", func(ctx context.Context, l *Ledger) (any, error) {
			return l.Sums(ctx, by, noon.Add(-time.Hour), time.Time{})
		}})
	}
	return all
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// TestCallsGivenUp gives every call up after some number of looks at its context,
// again and again, until the call succeeds. A call that writes must leave the ledger
// as it was, or as the whole call leaves it. A call that reads must return an error or
// the whole answer. Each seed takes some calls. METERLOG_TEST_SEED runs one seed again.
func TestCallsGivenUp(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("METERLOG_TEST_SEED"); text != "" {
		seed = must(strconv.ParseUint(text, 10, 64))
	}
	rich, writing := richLedger(t), writingCalls()
	rand.New(rand.NewPCG(seed, 5)).Shuffle(len(writing), func(i, j int) { writing[i], writing[j] = writing[j], writing[i] })
	for _, c := range writing[:8] { // the other seeds take the others
		t.Run(c.name, func(t *testing.T) {
			twin := must(Open(t.Context(), crash(t, rich)))
			defer twin.Close()
			want := must(c.call(t.Context(), twin))
			l := open(t, crash(t, rich))
			before := dump(t, l)
			got := untilItSucceeds(t, seed, func(ctx context.Context) (any, error) { return c.call(ctx, l) }, func() {
				if after := dump(t, l); after != before {
					t.Fatalf("seed %d: it left\n%s\nand before was\n%s", seed, after, before)
				}
			})
			if !reflect.DeepEqual(got, want) {
				t.Errorf("seed %d: it returned %+v, want %+v", seed, got, want)
			}
			known := uuidText.FindAllString(before, -1)
			if got, want := anonymous(dump(t, l), known), anonymous(dump(t, twin), known); got != want {
				t.Errorf("seed %d: it made\n%s\nwant\n%s", seed, got, want)
			}
		})
	}
	l := open(t, crash(t, rich))
	for _, c := range readingCalls() {
		t.Run(c.name, func(t *testing.T) {
			want := must(c.call(t.Context(), l))
			if got := untilItSucceeds(t, seed, func(ctx context.Context) (any, error) { return c.call(ctx, l) }, func() {}); !reflect.DeepEqual(got, want) {
				t.Errorf("seed %d: it returned\n%+v\nwant\n%+v", seed, got, want)
			}
		})
	}
}

// untilItSucceeds makes a call until it succeeds, each time with a context that ends
// somewhat later. After each failure it calls failed.
func untilItSucceeds(t *testing.T, seed uint64, call func(context.Context) (any, error), failed func()) any {
	random, times := rand.New(rand.NewPCG(seed, 3)), 0
	for looks := 1; looks < 1_000_000; looks += 1 + random.IntN(1+looks/3) {
		ctx := cancelAfter(t.Context(), looks)
		got, err := call(ctx)
		if err == nil {
			if times == 0 {
				t.Error("it never failed")
			}
			return got
		}
		if times++; ctx.Err() == nil {
			t.Fatalf("seed %d: after %d looks: %v", seed, looks, err)
		}
		failed()
	}
	t.Fatal("it never succeeded")
	return nil
}

// anonymous replaces the uuids that are not known.
func anonymous(text string, known []string) string {
	return uuidText.ReplaceAllStringFunc(text, func(uuid string) string {
		if slices.Contains(known, uuid) {
			return uuid
		}
		return "new"
	})
}

// Openings that were given up leave a folder that the next one opens.
func TestOpeningGivenUp(t *testing.T) {
	for name, dir := range map[string]string{"a new ledger": t.TempDir(), "a whole one": crash(t, richLedger(t))} {
		t.Run(name, func(t *testing.T) {
			untilItSucceeds(t, rand.Uint64(), func(ctx context.Context) (any, error) {
				l, err := Open(ctx, dir)
				if isA[*CorruptError](err) {
					t.Fatal(err)
				}
				if err != nil {
					return nil, err
				}
				return nil, l.Close()
			}, func() {})
			audit(t, dir)
		})
	}
}

// A removal that was given up while it counts what is lost removes all the same.
func TestRemovalGivenUp(t *testing.T) {
	rich := richLedger(t)
	for looks := 1; looks < 40; looks += 8 {
		dir := crash(t, rich)
		removed, err := Remove(cancelAfter(t.Context(), looks), dir)
		if err != nil || len(removed.Files) == 0 || removed.Unsettled == 0 {
			t.Errorf("after %d looks: %+v, %v", looks, removed, err)
		}
		check(t, open(t, dir).Close())
	}
}
