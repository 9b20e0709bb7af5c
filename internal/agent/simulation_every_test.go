package agent

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
)

const stretchSKU = "dn2uuuuuuuuuuuuuuuuu"

// everySource gives an event for each stretch of time.
const everySource = `  - {name: up, every: EVERY}
`

// everyRule counts the stretches. A reload renames it.
const everyRule = `  - name: RULE
    source: up
    when: true
    sku_id: ` + stretchSKU + `
`

// upTime knows when the agent ran, by the machine's clock.
type upTime struct {
	*simulation
	chance *rand.Rand
	every  time.Duration

	ran  []span    // by the machine's clock
	sure []stretch // that must count
	from time.Time // what the clock showed when the agent started or the clock was set
	back time.Time // an earlier time: a clock that is set may make what ran before seem to be at other times
	read time.Time // by the clock of the bubble: when the agent last read its clock, or before
	last time.Time // what the clock showed when everything was last read and committed; zero before
}

// span is time, in seconds since 1970.
type span struct{ from, to int64 }

// stretch is a span with an event at its end.
type stretch = span

func newUpTime(s *simulation, seed int64) *upTime {
	return &upTime{simulation: s, chance: rand.New(rand.NewPCG(uint64(seed), 3)), every: 10 * time.Minute}
}

// begins notes that the agent starts, or that the clock was set under it.
func (u *upTime) begins(back time.Duration) {
	u.from = u.now().Round(0)
	u.back, u.last = u.from.Add(-back), time.Time{}
}

// goesOn notes that the agent is about to read its clock.
func (u *upTime) goesOn() { u.read = time.Now() }

// ends notes that the agent ends, or that the clock is about to be set.
func (u *upTime) ends() { u.ran = append(u.ran, span{u.back.Unix(), u.now().Unix()}) }

// settles has the agent read all stretches and commit them.
func (u *upTime) settles() {
	u.ready(0)
	u.readBlocks(1000)
	u.commit()
	now := u.now().Round(0)
	if !u.last.IsZero() {
		length := int64(u.every / time.Second)
		for end := u.last.Unix() - u.last.Unix()%length + length; end <= now.Unix(); end += length {
			u.sure = append(u.sure, stretch{end - length, end})
		}
	}
	u.last = now
}

// isReloaded has the agent reloaded, and time go by before the next one reads its clock.
func (u *upTime) isReloaded() {
	u.settles()
	u.note("reload")
	u.reload()
	u.pass(30 * time.Minute)
	u.settles()
}

// reconfigure changes how long stretches are, and what the rule is called.
func (u *upTime) reconfigure() {
	u.every = []time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute, time.Hour}[u.chance.IntN(4)]
	u.note("a stretch is %v", u.every)
	u.last = time.Time{}
	u.arrange(u.every, fmt.Sprint("stretches-", u.chance.IntN(2)))
}

// verify checks that every stretch counted once that ended while the agent ran, and no
// other one.
func (u *upTime) verify() {
	u.t.Helper()
	given := u.given()
	if got := u.billed(stretchSKU) + u.lost()[stretchSKU]; got != int64(len(given)) {
		u.fail("%d stretches were given, and %d billed", len(given), got)
	}
	for i, s := range given {
		if i > 0 && given[i-1].to > s.from {
			u.fail("the time from %s is billed twice", at(s.from))
		}
		if !u.mayCount(s) {
			u.fail("no agent ran when the stretch from %s ended, and it is billed", at(s.from))
		}
	}
	for _, s := range u.sure {
		covered := false
		for _, other := range given {
			covered = covered || other.from < s.to && s.from < other.to
		}
		if !covered {
			u.fail("the agent ran when the stretch from %s ended, and it is not billed", at(s.from))
		}
	}
}

func at(second int64) string { return time.Unix(second, 0).UTC().Format(time.DateTime) }

func (u *upTime) mayCount(s stretch) bool {
	for _, ran := range u.ran {
		if ran.from < s.to && s.to <= ran.to {
			return true
		}
	}
	return false
}

// given returns the stretches that the ledger knows as given, by their times.
func (u *upTime) given() (list []stretch) {
	db, err := sql.Open("sqlite", filepath.Join(u.dir, "state", ledger.FileName))
	u.check(err)
	defer db.Close()
	rows, err := db.Query(`SELECT born / 1000000000, offset, query FROM generations WHERE path = 'clock:up' AND offset > born / 1000000000 ORDER BY born`)
	u.check(err)
	defer rows.Close()
	for rows.Next() {
		var from, to int64
		var every string
		u.check(rows.Scan(&from, &to, &every))
		length, err := time.ParseDuration(every)
		u.check(err)
		for start := from; start < to; start += int64(length / time.Second) {
			list = append(list, stretch{start, start + int64(length/time.Second)})
		}
	}
	u.check(rows.Err())
	return list
}
