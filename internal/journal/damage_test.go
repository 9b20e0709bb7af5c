package journal

import (
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/journal/journaltest"
	"github.com/meterlog/meterlog/internal/meter"
)

// counted checks that all messages from one to another are in the ledger, that gaps
// have so many entries, and why.
func (r *reading) counted(gaps, entries int64, ranges ...[2]int) {
	r.t.Helper()
	r.read()
	r.commit()
	want := 0
	for _, of := range ranges {
		for n := of[0]; n <= of[1]; n++ {
			if want++; r.seen[n] != 1 {
				r.t.Errorf("message %d is counted %d times", n, r.seen[n])
			}
		}
	}
	if len(r.seen) != want {
		r.t.Errorf("%d messages are counted, want %d", len(r.seen), want)
	}
	if n, lost := r.gaps(); n != gaps || lost != entries {
		r.t.Errorf("%d gaps of %d entries, want %d of %d", n, lost, gaps, entries)
	}
}

// A file is damaged before it was read: journalctl goes on with the next file, and
// says so only if it is to tell everything. What it leaves out is a gap, with its
// number.
func TestStreamOverADamagedFile(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 21)
		r.expect(1, 21, 0)
		r.stream.Close()
		r.write(22, 60) // 52 entries, because every third is followed by another unit's
		r.fake.Damage(19, journaltest.Whole)
		r.fake.Rotate()
		r.write(61, 90)
		r.start()
		r.counted(1, 20, [2]int{1, 45}, [2]int{61, 90})
		a := r.tally.Anomalies[meter.AnomalyKey{Kind: meter.BytesMissed, Subject: "journal:app"}]
		if !strings.Contains(a.Example, "/var/log/journal/1/system@0.journal") || !strings.Contains(a.Example, "(20)") {
			t.Errorf("the gap is explained by %q", a.Example)
		}
		if hint := GapHint(a.Example); !strings.Contains(hint, "--verify") || GapHint("entries were deleted") == hint {
			t.Errorf("the hint is %q", hint)
		}
		r.crash() // the gap is known
		r.write(91, 99)
		r.counted(1, 20, [2]int{1, 45}, [2]int{61, 99})
		at := r.places[61] // what came after the gap can be read again
		if gone, err := entries(t.Context(), r.fake.Run, r.ledger[at.generation], at.offset, at.offset+1, func(meter.Block) {}); err != nil || gone > 0 {
			t.Error(gone, err)
		}
	})
}

// The damage may be where the entries of one unit are listed only. Then nothing is
// lost, because the list of all entries leads to them.
func TestStreamOverADamagedListOfAUnit(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 21)
		r.expect(1, 21, 0)
		r.stream.Close()
		r.write(22, 60)
		r.fake.Damage(19, journaltest.OfUnit)
		r.fake.Rotate()
		r.write(61, 90)
		r.start()
		r.counted(0, 0, [2]int{1, 90})
		r.crash()
		r.write(91, 99)
		r.counted(0, 0, [2]int{1, 99})
	})
}

// The file that holds the entry of the cursor cannot be opened at all.
func TestStreamWhoseLastEntryIsInADamagedFile(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 21)
		r.expect(1, 21, 0)
		r.expect(1, 21, 0) // until the position is behind the other unit's entry, too
		r.stream.Close()
		r.write(22, 30) // 12 entries
		r.fake.Break(0)
		r.fake.Rotate()
		r.write(31, 60)
		r.start()
		r.counted(1, 12, [2]int{1, 21}, [2]int{31, 60})
		r.write(61, 70)
		r.counted(1, 12, [2]int{1, 21}, [2]int{31, 70})
	})
}

// The end of the journal is damaged. How much is lost shows when journald writes
// more, into another file.
func TestStreamOverADamagedEnd(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 21)
		r.expect(1, 21, 0)
		r.stream.Close()
		r.write(22, 30)
		r.fake.Damage(4, journaltest.Whole)
		r.start()
		r.counted(0, 0, [2]int{1, 27})
		r.fake.Rotate()
		r.write(31, 40)
		r.counted(1, 5, [2]int{1, 27}, [2]int{31, 40})
		r.crash()
		r.write(41, 50)
		r.counted(1, 5, [2]int{1, 27}, [2]int{31, 50})
	})
}

// Other units print between the last entry before the damage and the end: the gap is
// reported, though the source has no entry behind it.
func TestStreamWithNothingBehindTheDamage(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 21)
		r.expect(1, 21, 0)
		r.stream.Close()
		r.write(22, 30)
		r.fake.Damage(4, journaltest.Whole)
		r.fake.Rotate()
		r.fake.Write("_SYSTEMD_UNIT=other.service", "MESSAGE=hello")
		r.start()
		r.stream.Next(time.Now())
		time.Sleep(time.Minute)
		r.write(31, 33) // before the gap has left the reader
		r.counted(1, 5, [2]int{1, 27}, [2]int{31, 33})
		r.crash()
		r.write(34, 40)
		r.counted(1, 5, [2]int{1, 27}, [2]int{31, 40})
	})
}

// A damaged file of the past is of no concern, and costs nothing.
func TestStreamBehindADamagedFile(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 21)
		r.fake.Rotate()
		r.write(22, 30)
		r.expect(1, 30, 0)
		r.stream.Close()
		r.fake.Break(0)
		r.start()
		r.write(31, 40)
		r.counted(0, 0, [2]int{1, 40})
		before := len(r.fake.Runs())
		for n := range 20 {
			r.write(41+n, 41+n)
			r.read()
		}
		if started := len(r.fake.Runs()) - before; started > 5 { // one more look at the first entry, and one at the end of the journal
			t.Errorf("journalctl was started %d times within 20 minutes", started)
		}
	})
}

func TestStreamSaysThatAFieldCannotBeRead(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 3)
		r.expect(1, 3, 0)
		r.fake.Complain("Entry item 12 data object is bad, skipping over it: Bad message")
		r.write(4, 6)
		r.counted(1, 0, [2]int{1, 6})
	})
}

// A reading to the end does not end before the damage.
func TestStreamToItsEndOverDamage(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 21)
		r.expect(1, 21, 0)
		r.stream.Close()
		r.write(22, 30)
		r.fake.Damage(4, journaltest.OfUnit)
		r.start()
		r.stream.ToEnd()
		for {
			b, ok := r.stream.Next(time.Now())
			if !ok {
				break
			}
			r.take(b)
		}
		r.commit()
		if len(r.seen) != 30 {
			t.Errorf("%d messages", len(r.seen))
		}
	})
}

func TestQueryMatchesAsJournalctlDoes(t *testing.T) {
	q := NewQuery("m", []string{"a.service", "b.service"}, nil, []string{"X=1"})
	for _, c := range []struct {
		entry map[string]any
		want  bool
	}{
		{map[string]any{"_SYSTEMD_UNIT": "a.service", "X": "1", "_MACHINE_ID": "m"}, true},
		{map[string]any{"_SYSTEMD_UNIT": "b.service", "X": []any{"2", "1"}, "_MACHINE_ID": "m"}, true},
		{map[string]any{"_SYSTEMD_UNIT": "a.service", "X": "2", "_MACHINE_ID": "m"}, false},
		{map[string]any{"_SYSTEMD_UNIT": "a.service", "X": "1", "_MACHINE_ID": "n"}, false},
		{map[string]any{"_SYSTEMD_UNIT": "c.service", "X": "1", "_MACHINE_ID": "m"}, false},
		{map[string]any{"_TRANSPORT": "driver", "MESSAGE_ID": suppressedID, "_MACHINE_ID": "m"}, true},
		{map[string]any{"_TRANSPORT": "driver", "_MACHINE_ID": "m"}, false},
		{nil, false},
	} {
		if got := q.matches(c.entry); got != c.want {
			t.Errorf("%v: %t", c.entry, got)
		}
	}
	if !(Query{}).matches(nil) {
		t.Error("a query that asks for nothing chooses all")
	}
}
