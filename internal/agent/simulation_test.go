package agent

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/internal/sender"
)

var (
	seedFlag      = flag.Int64("seed", -1, "replay this one history, and tell its steps")
	historiesFlag = flag.Int64("histories", histories, "random histories to run")
	firstFlag     = flag.Int64("first", 0, "seed of the first of them")
)

const (
	bytesSKU     = "dn2bbbbbbbbbbbbbbbbb"
	oddSKU       = "dn2ooooooooooooooooo"
	otherProduct = "f2eoooooooooooooooo"
)

const (
	nearlyExpired  = 59 * time.Minute // from this age on an attempt may find a record expired
	perKilobyte    = 1000
	requestTimeout = 1500 * time.Millisecond // shorter than a torn line has
)

// simulated counts the events of a log by number, in kilobytes, and in bytes of
// another product, whose SKU is chosen by the last digit of the size.
const simulated = `
sources:
  - path: DIR/logs/GLOB
TIMESTAMPSTREAMSrules:
  - name: mails
    when: line contains "sent"
    sku_id: ` + sku + `
  - name: kilobytes
    when: line contains "sent"
    sku_id: ` + gibSKU + `
KILOBYTES  - name: bytes
    product_id: ` + otherProduct + `
    when: line contains "sent" and not (line contains "size=0 ")
    sku_id:
      by: 'extract(line, "size=[0-9]*([0-9]) ")'
      map: {1: ` + oddSKU + `, 3: ` + oddSKU + `, 5: ` + oddSKU + `, 7: ` + oddSKU + `, 9: ` + oddSKU + `}
      else: ` + bytesSKU + `
    quantity: 'extract(line, "size=([0-9]+)")'
` + peakRule + onceRules

// simulation is one random history of a machine: applications that write and
// rotate their logs, an agent that is killed and started again, and an API with
// faults. Its clock is that of its bubble: nothing waits.
type simulation struct {
	*site
	chance *rand.Rand
	log    *slog.Logger
	steps  []string // what was done, for the report

	logs    []*appLog
	lines   int
	written usage
	gauge   gaugeOracle
	stamps  map[uint64]time.Time // by inode: the last time that the simulation gave a file
	streams bool                 // there are sources without files: the journal and the clock
	journal *appJournal
	up      *upTime
	text    string // of the configuration, with places for how long a stretch is, and its rule's name

	front   *front
	network pipes // to the API over gRPC; nil where it is REST
	hour    bool  // the API takes nothing that is over an hour old
	burns   bool  // it uses up a uuid although it rejects the record for its time

	born  time.Time
	clock time.Duration // by how much the machine's clock is ahead of the API's
	ahead time.Duration // the most that it has been
	set   bool          // it was set

	agent *Agent // nil while the machine runs without
	close func()
	dying dying
}

// dying says when the next request kills the agent.
type dying int

const (
	no     dying = iota
	before       // after the attempt was noted, and before the request leaves
	after        // after the API has answered, and before that is noted
	dead         // it is killed: nothing that it still does reaches the API or the next agent
)

var errDead = errors.New("the agent is killed")

func newSimulation(t *testing.T, dir string, seed int64) *simulation {
	time.Sleep(14 * 24 * time.Hour) // to the middle of a month
	s := &simulation{
		site:   &site{t: t, dir: dir},
		born:   time.Now(),
		log:    slog.New(slog.DiscardHandler),
		chance: rand.New(rand.NewPCG(uint64(seed), 1)),
		stamps: make(map[uint64]time.Time),
	}
	maxAge := 100_000 * time.Hour
	if s.hour = s.chance.IntN(3) == 0; s.hour {
		maxAge = time.Hour
	}
	s.streams = seed%24 == 0 // they take their time
	s.burns = s.chance.IntN(2) == 0
	s.box = sandbox.New(sandbox.Config{
		AnyToken: true, Seed: uint64(seed), MaxAge: maxAge,
		DuplicateLast: s.chance.IntN(2) == 0, BurnRejected: s.burns,
	})
	s.front = newFront(s.box, seed)
	if *seedFlag >= 0 {
		s.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if s.chance.IntN(3) == 0 {
		s.serveGRPC()
	}
	glob, timestamp := "*.log", ""
	if s.chance.IntN(3) == 0 {
		glob = "*.log*"
	}
	if s.chance.IntN(2) == 0 {
		s.gauge.timed = true
		timestamp = "    timestamp: {pattern: '^(\\S+)', layout: rfc3339}\n"
	}
	kilobytes := "    quantity: 'extract(line, \"size=([0-9]+)\")'\n    per: 1000\n"
	if s.chance.IntN(2) == 0 { // the same, in eighths
		kilobytes = "    quantity: 'int(extract(line, \"size=([0-9]+)\")) / 8'\n    decimals: 3\n    per: 125\n"
	}
	s.text = strings.NewReplacer("GLOB", glob, "TIMESTAMP", timestamp, "KILOBYTES", kilobytes).Replace(simulated)
	s.journal, s.up = newAppJournal(s, seed), newUpTime(s, seed)
	s.arrange(s.up.every, "stretches")
	s.check(os.Mkdir(filepath.Join(dir, "logs"), 0o755))
	s.logs = append(s.logs, newAppLog(s, "app.log"))
	if s.chance.IntN(3) == 0 {
		s.logs = append(s.logs, newAppLog(s, "other.log"))
	}
	s.journal.print(s.journal.other()) // what is deleted before the first start is not missed
	s.start(nil)
	s.meterStep()
	s.commit()                // what is rotated before the first commit does not count
	time.Sleep(2 * time.Hour) // no clock is set back to before
	return s
}

// serveGRPC has the API be reached over gRPC.
func (s *simulation) serveGRPC() {
	s.network = make(pipes)
	s.front.serve(s.t, s.network)
}

func (s *simulation) note(format string, args ...any) {
	s.steps = append(s.steps, fmt.Sprintf(format, args...))
	if *seedFlag >= 0 {
		fmt.Fprintln(os.Stderr, time.Now().Format("15:04:05.000"), s.steps[len(s.steps)-1])
	}
}

func (s *simulation) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf(format+"\nafter:\n%s", append(args, strings.Join(s.steps, "\n"))...)
}

func (s *simulation) check(err error) {
	s.t.Helper()
	if err != nil {
		s.fail("%v", err)
		s.t.FailNow()
	}
}

// RoundTrip carries a request to the API, if the agent lives so long.
func (s *simulation) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.dying == before {
		s.die()
	}
	if s.dying == dead {
		return nil, errDead
	}
	response, err := s.front.RoundTrip(r)
	if s.dying == after {
		s.die()
		return nil, errDead
	}
	return response, err
}

// arrange configures the agents that are started from now on.
func (s *simulation) arrange(every time.Duration, rule string) {
	sources, rules := "", ""
	if s.streams {
		sources, rules = journalSource+everySource, journalRules+everyRule
	}
	s.configure(strings.NewReplacer("EVERY", every.String(), "RULE", rule).Replace(strings.Replace(s.text, "STREAMS", sources, 1) + rules))
}

// start starts an agent with the files that one before it had open.
func (s *simulation) start(open map[int64]*os.File) {
	s.startSince(open, time.Time{})
	s.up.begins(0)
}

// startSince starts an agent that goes on where one before it was at a time.
func (s *simulation) startSince(open map[int64]*os.File, since time.Time) {
	book, err := ledger.Open(s.t.Context(), filepath.Join(s.dir, "state"))
	s.check(err)
	cfg := sender.Config{
		Endpoint: "http://127.0.0.1", Timeout: requestTimeout, Tokens: token("t1.test"), HTTP: s, Dial: loopback, Log: s.log,
	}
	if s.network != nil {
		cfg.Transport, cfg.HTTP, cfg.Dial = sender.GRPC, nil, s.network.dial
	}
	deliver, err := sender.New(cfg)
	s.check(err)
	s.agent, err = New(s.t.Context(), Config{Rules: s.config, Ledger: book, Sender: deliver, Open: open, Since: since, Log: s.log, machine: machineOf(s.journal.Journal), noWatch: true})
	s.check(err)
	s.agent.meter.now = s.now
	s.close = func() { s.check(errors.Join(deliver.Close(), book.Close())) }
}

// now is what time.Now would return on this machine: a clock that is set moves
// its wall time, and not its monotonic reading. No function of package time makes
// such a time, and within a bubble time.Now has no monotonic reading at all.
func (s *simulation) now() time.Time {
	const monotonic, year1885 = 1 << 63, 2682288000
	real := time.Now()
	wall := real.Add(s.clock)
	return *(*time.Time)(unsafe.Pointer(&struct {
		wall uint64
		ext  int64
		loc  *time.Location
	}{
		monotonic | uint64(wall.Unix()+year1885)<<30 | uint64(wall.Nanosecond()),
		int64(real.Sub(s.born)) + 1,
		time.Local,
	}))
}

// setClock sets the clock by up to an hour from what is right, in whole seconds.
func (s *simulation) setClock(to time.Duration) {
	if s.streams && s.journal.volatile && to != 0 {
		return
	}
	s.note("the clock is set to %+v", to)
	for _, l := range s.logs {
		l.mendLate(tornPatience)
	}
	s.set = s.set || to != s.clock
	if s.agent == nil {
		s.clock = to
	} else {
		s.up.ends()
		s.clock = to
		s.up.begins(time.Since(s.up.read))
	}
	s.ahead = max(s.ahead, to)
}

func (s *simulation) randomClock() time.Duration {
	if s.chance.IntN(3) == 0 {
		return 0
	}
	return time.Duration(s.chance.IntN(7200)-3600) * time.Second
}

// kill ends the agent at once.
func (s *simulation) kill() {
	s.die()
	s.bury()
}

// die keeps what the disk holds at this moment: the next agent finds it.
func (s *simulation) die() {
	s.dying = dead
	found := filepath.Join(s.dir, "found")
	s.check(os.Mkdir(found, 0o755))
	for _, name := range []string{ledger.FileName, ledger.FileName + "-wal"} {
		s.check(copyFile(filepath.Join(found, name), filepath.Join(s.dir, "state", name)))
	}
}

// bury ends an agent that is dead.
func (s *simulation) bury() {
	state := filepath.Join(s.dir, "state")
	s.agent.Close()
	s.end()
	s.check(errors.Join(os.RemoveAll(state), os.Rename(filepath.Join(s.dir, "found"), state)))
}

func (s *simulation) end() {
	s.up.ends()
	s.close()
	s.agent, s.close, s.dying = nil, nil, no
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// stop ends the agent in order.
func (s *simulation) stop() {
	s.finish()
	s.agent.Close()
	s.end()
}

// reload ends the agent in order and starts the next, which takes over the
// files that are open.
func (s *simulation) reload() {
	s.finish()
	open, since := s.agent.Handover(), s.agent.Seen()
	s.agent.Close()
	s.end()
	if s.up.chance.IntN(3) == 0 {
		s.up.reconfigure()
	}
	s.startSince(open, since)
}

func (s *simulation) finish() {
	s.ready(0)
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	s.agent.meter.run(ctx)
}

// generations are those of the ledger.
func (s *simulation) generations() []meter.Generation {
	if s.agent == nil {
		s.start(nil)
		defer s.end()
		defer s.agent.Close()
	}
	known, err := s.agent.meter.ledger.Generations(s.t.Context())
	s.check(err)
	return known
}

// ready brings the files into a state in which the agent may look at them for
// so long: those written to bear the time of the bubble, and no line stays torn
// until it is taken for a file's last.
func (s *simulation) ready(within time.Duration) {
	for _, l := range s.logs {
		l.mendLate(within)
	}
	files, err := os.ReadDir(filepath.Join(s.dir, "logs"))
	s.check(err)
	for _, f := range files {
		info, err := f.Info()
		s.check(err)
		if ino := inodeOf(info); !s.stamps[ino].Equal(info.ModTime()) {
			now := s.now().Round(0)
			s.check(os.Chtimes(s.path(f.Name()), now, now))
			s.stamps[ino] = now
		}
	}
	time.Sleep(time.Millisecond)
}

// meterStep is one step of the meter loop, which sleeps for a second at most.
func (s *simulation) meterStep() {
	if s.agent == nil {
		return
	}
	s.ready(time.Second)
	s.loop(s.t.Context())
}

// loop is the meter loop's step. Where the clock was set, the tailer is not to
// wait, which it does by time.Now: it is looked for it after a second.
func (s *simulation) loop(ctx context.Context) {
	s.up.goesOn()
	if !s.set {
		s.agent.meter.step(ctx)
		return
	}
	s.agent.meter.read(ctx)
	time.Sleep(time.Second)
}

// read reads for a moment, as a step does before it commits.
func (s *simulation) read() {
	s.ready(0)
	s.readBlocks(1 + s.chance.IntN(4))
}

func (s *simulation) readBlocks(most int) {
	s.up.goesOn()
	for range most {
		block, ok := s.agent.meter.tailer.Next(s.now())
		if !ok {
			return
		}
		s.agent.meter.matcher.Match(block, s.agent.meter.batch.Tally)
	}
}

// truncateUnderReader rotates a log by copytruncate, and has it grow past the
// position, while the agent is about to read on.
func (s *simulation) truncateUnderReader() {
	l := s.logs[s.chance.IntN(len(s.logs))]
	s.note("%s: copytruncate between two reads", l.name())
	l.append(l.app, 5)
	l.tear(l.app)
	s.ready(time.Second)
	time.Sleep(time.Second) // so that the agent looks
	s.readBlocks(1)
	before := l.size()
	l.copyTruncate()
	l.grow(before)
	s.read()
}

func (s *simulation) commit() {
	s.check(s.agent.meter.commit(s.t.Context()))
}

// sendStep is one step of the send loop, which may be its last.
func (s *simulation) sendStep() {
	s.ready(2 * requestTimeout)
	s.agent.send.step(s.t.Context())
	if s.dying == dead {
		s.note("killed")
		s.bury()
	}
}

// failing has the ledger refuse some kind of write for a while.
func (s *simulation) failing() {
	const limit = 1800 * time.Millisecond
	kind := s.chance.IntN(4)
	what := []string{"INSERT ON contributions", "UPDATE OF sealed_at ON records", "UPDATE OF attempts ON records", "UPDATE OF settled_at ON records"}[kind]
	s.note("the ledger fails: %s", what)
	for _, l := range s.logs {
		l.mendLate(tornPatience) // it may take longer than a torn line has
	}
	s.ready(time.Second)
	s.alter("CREATE TRIGGER failing BEFORE " + what + " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	for range 2 {
		s.loop(ctx)
		s.agent.send.step(s.t.Context())
	}
	s.alter("DROP TRIGGER failing")
}

// killSteps is the number of steps between which killAtStep can kill.
const killSteps = 5

// killAtStep kills the agent after a number of the steps of a commit and a delivery.
func (s *simulation) killAtStep(last int) {
	l := s.agent.meter
	ctx := s.t.Context()
	var attempted []meter.Record
	steps := [killSteps]struct {
		name string
		do   func()
	}{
		{"the positions are taken", l.take},
		{"the commit", func() { s.check(l.write(ctx, s.now())) }},
		{"the seal", func() { s.check(l.seal(ctx, s.now())) }},
		{"the attempt", func() { attempted = s.attempt(ctx) }},
		{"the request", func() {
			if len(attempted) > 0 {
				s.ready(2 * requestTimeout)
				s.agent.send.sender.Send(ctx, attempted)
			}
		}},
	}
	for _, step := range steps[:last] {
		step.do()
	}
	if last == 0 {
		s.note("kill")
	} else {
		s.note("kill after %s", steps[last-1].name)
	}
	s.kill()
}

// attempt begins a delivery as the send loop does: it asks first about records
// that the API may refuse for their time.
func (s *simulation) attempt(ctx context.Context) []meter.Record {
	book, now := s.agent.send.ledger, time.Now()
	records, err := book.Pending(ctx, now, s.agent.send.apiClock(now), meter.MaxRecords, nil)
	s.check(err)
	if len(records) == 0 {
		return nil
	}
	s.ready(2 * requestTimeout)
	ready, _, _ := s.agent.send.sender.Vet(ctx, inBatches(records)[0].records) // those without an answer wait
	if len(ready) == 0 {
		return nil
	}
	s.check(book.Attempt(ctx, ready))
	return ready
}

// faults has the API do wrong in some ways from now on.
func (s *simulation) faults() {
	kinds := []sandbox.FaultKind{
		sandbox.FaultDropBefore, sandbox.FaultDropAfter, sandbox.FaultHangBefore, sandbox.FaultHangAfter,
		sandbox.FaultStatus, sandbox.FaultStatusAfter, sandbox.FaultGarbage, sandbox.FaultTruncate, sandbox.FaultCut,
		sandbox.FaultHTML, sandbox.FaultEmpty, sandbox.FaultOmit, sandbox.FaultTwice, sandbox.FaultStranger, sandbox.FaultUpper,
		sandbox.FaultSnake, sandbox.FaultNoArrays, sandbox.FaultNumbers,
	}
	if s.network != nil { // each has the transport send again what is stored, or not
		kinds = append(kinds, sandbox.FaultResetBefore, sandbox.FaultResetAfter, sandbox.FaultGoAwayBefore, sandbox.FaultGoAwayAfter)
	}
	var faults []sandbox.Fault
	names := ""
	for range s.chance.IntN(4) {
		fault := sandbox.Fault{Kind: kinds[s.chance.IntN(len(kinds))], Probability: 0.5}
		if fault.Kind == sandbox.FaultStatus || fault.Kind == sandbox.FaultStatusAfter {
			fault.Status = []int{401, 403, 429, 500, 502, 503}[s.chance.IntN(6)]
		}
		if fault.Kind == sandbox.FaultStatusAfter { // what is stored is not answered by a refusal
			fault.Status = []int{500, 502, 503, 504}[s.chance.IntN(4)]
		}
		if fault.Kind == sandbox.FaultResetBefore || fault.Kind == sandbox.FaultResetAfter {
			fault.Code = []string{"refused-stream", "cancel", "enhance-your-calm", "no-error"}[s.chance.IntN(4)]
		}
		faults = append(faults, fault)
		names += " " + string(fault.Kind)
	}
	ills := s.ills()
	s.note("faults of the API:%s; %+v", names, ills)
	s.box.SetFaults(faults...)
	s.front.set(ills)
}

// poisons are how a request fails that holds the poison; see ills.
var poisons = []int{0, 1, 403, 404, 429, 500, 503}

// ills are what else the API does wrong from now on.
func (s *simulation) ills() (ills ills) {
	switch s.chance.IntN(8) {
	case 0:
		ills.noDate = true
	case 1:
		ills.dates = []time.Duration{-20 * 365 * 24 * time.Hour, -2 * time.Hour, -10 * time.Minute, 50 * time.Minute, 3 * time.Hour}
	case 2, 3:
		ills.poison = []string{sku, gibSKU, bytesSKU, oddSKU}[s.chance.IntN(4)]
		ills.fails = poisons[s.chance.IntN(len(poisons))]
	case 4:
		ills.twice = true
	case 5:
		ills.silent = true
	case 6:
		ills.nothing = s.chance.IntN(2) == 0
	}
	return ills
}

// unasked has the API answer no question about records for over a minute, while the
// clock is wrong: then they go without an answer, and their uuids may be used up.
func (s *simulation) unasked() {
	s.note("validate_only is not answered for long")
	s.front.set(ills{silent: true, noDate: s.chance.IntN(2) == 0})
	s.setClock(s.randomClock())
	for range 4 {
		s.act()
		s.meterStep()
		s.sendStep()
		s.pass(80 * time.Second)
	}
	s.front.set(s.ills())
}

// pass lets time go by.
func (s *simulation) pass(most time.Duration) {
	d := time.Duration(s.chance.Int64N(int64(most)))
	s.note("pass %v", d.Round(time.Millisecond))
	for _, l := range s.logs {
		l.mendLate(d)
	}
	s.ready(d)
	time.Sleep(d)
}

// down is what happens while the agent does not run.
func (s *simulation) down() {
	for range s.chance.IntN(6) {
		switch s.chance.IntN(9) {
		case 0:
			s.pass(20 * time.Second)
		case 1:
			s.pass(2 * time.Hour)
		case 2:
			s.setClock(s.randomClock())
		default:
			s.act()
		}
	}
	if s.chance.IntN(6) == 0 {
		l := s.logs[s.chance.IntN(len(s.logs))]
		if l.losePower() {
			s.note("%s: the power fails", l.name())
			s.ready(0)
			s.start(nil)
			s.meterStep()
			return
		}
	}
	s.note("start")
	s.start(nil)
}

func (s *simulation) act() { s.logs[s.chance.IntN(len(s.logs))].act(s.chance) }

// do is one random thing.
func (s *simulation) do() {
	switch s.chance.IntN(28) {
	case 0, 1, 2, 3:
		s.note("step")
		s.meterStep()
	case 4, 5:
		s.note("read")
		s.read()
	case 6:
		s.note("commit")
		s.ready(0)
		s.commit()
	case 7, 8:
		s.note("send")
		s.sendStep()
	case 9:
		s.dying = []dying{before, after}[s.chance.IntN(2)]
		s.note("the next request is the last: %d", s.dying)
		s.agent.send.widest, s.agent.send.suspects.of = 1, nil // so that no other request is under way when it dies
		s.sendStep()
		s.dying = no
		if s.agent == nil {
			s.down()
		} else {
			s.agent.send.widest = maxWidth
		}
	case 10:
		s.killAtStep(s.chance.IntN(killSteps + 1))
		s.down()
	case 11:
		s.note("stop")
		s.stop()
		s.down()
	case 12:
		s.failing()
	case 13:
		s.faults()
	case 14:
		s.pass(4 * time.Second)
	case 15:
		if s.chance.IntN(4) == 0 {
			s.pass(3 * time.Hour)
		}
	case 16:
		s.truncateUnderReader()
	case 17:
		s.note("reload")
		s.reload()
	case 18:
		s.setClock(s.randomClock())
	case 19:
		s.unasked()
	default:
		s.act()
	}
}

// disturb is something that happens to the journal, or a moment when the agent has
// counted all of its time.
func (s *simulation) disturb() {
	if !s.streams {
		return
	}
	if s.journal.chance.IntN(2) == 0 {
		s.journal.act()
	}
	if s.agent == nil {
		return
	}
	switch s.up.chance.IntN(24) {
	case 0, 1:
		s.up.settles()
	case 2:
		s.up.isReloaded()
	}
}

// settle has everything written counted and delivered.
func (s *simulation) settle() {
	s.note("settle")
	s.box.SetFaults()
	s.front.set(ills{})
	for _, l := range s.logs {
		l.finish(l.app)
		l.close()
	}
	s.setClock(0)
	s.journal.settle()
	time.Sleep(s.ahead) // an event with a time in the API's future waits for it
	quiet := 0
	for round := range 400 {
		if round == 300 { // without notifications a very late writer is seen by the hourly look
			time.Sleep(time.Hour)
		}
		s.meterStep()
		pause := s.agent.send.step(s.t.Context())
		time.Sleep(min(pause, 2*time.Second))
		if quiet++; s.unsettled() > 0 || s.waitForPeaks() {
			quiet = 0
		}
		if quiet > 20 && s.billed(sku)+s.lost()[sku] >= s.written.events && (!s.streams || s.journal.isRead()) {
			break
		}
	}
	s.stop()
}

func (s *simulation) unsettled() int {
	open, sealed, err := s.agent.send.ledger.Unsettled(s.t.Context())
	s.check(err)
	return open + sealed
}

// lost returns the usage by SKU that the ledger knows as too old for the API, or
// in doubt, and that the API does not have.
func (s *simulation) lost() map[string]int64 {
	stored := make(map[string]bool)
	for _, r := range s.box.Records() {
		stored[r.UUID] = true
	}
	lost := make(map[string]int64)
	for _, r := range s.records(meter.Expired, meter.InDoubt) {
		if !stored[r.UUID] {
			lost[r.SKU] += r.Quantity
		}
	}
	return lost
}

// verify checks that every unit written was billed once, or is known to be too
// old, and that nothing was reported that did not happen.
func (s *simulation) verify() {
	s.t.Helper()
	for _, want := range []struct {
		sku   string
		units int64
	}{{sku, s.written.events}, {gibSKU, s.written.bytes / perKilobyte}, {bytesSKU, s.written.bytes - s.written.odd}, {oddSKU, s.written.odd}} {
		if got := s.billed(want.sku) + s.lost()[want.sku]; got != want.units {
			s.fail("%s: wrote %d, billed %d (%+d)", want.sku, want.units, got, got-want.units)
		}
	}
	for _, r := range s.records() {
		switch age := r.SettledAt.Sub(r.Timestamp); {
		case r.State == meter.Accepted:
		case r.State == meter.Expired && s.hour && age > time.Hour:
		case r.State == meter.InDoubt && r.MaybeStored && (age > nearlyExpired || r.MaybeRefused && s.set):
		case r.State == meter.Refused && r.Reason == "INVALID_TIMESTAMP" && s.set: // its usage was issued again
		default:
			s.fail("a record is %s in the end: %+v", r.State, r)
		}
	}
	s.verifyPeaks()
	s.verifyOnce()
	if s.streams {
		s.journal.verify()
		s.up.verify()
	}
	for _, text := range s.anomalies() {
		if kind, _, _ := strings.Cut(text, " "); slices.Contains([]string{string(meter.LatePeak), string(meter.LateKey), string(meter.Repeated)}, kind) {
			continue // verifyPeaks and verifyOnce know
		}
		if strings.Contains(text, "journal:app") || strings.HasPrefix(text, string(meter.StretchMissed)) {
			continue // the journal's and the clock's oracles know
		}
		if s.set && strings.HasPrefix(text, string(meter.BadTimestamp)) {
			continue // an earlier event that was read later
		}
		s.fail("what did not happen was reported: %s", text)
	}
	for _, r := range s.box.Records() {
		if (r.ProductID == otherProduct) != (r.SKU == bytesSKU || r.SKU == oddSKU) {
			s.fail("%s is billed of product %s", r.SKU, r.ProductID)
		}
	}
	s.agree()
}

// anomalies are those of the ledger.
func (s *simulation) anomalies() (all []string) {
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "state", ledger.FileName))
	s.check(err)
	defer db.Close()
	rows, err := db.Query("SELECT kind || ' ' || subject || ': ' || example FROM anomalies")
	s.check(err)
	defer rows.Close()
	for rows.Next() {
		var text string
		s.check(rows.Scan(&text))
		all = append(all, text)
	}
	s.check(rows.Err())
	return all
}

// generated counts what the API did wrong in all histories.
type generated struct {
	mu  sync.Mutex
	did map[string]int
}

func (g *generated) add(s *simulation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.did == nil {
		g.did = make(map[string]int)
	}
	for kind, n := range s.front.did {
		g.did[kind] += n
	}
	transport := "rest"
	if s.network != nil {
		transport = "grpc"
	}
	for _, r := range s.box.Rejected() {
		switch {
		case r.ValidateOnly || !s.burns:
		case r.Reason == "EXPIRED" || r.Reason == "INVALID_TIMESTAMP":
			g.did[transport+": a burnt uuid"]++
		}
	}
}

// check checks that the histories held what they are for.
func (g *generated) check(t *testing.T) {
	for _, transport := range []string{"rest", "grpc"} {
		kinds := []string{"no date", "a wrong date", "sent twice by the transport", "a question without an answer", "a burnt uuid", "poison"}
		poison := 0
		for _, status := range poisons {
			poison += g.did[fmt.Sprintf("%s: poison that fails with %d", transport, status)]
		}
		g.did[transport+": poison"] = poison
		for _, kind := range kinds {
			n := g.did[transport+": "+kind]
			if t.Logf("%s: %s: %d", transport, kind, n); n == 0 {
				t.Errorf("no history had %s over %s", kind, transport)
			}
		}
	}
}

// TestSimulation takes a machine through random histories. For every one, what
// the API has accepted must be what was written, and no uuid may have come with
// two contents.
func TestSimulation(t *testing.T) {
	first, n := *firstFlag, *historiesFlag
	if *seedFlag >= 0 {
		first, n = *seedFlag, 1
	}
	var kinds generated
	if n >= 100 {
		t.Cleanup(func() { kinds.check(t) }) // when all have ended
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			dir := memoryDir(t)
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, dir, seed)
				for range 60 {
					s.do()
					s.disturb()
				}
				s.settle()
				s.verify()
				kinds.add(s)
			})
		})
	}
}

// memoryDir is a folder in memory, where there is one: most of the time would
// go into waiting for the disk.
func memoryDir(t *testing.T) string {
	const shared = "/dev/shm"
	dir, err := os.MkdirTemp(shared, "meterlog-simulation-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
