package ledger

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

func stateTotals(t *testing.T, l *Ledger) map[meter.State]Total {
	t.Helper()
	list, err := l.Totals(t.Context())
	check(t, err)
	byState := make(map[meter.State]Total)
	for _, total := range list {
		byState[total.State] = total
	}
	return byState
}

// Totals follow the records through their life, and outlive them.
func TestTotals(t *testing.T) {
	l := open(t, t.TempDir())
	sealed(t, l, minute(0), minute(1))
	commit(t, l, mails, minute(2), 40)
	commit(t, l, mails, minute(2), 2)
	want := map[meter.State]Total{
		meter.Open:   {ProductID: product, SKU: sku, State: meter.Open, Records: 1, Units: 42},
		meter.Sealed: {ProductID: product, SKU: sku, State: meter.Sealed, Records: 2, Units: 2},
	}
	if got := stateTotals(t, l); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	first := pending(t, l, noon.Add(time.Hour))[0]
	check(t, l.Settle(t.Context(), []meter.Result{{UUID: first.UUID, State: meter.Accepted}}, noon, 0))
	if _, err := l.Prune(t.Context(), noon.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	want[meter.Sealed] = Total{ProductID: product, SKU: sku, State: meter.Sealed, Records: 1, Units: 1}
	want[meter.Accepted] = Total{ProductID: product, SKU: sku, State: meter.Accepted, Pruned: 1}
	if got := stateTotals(t, l); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Sums that no int64 holds do not stop the ledger.
func TestTotalsOverflow(t *testing.T) {
	l := open(t, t.TempDir())
	for i := range 3 {
		commit(t, l, mails, minute(i), math.MaxInt64-1)
	}
	if got := stateTotals(t, l)[meter.Open]; got.Records != 3 || got.Units != math.MaxInt64 {
		t.Errorf("%+v", got)
	}
	for i := range 3 {
		commit(t, l, mails, minute(0), math.MaxInt64-int64(i)) // seals and opens another
	}
	usage, err := l.Usage(t.Context(), noon)
	check(t, err)
	if len(usage) != 3 || usage[0].Units != math.MaxInt64 || usage[1].Units != math.MaxInt64-1 {
		t.Errorf("%+v", usage)
	}
}

func TestUsage(t *testing.T) {
	l := open(t, t.TempDir())
	commit(t, l, mails, minute(-1), 5)
	commit(t, l, mails, minute(0), 7)
	_, err := l.Seal(t.Context(), minute(0).EndTime())
	check(t, err)
	commit(t, l, mails, minute(0), 1)
	for _, r := range pending(t, l, noon.Add(time.Minute)) { // one is refused and queued again
		check(t, l.Settle(t.Context(), []meter.Result{{UUID: r.UUID, State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: r.Quantity == 7}}, noon, 0))
	}
	usage, err := l.Usage(t.Context(), noon)
	check(t, err)
	if want := []Usage{{ProductID: product, SKU: sku, Window: noon, Units: 8}}; !reflect.DeepEqual(usage, want) {
		t.Errorf("%+v, want %+v", usage, want)
	}
	unbilled, err := l.Unbilled(t.Context())
	check(t, err)
	want := []Unbilled{{ProductID: product, SKU: sku, State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reasons: 1, Records: 1, Units: 5, Latest: noon}}
	if !reflect.DeepEqual(unbilled, want) {
		t.Errorf("%+v, want %+v", unbilled, want)
	}
	oldest, err := l.OldestUnsettled(t.Context())
	if check(t, err); !oldest.Equal(noon) {
		t.Errorf("the oldest is of %v", oldest)
	}
}

// The API may give each record words of its own: what nobody would read is summed.
func TestUnbilledReasonsAreBounded(t *testing.T) {
	l := open(t, t.TempDir())
	const more = 30
	for i := range mostReasons + more {
		commit(t, l, mails, minute(-i), 2)
	}
	_, err := l.Seal(t.Context(), noon.Add(time.Minute))
	check(t, err)
	all, err := l.Pending(t.Context(), noon.Add(time.Minute), noon.Add(time.Minute), 1000, nil)
	check(t, err)
	for i, r := range all {
		reason := fmt.Sprintf("request %03d is bad", i)
		switch i {
		case 20, 21:
			reason = "request 019 is bad"
		case 40:
			reason = "INVALID_SKU_ID"
		}
		check(t, l.Settle(t.Context(), []meter.Result{{UUID: r.UUID, State: meter.Refused, Reason: reason}}, noon, 0))
	}
	unbilled, err := l.Unbilled(t.Context())
	check(t, err)
	if len(unbilled) != mostReasons+1 {
		t.Fatalf("%d reasons: %+v", len(unbilled), unbilled)
	}
	records, apart := 0, map[string]int{}
	for _, u := range unbilled {
		records += u.Records
		apart[u.Reason] = u.Records
	}
	last := unbilled[mostReasons]
	if want := more - 2; last.Reason != "" || last.Reasons != want || last.Records != want || last.Units != int64(2*want) {
		t.Errorf("the others are %+v", last)
	}
	if records != mostReasons+more || apart["INVALID_SKU_ID"] != 1 || apart["request 019 is bad"] != 3 {
		t.Errorf("%d records: %+v", records, unbilled)
	}
}

func TestProblems(t *testing.T) {
	l := open(t, t.TempDir())
	first := []meter.Problem{{Code: "a", Message: "m", Hint: "h", Since: noon}, {Code: "a", Subject: "s", Since: noon.Add(time.Second)}}
	for _, want := range [][]meter.Problem{first, first[1:], nil} {
		check(t, l.SetProblems(t.Context(), want))
		got, err := l.Problems(t.Context())
		if check(t, err); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

const firstUUID = "7b0d1a52-51ad-4f39-b4a5-5b1a6a4a5a11"

// firstEdition is an open record of 3 mails and a remainder of 9 tens, in the words
// of the first schema.
const firstEdition = `
INSERT INTO generations (id, path, dev, ino, offset, head, mark, compressed, eof_at, state, missed, updated_at)
	VALUES (1, '/var/log/a.log', 1, 2, 30, x'', x'', 0, -1, 'live', 0, '2026-03-14T12:00:00.000Z');
INSERT INTO records (id, uuid, product_id, sku_id, window_start, window_end, quantity, state, opened_at)
	VALUES (1, '` + firstUUID + `', ?1, ?2, '2026-03-14T12:00:00Z', '2026-03-14T12:01:00Z', 3, 'open', '2026-03-14T12:00:00.000Z');
INSERT INTO shares (record_id, rule, per, carried, units) VALUES (1, 'mails', 1, 0, 3);
INSERT INTO contributions (record_id, rule, sku_id, generation_id, start_offset, end_offset, lines, amount)
	VALUES (1, 'mails', ?2, 1, 0, 10, 3, 3), (0, 'tens', ?3, 1, 10, 20, 1, 9);
INSERT INTO remainders (rule, sku_id, remainder) VALUES ('tens', ?3, 9);
`

// A ledger of the first version is brought up by the agent, and refused by who
// only reads it.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	all := migrations
	migrations = all[:1]
	l, err := Open(t.Context(), dir)
	if err == nil {
		_, err = l.db.Exec(firstEdition, mails.ProductID, mails.SKU, tens.SKU)
		err = errors.Join(err, l.Close())
	}
	migrations = all
	check(t, err)
	if r, err := OpenReader(dir); err == nil {
		r.Close()
		t.Error("a reader takes the old ledger")
	}
	l = open(t, dir)
	if aside := keepRemainders(t, l, mails, tens); aside != nil {
		t.Errorf("set aside: %+v", aside)
	}
	if r := one(t, l, Filter{}); !r.Timestamp.Equal(r.Window.StartTime()) {
		t.Errorf("the timestamp became %v", r.Timestamp)
	}
	commit(t, l, mails, minute(0), 4)
	if got := stateTotals(t, l)[meter.Open]; got.Records != 1 || got.Units != 7 {
		t.Errorf("%+v", got)
	}
	countAt(t, l, tens, minute(1), 1, 30) // the unit that 9 had begun
	wantTotals(t, l, map[meter.State]int64{meter.Open: 8})
	a := must(l.Account(t.Context(), firstUUID))
	if len(a.Shares) != 1 || a.Shares[0].Decimals != 0 || a.Shares[0].Units != 7 || len(a.Contributions) != 1 || a.Contributions[0].Amount != 7 {
		t.Errorf("%+v", a)
	}
	if _, err := OpenReader(filepath.Join(dir, "none")); err == nil {
		t.Error("there is a ledger where there is none")
	}
}
