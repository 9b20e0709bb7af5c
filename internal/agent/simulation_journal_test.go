package agent

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/journal/journaltest"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

const (
	jobSKU  = "dn2jjjjjjjjjjjjjjjjj"
	eachSKU = "dn2eeeeeeeeeeeeeeeee"
)

// journalSource reads what the unit app prints.
const journalSource = `  - {name: app, journal: {unit: app}}
`

// journalRules count the jobs in the journal, and the different ones among them.
const journalRules = `  - name: jobs
    source: app
    when: line contains "job done" and entry.PRIORITY == "6"
    sku_id: ` + jobSKU + `
  - name: each-job
    source: app
    when: line contains "job done" and entry.PRIORITY == "6"
    sku_id: ` + eachSKU + `
    once: {key: 'extract(line, "number=([0-9]+)")', each: month}
`

// appJournal is the journal of the machine, with everything that can go wrong with it.
// It draws what happens from a source of its own.
type appJournal struct {
	*simulation
	*journaltest.Journal
	chance *rand.Rand

	volatile bool // a reboot empties it; then nobody sets the clock, which alone tells the order of boots
	boots    int

	jobs       int // messages that count
	long       int // messages that are over the limit
	suppressed int64
	notes      int64 // entries that tell of suppressed messages

	exposed map[*journaltest.Entry]bool // deleted, or hidden by damage, before their position was committed
	certain map[*journaltest.Entry]bool // of these: deleted while no agent ran
	last    *journaltest.Entry          // of the unit
	fields  int                         // that could not be read
}

func newAppJournal(s *simulation, seed int64) *appJournal {
	j := &appJournal{
		simulation: s, Journal: journaltest.New(journalMachine), chance: rand.New(rand.NewPCG(uint64(seed), 2)), boots: 1,
		exposed: make(map[*journaltest.Entry]bool), certain: make(map[*journaltest.Entry]bool),
	}
	j.volatile = j.chance.IntN(4) == 0
	return j
}

// print adds entries, a millisecond after each other. The last one has the time of now.
func (j *appJournal) print(entries ...map[string]any) {
	j.SetClock(j.now().Round(0).Add(-time.Duration(len(entries)) * time.Millisecond))
	for _, fields := range entries {
		if e := j.Add(fields); fields["_SYSTEMD_UNIT"] == "app.service" {
			j.last = e
		}
	}
}

// message returns a message of the unit app.
func message(text any) map[string]any {
	return map[string]any{"_SYSTEMD_UNIT": "app.service", "PRIORITY": "6", "MESSAGE": text}
}

// job returns a message that counts, in one of the forms that messages have.
func (j *appJournal) job() map[string]any {
	j.jobs++
	text := fmt.Sprintf("job done number=%d", j.jobs)
	switch j.chance.IntN(8) {
	case 0:
		return message("several\nlines\n" + text + "\n")
	case 1:
		return message(bytesOf("\x1b[31m\x00\xff " + text))
	case 2:
		return message([]any{text, "a second message"})
	case 3:
		e := message(text)
		e["EXTRA"] = []any{"1", bytesOf("\xfe")}
		e["_SYSTEMD_CGROUP"] = nil
		return e
	}
	return message(text)
}

// bytesOf returns a text as journalctl prints it that is not UTF-8.
func bytesOf(text string) (list []any) {
	for _, b := range []byte(text) {
		list = append(list, int(b))
	}
	return list
}

// other returns an entry that does not count.
func (j *appJournal) other() map[string]any {
	e := message("job done number=0")
	switch j.chance.IntN(5) {
	case 0:
		e["PRIORITY"] = "7"
	case 1:
		delete(e, "MESSAGE")
	case 2: // somebody who would like to be the unit
		e["_SYSTEMD_UNIT"], e["SYSLOG_IDENTIFIER"], e["UNIT"] = "session-1.scope", "app", "app.service"
	default:
		e["_SYSTEMD_UNIT"] = "other.service"
	}
	return e
}

// act is something that happens to the journal.
func (j *appJournal) act() {
	switch j.chance.IntN(16) {
	case 0, 1, 2, 3, 4:
		var entries []map[string]any
		for range j.chance.IntN(25) {
			if j.chance.IntN(3) == 0 {
				entries = append(entries, j.other())
			} else {
				entries = append(entries, j.job())
			}
		}
		j.note("journal: %d entries", len(entries))
		j.print(entries...)
	case 5:
		j.note("journal: journalctl is killed")
		j.Kill()
	case 6:
		n := j.chance.IntN(2) * (1 + j.chance.IntN(4000))
		j.note("journal: journalctl is killed after %d bytes", n)
		j.CutAfter(n)
	case 7:
		j.note("journal: rotate")
		j.Rotate()
	case 8:
		j.vacuum(j.chance.IntN(60))
	case 9:
		j.suppress()
	case 10:
		if j.chance.IntN(3) == 0 {
			j.damage()
		}
	case 11:
		j.note("journal: journald starts again")
		j.Kill()
		j.Rotate()
		j.print(map[string]any{"_SYSTEMD_UNIT": "systemd-journald.service", "_TRANSPORT": "driver", "MESSAGE": "Journal started"})
	case 12:
		if j.agent != nil && j.chance.IntN(2) == 0 {
			j.reboot()
		}
	case 13:
		j.note("journal: journalctl fails at once")
		j.Fail(j.chance.IntN(2) == 0)
		j.Kill()
	case 14:
		if j.long == 0 && j.chance.IntN(4) == 0 {
			j.note("journal: a message over the limit")
			j.long++
			j.print(message("job done number=0 " + strings.Repeat("x", meter.MaxLine)))
		}
	case 15:
		if j.chance.IntN(3) == 0 {
			j.note("journal: a field cannot be read")
			j.fields++
			j.Complain("Entry item 12 data object is bad, skipping over it: Bad message")
		}
	}
}

// vacuum deletes all entries but the last ones.
func (j *appJournal) vacuum(keep int) {
	committed := j.committed()
	gone := j.Vacuum(keep)
	unread := j.expose(gone, committed)
	j.note("journal: vacuum of %d entries, %d unread", len(gone), unread)
	for _, e := range gone {
		if j.agent == nil && e.Number > committed {
			j.certain[e] = true
		}
	}
}

// damage damages a file, which journald then leaves.
func (j *appJournal) damage() {
	how := journaltest.Whole + journaltest.Damage(j.chance.IntN(3))
	j.note("journal: damage %d", how)
	committed := j.committed()
	j.Damage(j.chance.IntN(60), how)
	j.Rotate()
	j.expose(j.Hidden(), committed)
}

// expose notes which entries the agent may not be able to read again: they are after the
// position that was committed.
func (j *appJournal) expose(entries []*journaltest.Entry, committed int) (unread int) {
	for _, e := range entries {
		if e.Number > committed {
			j.exposed[e] = true
			unread++
		}
	}
	return unread
}

// committed returns the number of the last entry before the position in the ledger, or
// 0.
func (j *appJournal) committed() (number int) {
	db, err := sql.Open("sqlite", filepath.Join(j.dir, "state", ledger.FileName))
	j.check(err)
	defer db.Close()
	var mark, trail string
	err = db.QueryRow(`SELECT mark, trail FROM generations WHERE path = 'journal:app' AND state = 'live'`).Scan(&mark, &trail)
	if !errors.Is(err, sql.ErrNoRows) {
		j.check(err)
	}
	for _, cursor := range []string{mark, trail} {
		if e := j.Find(cursor); e != nil {
			number = max(number, e.Number)
		}
	}
	return number
}

// suppress has journald drop messages, and say so.
func (j *appJournal) suppress() {
	const id = "a596d6fe7bfa4994828e72309e95d61e"
	n := 1 + j.chance.Int64N(500)
	e := map[string]any{
		"_TRANSPORT": "driver", "MESSAGE_ID": id, "N_DROPPED": fmt.Sprint(n), "OBJECT_SYSTEMD_UNIT": "app.service",
		"MESSAGE": fmt.Sprintf("Suppressed %d messages from app.service", n),
	}
	switch j.chance.IntN(4) {
	case 0: // as older ones say it
		delete(e, "N_DROPPED")
		delete(e, "OBJECT_SYSTEMD_UNIT")
	case 1:
		e["OBJECT_SYSTEMD_UNIT"] = "other.service"
		n = 0
	case 2: // only journald can say it
		e["_TRANSPORT"] = "journal"
		n = 0
	}
	if n > 0 {
		j.suppressed += n
		j.notes++
	}
	j.note("journal: %d messages are suppressed", n)
	j.print(e)
}

// reboot ends the agent with the machine.
func (j *appJournal) reboot() {
	j.note("the machine boots again")
	j.kill()
	j.Kill()
	if j.volatile {
		j.vacuum(0)
		j.NewSequence(fmt.Sprint("s", j.boots))
	}
	j.boots++
	j.Reboot(fmt.Sprint("b", j.boots))
	j.down()
}

// settle prints a last job, and lets journalctl live.
func (j *appJournal) settle() {
	j.CutAfter(0)
	j.Fail(false)
	j.Rotate()
	j.print(j.job())
}

// isRead reports whether the position is behind the last job.
func (j *appJournal) isRead() bool { return j.committed() >= j.last.Number }

// verify checks that every job was counted once, or that gaps have it in their numbers.
func (j *appJournal) verify() {
	j.t.Helper()
	counted := j.billed(jobSKU) + j.lost()[jobSKU]
	different := j.billed(eachSKU) + j.lost()[eachSKU]
	if counted != different {
		j.fail("%d jobs are counted, and %d of them are different", counted, different)
	}
	gaps, entries := j.anomaly(meter.BytesMissed)
	missing := int64(j.jobs) - counted
	most, least, suppressed := j.mayMiss()
	switch {
	case missing < least || missing > most:
		j.fail("%d of %d jobs are missing, want %d to %d", missing, j.jobs, least, most)
	case missing > 0 && gaps == 0:
		j.fail("%d jobs are missing without a gap", missing)
	case entries < missing+suppressed && !j.volatile:
		j.fail("%d jobs are missing, %d messages were suppressed, and the gaps have %d entries", missing, suppressed, entries)
	case entries > int64(len(j.exposed))+j.suppressed:
		j.fail("the gaps have %d entries, and only %d entries are lost, and %d messages were suppressed", entries, len(j.exposed), j.suppressed)
	case len(j.exposed) == 0 && (entries != j.suppressed || gaps < j.notes || gaps > j.notes+int64(j.unnumbered())):
		j.fail("%d gaps of %d entries; want %d of %d, and %d without a number at most", gaps, entries, j.notes, j.suppressed, j.unnumbered())
	}
	if long, size := j.anomaly(meter.LineTooLong); long > int64(j.long) || len(j.exposed) == 0 && (long != int64(j.long) || size < long*meter.MaxLine) {
		j.fail("%d messages of %d bytes were too long, want %d", long, size, j.long)
	}
}

// unnumbered returns how many gaps may come without a number: for fields that could not
// be read, and reboots that emptied the journal.
func (j *appJournal) unnumbered() int {
	if j.volatile {
		return j.fields + j.boots - 1
	}
	return j.fields
}

// mayMiss returns how many jobs may be missing, and must be, and how many suppressed
// messages must be known.
func (j *appJournal) mayMiss() (most, least, suppressed int64) {
	suppressed = j.suppressed
	for e := range j.exposed {
		switch {
		case isJob(e):
			if most++; j.certain[e] {
				least++
			}
		case e.Fields["MESSAGE_ID"] != nil:
			var n int64
			fmt.Sscanf(e.Fields["MESSAGE"].(string), "Suppressed %d messages from app.service", &n)
			suppressed = max(0, suppressed-n)
		}
	}
	return most, least, suppressed
}

// isJob reports whether an entry is a job of the unit.
func isJob(e *journaltest.Entry) bool {
	if e.Fields["_SYSTEMD_UNIT"] != "app.service" || e.Fields["PRIORITY"] != "6" {
		return false
	}
	switch text := e.Fields["MESSAGE"].(type) {
	case string:
		return strings.Contains(text, "job done") && len(text) < meter.MaxLine
	case []any:
		return slices.Contains(text, any(int('='))) || strings.Contains(fmt.Sprint(text), "job done")
	}
	return false
}

// anomaly returns what the ledger has of a kind for the journal.
func (j *appJournal) anomaly(kind meter.AnomalyKind) (count, size int64) {
	db, err := sql.Open("sqlite", filepath.Join(j.dir, "state", ledger.FileName))
	j.check(err)
	defer db.Close()
	err = db.QueryRow(`SELECT count, bytes FROM anomalies WHERE kind = ? AND subject = 'journal:app'`, kind).Scan(&count, &size)
	if !errors.Is(err, sql.ErrNoRows) {
		j.check(err)
	}
	return count, size
}
