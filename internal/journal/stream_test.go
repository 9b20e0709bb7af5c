package journal

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterlog/meterlog/internal/journal/journaltest"
	"github.com/meterlog/meterlog/internal/meter"
)

// reading is a stream of the unit app with a ledger.
type reading struct {
	t      *testing.T
	fake   *journaltest.Journal
	stream *Stream
	query  Query
	atEnd  bool

	ledger map[int64]meter.Generation
	lastID int64
	seen   map[int]int // how often each message is in the ledger
	places map[int]place
	tally  meter.Tally // in the ledger
	batch  map[int]place
}

// place is where a message was counted.
type place struct{ generation, offset int64 }

func newReading(t *testing.T, f *journaltest.Journal) *reading {
	r := &reading{t: t, fake: f, query: NewQuery("", []string{"app.service"}, nil, nil), ledger: map[int64]meter.Generation{}, seen: map[int]int{}, places: map[int]place{}}
	r.start()
	return r
}

func (r *reading) start() {
	var known []meter.Generation
	for _, g := range r.ledger {
		if g.State != meter.Forgotten {
			known = append(known, g)
		}
	}
	r.batch = map[int]place{}
	r.stream = NewStream(Config{
		Source: "app", Path: "journal:app", Query: r.query, AtEnd: r.atEnd, MaxLine: 1000, Known: known,
		NewID: func() int64 { r.lastID++; return r.lastID }, Machine: Machine{Run: r.fake.Run, Boot: r.fake.Boot(), Files: r.fake.Files},
	})
}

// read reads all that there is within a minute.
func (r *reading) read() {
	for range 60 {
		synctest.Wait()
		for {
			b, ok := r.stream.Next(time.Now())
			if !ok {
				break
			}
			r.take(b)
			synctest.Wait()
		}
		time.Sleep(time.Second)
	}
}

func (r *reading) take(b meter.Block) {
	start := 0
	for _, e := range b.Events {
		for _, n := range numbers(b.Data[start:e.End]) {
			if _, twice := r.batch[n]; twice {
				r.t.Errorf("%d comes twice", n)
			}
			r.batch[n] = place{b.Generation, e.From}
		}
		start = e.End
	}
}

func (r *reading) commit() {
	for _, g := range r.stream.Take(&r.tally) {
		r.ledger[g.ID] = g
	}
	for n, at := range r.batch {
		r.seen[n]++
		r.places[n] = at
		if r.seen[n] > 1 {
			r.t.Errorf("message %d is counted twice", n)
		}
	}
	r.batch = map[int]place{}
}

// crash loses what was not committed.
func (r *reading) crash() {
	r.stream.Close()
	r.start()
}

func (r *reading) gaps() (n, entries int64) {
	if a := r.tally.Anomalies[meter.AnomalyKey{Kind: meter.BytesMissed, Subject: "journal:app"}]; a != nil {
		return a.Count, a.Bytes
	}
	return 0, 0
}

// expect checks which messages are in the ledger, and how many gaps.
func (r *reading) expect(from, to int, gaps int64) {
	r.t.Helper()
	r.read()
	r.commit()
	var missing, other []int
	for n := from; n <= to; n++ {
		if r.seen[n] == 0 {
			missing = append(missing, n)
		}
	}
	for n := range r.seen {
		if n < from || n > to {
			other = append(other, n)
		}
	}
	if n, _ := r.gaps(); len(missing)+len(other) > 0 || n != gaps {
		r.t.Errorf("missing %v, counted but not to be %v, %d gaps and not %d", missing, other, n, gaps)
	}
}

// test runs f in a bubble.
func test(t *testing.T, f func(t *testing.T, r *reading)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading(t, journaltest.New(""))
		defer func() { r.stream.Close() }()
		f(t, r)
	})
}

// sent writes a message of the unit app.
func (r *reading) sent(n int) {
	r.fake.Write("_SYSTEMD_UNIT=app.service", fmt.Sprintf("MESSAGE=sent %d", n))
}

// numbers returns the numbers of messages "sent N".
func numbers(data []byte) (list []int) {
	for line := range bytes.Lines(data) {
		var n int
		if _, err := fmt.Sscanf(string(line), "sent %d", &n); err == nil {
			list = append(list, n)
		}
	}
	return list
}

func (r *reading) write(from, to int) {
	for n := from; n <= to; n++ {
		r.sent(n)
		if n%3 == 0 {
			r.fake.Write("_SYSTEMD_UNIT=other.service", "MESSAGE=sent 999999")
		}
	}
}

func TestStreamReadsWhatTheUnitPrints(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.write(21, 30)
		r.expect(1, 30, 0)
		following := slices.DeleteFunc(r.fake.Runs(), func(args []string) bool { return !slices.Contains(args, "--follow") })
		if len(following) != 1 {
			t.Errorf("journalctl was started %d times", len(following))
		}
	})
}

func TestStreamGoesOnAfterACrash(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.write(21, 30)
		r.read()
		r.crash()
		r.write(31, 40)
		r.expect(1, 40, 0)
	})
}

func TestStreamStartsAtTheEnd(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.fake.Write("_SYSTEMD_UNIT=other.service", "MESSAGE=last")
		r.atEnd = true
		r.crash()
		r.read()
		r.commit()
		r.crash() // before the first entry: the position is known
		r.write(21, 30)
		r.expect(21, 30, 0)
		r.crash()
		r.write(31, 40)
		r.expect(21, 40, 0)
	})
}

func TestStreamOverKillsOfJournalctl(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 50)
		r.fake.CutAfter(1500) // within an entry
		r.read()
		r.fake.CutAfter(0)
		r.expect(1, 50, 0)
	})
}

func TestStreamOverAVacuum(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.fake.Vacuum(0) // all is read
		r.write(21, 30)
		r.expect(1, 30, 0)
	})
}

// What was read was deleted meanwhile, and nothing else: no gap.
func TestStreamRestartedAfterAVacuumOfWhatWasRead(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.stream.Close()
		r.write(21, 30)
		r.fake.Vacuum(14)
		r.start()
		r.expect(1, 30, 0)
	})
}

func TestStreamMissesWhatWasDeleted(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.stream.Close()
		r.write(21, 40)
		r.fake.Vacuum(13) // of 21..40, with 6 of others
		r.start()
		r.read()
		r.commit()
		if n, entries := r.gaps(); n != 1 || entries != 27-13 {
			t.Errorf("%d gaps of %d entries, want 1 of %d", n, entries, 27-13)
		}
		if r.seen[40] != 1 || r.seen[21] != 0 {
			t.Errorf("counted: %v", r.seen)
		}
		at := r.places[40] // what came after the gap can be read again
		if gone, err := entries(t.Context(), r.fake.Run, r.ledger[at.generation], at.offset, at.offset+1, func(meter.Block) {}); err != nil || gone > 0 {
			t.Error(gone, err)
		}
		r.crash() // the gap is known
		r.write(41, 50)
		r.read()
		r.commit()
		if n, _ := r.gaps(); n != 1 || r.seen[50] != 1 {
			t.Errorf("%d gaps", n)
		}
	})
}

// A journal that is vacuumed while the agent cannot read on: the journalctl that
// runs says nothing of it.
func TestStreamHeldWhileTheJournalIsVacuumed(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.write(21, 4*batchLength) // more than waits in memory
		synctest.Wait()
		r.fake.Vacuum(10)
		r.read()
		r.commit()
		missing := int64(0)
		for n := 1; n <= 4*batchLength; n++ {
			if r.seen[n] == 0 {
				missing++
			}
		}
		if n, entries := r.gaps(); missing == 0 || n == 0 || entries < missing {
			t.Errorf("%d messages are missing, and %d gaps of %d entries are reported", missing, n, entries)
		}
	})
}

// A vacuum between the first start and the first commit is a gap: the journal had the
// entries when the source began.
func TestStreamMissesWhatWasDeletedBeforeItReadAnything(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.stream.Next(time.Now()) // it has read nothing yet
		r.commit()
		r.stream.Close()
		r.fake.Vacuum(5) // of 26
		r.start()
		r.read()
		r.commit()
		if n, entries := r.gaps(); n != 1 || entries != 21 || r.seen[20] != 1 {
			t.Errorf("%d gaps of %d entries, and counted are %v", n, entries, r.seen)
		}
	})
}

// The last entry of a unit that seldom prints is deleted with all others of its
// time. That is no gap, over a restart as well.
func TestStreamOfAUnitThatSeldomPrints(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		for range 5 {
			for range 10 {
				r.fake.Write("_SYSTEMD_UNIT=other.service", "MESSAGE=noise")
			}
			r.fake.Rotate()
			r.read()
			r.read()
			r.commit()
			r.fake.Vacuum(5)
			r.read()
			r.read()
			r.commit()
		}
		r.write(21, 25)
		r.expect(1, 25, 0)
		for range 10 {
			r.fake.Write("_SYSTEMD_UNIT=other.service", "MESSAGE=noise")
		}
		r.fake.Rotate()
		r.read()
		r.read()
		r.commit()
		r.fake.Vacuum(3)
		r.crash()
		r.write(26, 30)
		r.expect(1, 30, 0)
	})
}

// A vacuum of what was read is no gap, although others wrote in between.
func TestStreamFollowsOverVacuums(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		for n := range 20 {
			r.write(10*n+1, 10*n+10)
			r.read()
			r.fake.Vacuum(3)
		}
		r.expect(1, 200, 0)
	})
}

// A volatile journal is empty after a reboot. What was written before and not read
// is gone, and nobody knows how much.
func TestStreamOverARebootWithAVolatileJournal(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.stream.Close()
		r.fake.Vacuum(0)
		r.fake.SetClock(r.fake.Clock().Add(-time.Hour)) // a machine without a clock of its own
		r.fake.NewSequence("c")
		r.fake.Reboot(strings.Repeat("0", 8))
		r.write(21, 30)
		r.start()
		r.expect(1, 30, 1)
	})
}

func TestStreamOverARebootWithAPersistentJournal(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.stream.Close()
		r.write(21, 25)
		r.fake.Reboot("b2")
		r.write(26, 30)
		r.start()
		r.expect(1, 30, 0)
	})
}

func TestStreamOverAClockThatIsSetBack(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.fake.SetClock(r.fake.Clock().Add(-3 * time.Hour))
		r.write(21, 30)
		r.crash()
		r.expect(1, 30, 0)
	})
}

// What the rules ask for has changed: the position stays, and older entries of
// what is new are not counted.
func TestStreamWithAnotherQuery(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.fake.Write("_SYSTEMD_UNIT=more.service", "MESSAGE=sent 500")
		r.write(1, 20)
		r.expect(1, 20, 0)
		r.query = NewQuery("", []string{"app.service", "more.service"}, nil, nil)
		r.crash()
		r.read()
		r.commit()
		r.crash()
		r.write(21, 30)
		r.fake.Write("_SYSTEMD_UNIT=more.service", "MESSAGE=sent 31")
		r.expect(1, 31, 0)
		r.crash()
		r.write(32, 40)
		r.expect(1, 40, 0)
	})
}

func TestStreamCountsSuppressedMessagesAsGap(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 3)
		r.fake.Write("_TRANSPORT=driver", "MESSAGE_ID="+suppressedID, "N_DROPPED=425", "OBJECT_SYSTEMD_UNIT=app.service", "MESSAGE=Suppressed 425 messages from app.service")
		r.fake.Write("_TRANSPORT=driver", "MESSAGE_ID="+suppressedID, "MESSAGE=Suppressed 5 messages from /system.slice/app.service") // as older journals have it
		r.fake.Write("_TRANSPORT=driver", "MESSAGE_ID="+suppressedID, "N_DROPPED=7", "OBJECT_SYSTEMD_UNIT=other.service", "MESSAGE=Suppressed 7 messages from other.service")
		r.fake.Write("_SYSTEMD_UNIT=forger.service", "MESSAGE_ID="+suppressedID, "N_DROPPED=9", "OBJECT_SYSTEMD_UNIT=app.service")
		r.write(4, 6)
		r.read()
		r.commit()
		if n, entries := r.gaps(); n != 2 || entries != 430 || r.seen[6] != 1 {
			t.Errorf("%d gaps of %d entries", n, entries)
		}
		r.crash()
		r.write(7, 9)
		r.read()
		r.commit()
		if n, _ := r.gaps(); n != 2 {
			t.Errorf("after a restart it is %d gaps", n)
		}
	})
}

// A source that names no unit reports lost messages of the units that it has seen.
func TestStreamByIdentifierCountsSuppressedMessages(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.query = NewQuery("", nil, []string{"app"}, nil)
		r.crash()
		r.fake.Write("_SYSTEMD_UNIT=app.service", "SYSLOG_IDENTIFIER=app", "MESSAGE=sent 1")
		for _, unit := range []string{"app.service", "other.service"} {
			r.fake.Write("_TRANSPORT=driver", "MESSAGE_ID="+suppressedID, "N_DROPPED=3", "OBJECT_SYSTEMD_UNIT="+unit)
		}
		r.expect(1, 1, 1)
	})
}

// Messages may hold anything; each is one event.
func TestStreamTakesMessagesOfAnyKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading(t, journaltest.New(""))
		defer func() { r.stream.Close() }()
		unit := func(message any) map[string]any {
			return map[string]any{"_SYSTEMD_UNIT": "app.service", "MESSAGE": message, "X": []any{"1", []any{255, 254}}}
		}
		r.fake.Add(unit("two\nlines\n"))
		r.fake.Add(unit([]any{27, 91, 0, 255}))
		r.fake.Add(unit([]any{"first", "second"}))
		r.fake.Add(unit(nil))
		r.fake.Add(unit(strings.Repeat("x", 1001)))
		empty := unit("")
		delete(empty, "MESSAGE")
		r.fake.Add(empty)
		r.fake.Add(unit("last"))
		synctest.Wait()
		var got []string
		var offsets []int64
		for range 20 {
			b, _ := r.stream.Next(time.Now())
			start := 0
			for _, e := range b.Events {
				got = append(got, string(b.Data[start:e.End-1]))
				offsets = append(offsets, e.From)
				if list, ok := e.Entry["X"].([]any); !ok || list[1] != "\xff\xfe" {
					t.Errorf("%v", e.Entry)
				}
				start = e.End
			}
			synctest.Wait()
		}
		if want := []string{"two\nlines\n", "\x1b[\x00\xff", "first", "", "", "last"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if want := []int64{0, 1, 2, 3, 5, 6}; !slices.Equal(offsets, want) {
			t.Errorf("at %v, want %v", offsets, want)
		}
		r.stream.Take(&r.tally)
		if a := r.tally.Anomalies[meter.AnomalyKey{Kind: meter.LineTooLong, Subject: "journal:app"}]; a == nil || a.Count != 1 || a.Bytes != 1001 {
			t.Errorf("too long: %+v", a)
		}
	})
}

// An entry that is too long to be read does not end the reading, and is passed.
func TestStreamPassesAnEntryThatIsFarTooLong(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 3)
		r.fake.Write("_SYSTEMD_UNIT=app.service", "MESSAGE="+strings.Repeat("x", MaxEntry))
		r.read()
		r.commit()
		r.crash() // at this entry
		r.write(4, 6)
		r.expect(1, 6, 0)
		if a := r.tally.Anomalies[meter.AnomalyKey{Kind: meter.LineTooLong, Subject: "journal:app"}]; a == nil || a.Count != 1 {
			t.Errorf("too long: %+v", a)
		}
	})
}

func TestStreamSaysWhyTheJournalCannotBeRead(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.fake.Fail(true)
		r.write(1, 3)
		r.read()
		if r.stream.Trouble() == nil {
			t.Error("nothing is reported")
		}
		r.fake.Fail(false)
		r.expect(1, 3, 0)
		if err := r.stream.Trouble(); err != nil {
			t.Errorf("it works, and reports %v", err)
		}
	})
}

// A program that prints without end, and no entry, is ended at once.
func TestReadLineGivesUpWhatIsNoEntry(t *testing.T) {
	endless := bufio.NewReaderSize(io.MultiReader(strings.NewReader("{\n"), zeros{}), 64<<10)
	if line, _, err := readLine(endless); string(line) != "{\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	if line, size, err := readLine(endless); len(line) != 64<<10 || size != 64<<10 || err != nil {
		t.Errorf("%d bytes of %d, %v", len(line), size, err)
	}
	if _, _, err := readLine(bufio.NewReader(strings.NewReader("torn"))); err != io.EOF {
		t.Errorf("a torn line: %v", err)
	}
}

// zeros is a reader without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestStreamToItsEnd(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 10)
		r.expect(1, 10, 0)
		r.write(11, 3*batchLength)
		r.stream.ToEnd()
		for {
			b, ok := r.stream.Next(time.Now())
			if !ok {
				break
			}
			r.take(b)
		}
		r.commit()
		if r.seen[3*batchLength] != 1 || len(r.seen) != 3*batchLength {
			t.Errorf("%d messages", len(r.seen))
		}
		r.fake.Absent(true)
		r.stream.ToEnd()
		if _, ok := r.stream.Next(time.Now()); ok || r.stream.Trouble() == nil {
			t.Error("without journalctl nothing is reported")
		}
	})
}

// Entries are found again by the generation that they were counted in.
func TestEntriesAreReadAgain(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 30)
		r.expect(1, 30, 0)
		r.crash()
		r.write(31, 50)
		r.expect(1, 50, 0)
		for n, at := range r.places {
			found := 0
			gone, err := entries(t.Context(), r.fake.Run, r.ledger[at.generation], at.offset, at.offset+1, func(b meter.Block) {
				if b.Events[0].From == at.offset && slices.Equal(numbers(b.Data), []int{n}) {
					found++
				}
			})
			if err != nil || gone > 0 || found != 1 {
				t.Fatalf("message %d: %d times, %d gone, %v", n, found, gone, err)
			}
		}
	})
}

// A vacuum of the first entries of a generation leaves the others where they were.
func TestEntriesAreReadAgainAfterAVacuum(t *testing.T) {
	test(t, func(t *testing.T, r *reading) {
		r.write(1, 60)
		r.expect(1, 60, 0)
		g := r.ledger[r.places[60].generation]
		r.write(61, 70)        // as nobody has committed yet
		r.fake.Vacuum(13 + 14) // 51 is the first left
		for _, c := range []struct{ from, to int64 }{{0, 60}, {10, 30}, {25, 55}, {58, 60}} {
			var got []int
			gone, err := entries(t.Context(), r.fake.Run, g, c.from, c.to, func(b meter.Block) { got = append(got, numbers(b.Data)...) })
			if err != nil {
				t.Fatal(err)
			}
			first := max(c.from+1, 51)
			var want []int
			for n := first; n <= c.to; n++ {
				want = append(want, int(n))
			}
			if !slices.Equal(got, want) || gone != c.to-c.from-int64(len(want)) {
				t.Errorf("from %d to %d: %d gone, and left are %v, want %v", c.from, c.to, gone, got, want)
			}
		}
		r.fake.Vacuum(10) // all of it
		if gone, err := entries(t.Context(), r.fake.Run, g, 20, 40, func(meter.Block) { t.Error("it has an entry") }); gone != 20 || err != nil {
			t.Errorf("%d gone, %v", gone, err)
		}
	})
}

// In any history every message is counted once, or a gap tells of it.
func TestStreamOverAnyHistory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		synctest.Test(t, func(t *testing.T) { history(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func history(t *testing.T, seed uint64) {
	chance := rand.New(rand.NewPCG(seed, 1))
	r := newReading(t, journaltest.New(""))
	defer func() { r.stream.Close() }()
	r.fake.Write("_SYSTEMD_UNIT=other.service", "MESSAGE=first") // what is deleted before the first start is not missed
	r.read()
	r.commit()
	written, boots, sequences, damaged := 0, 1, 1, false
	latest := r.fake.Clock() // that the clock has shown
	var steps []string
	for range 40 {
		step := chance.IntN(11)
		steps = append(steps, []string{"write", "write", "write", "crash", "cut", "vacuum?", "reboot?", "commit", "read", "rotate", "damage?"}[step])
		switch step {
		case 0, 1, 2:
			n := chance.IntN(40)
			r.write(written+1, written+n)
			written += n
			if now := r.fake.Clock(); now.After(latest) {
				latest = now
			}
		case 3:
			r.crash()
		case 4:
			r.fake.CutAfter(chance.IntN(2) * (1 + chance.IntN(4000)))
		case 5:
			if chance.IntN(3) == 0 {
				time.Sleep(5 * time.Second)
				r.fake.Vacuum(chance.IntN(60))
			}
		case 6:
			if chance.IntN(3) == 0 {
				boots++
				r.stream.Close()
				if chance.IntN(2) == 0 {
					sequences++
					r.fake.NewSequence(fmt.Sprint("s", sequences))
					r.fake.SetClock(latest) // nothing else would tell the order
				} else if sequences == 1 && chance.IntN(2) == 0 {
					r.fake.SetClock(r.fake.Clock().Add(time.Duration(chance.IntN(7200)-3600) * time.Second))
				}
				r.fake.Reboot(fmt.Sprint("b", boots))
				r.start()
			}
		case 7:
			r.commit()
		case 8:
			r.read()
		case 9:
			r.fake.Rotate()
		case 10:
			if chance.IntN(3) == 0 {
				damaged = true
				r.fake.Damage(chance.IntN(60), journaltest.Whole+journaltest.Damage(chance.IntN(3)))
				r.fake.Rotate() // what journald does when it notices
			}
		}
	}
	r.fake.CutAfter(0)
	written++
	r.write(written, written)
	r.read()
	r.commit()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %s; missing from the first: %v", seed, strings.Join(steps, ", "), r.seen)
		}
	}()
	missing := 0
	for n := 1; n <= written; n++ {
		if r.seen[n] == 0 {
			missing++
		}
	}
	if gaps, entries := r.gaps(); missing > 0 && gaps == 0 {
		t.Errorf("%d messages are missing without a gap", missing)
	} else if r.fake.Deleted() == 0 && !damaged && gaps > 0 {
		t.Errorf("%d gaps of %d entries, and nothing was deleted", gaps, entries)
	}
	if !bytes.Contains([]byte(fmt.Sprint(r.seen)), []byte(fmt.Sprint(written))) {
		t.Error("the last message is not counted")
	}
}
