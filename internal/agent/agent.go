// Package agent ties the rest together: it runs the two loops that make
// meterlog.
//
// The meter loop owns the tailer and the matcher: it reads blocks, tallies
// them and commits positions and counts together, about once a second, and
// seals the records whose window has passed. The send loop owns the sender: it
// takes sealed records from the ledger, delivers them and settles what became
// of them. The loops meet only in the ledger, and between two commits memory
// holds nothing that a restart cannot read again. So a shutdown is a crash with
// a tidy last commit.
//
// To understand the product, read [meterLoop.step] and [sendLoop.step].
package agent

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/pace"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/sender"
	"github.com/meterlog/meterlog/internal/silence"
	"github.com/meterlog/meterlog/internal/tailer"
)

// Config is what an agent works with. The agent closes only the files of
// Open.
type Config struct {
	Rules  *config.Config
	Ledger *ledger.Ledger
	Sender *sender.Sender

	// MachineIDFile holds the machine's id, as /etc/machine-id does. If it is "",
	// the ledger is bound to no machine. InstanceID returns the cloud's name of the
	// machine, or sender.ErrNoInstance; it may be nil. If the ledger is bound to an
	// instance, nothing is delivered before InstanceID answers.
	MachineIDFile string
	InstanceID    func(context.Context) (string, error)

	// Spread has deliveries wait for this machine's own moment after the end of
	// a window, so that a fleet does not send at the same second. Once never
	// waits.
	Spread bool

	// The send loop calls Settled, if it is set, for every record that an answer
	// settled or left as it is.
	Settled func(meter.Record, meter.Result)

	// Open holds files that an agent before this one, in the same process, had
	// open: its Handover. New takes them over.
	Open map[int64]*os.File

	// Since is what Seen of that agent returned.
	Since time.Time

	// Health is where the loops report how they are; nil: they report nowhere.
	Health *monitor.Health

	Log *slog.Logger

	machine journal.Machine // for tests: whose journal is read

	noWatch bool // for tests: files are polled, and nothing watches them
}

// Agent follows, counts and delivers. Make one with New.
type Agent struct {
	meter  *meterLoop
	send   *sendLoop
	keeper *keeper
}

// New prepares an agent to go on where the ledger left off, on this machine or
// another. It starts nothing.
func New(ctx context.Context, cfg Config) (*Agent, error) {
	if cfg.Health == nil {
		cfg.Health = monitor.NewHealth()
	}
	if err := bind(ctx, cfg); err != nil {
		return nil, err
	}
	known, err := cfg.Ledger.Generations(ctx)
	if err != nil {
		return nil, err
	}
	globs, err := cfg.Ledger.Globs(ctx)
	if err != nil {
		return nil, err
	}
	activity, err := cfg.Ledger.Activity(ctx)
	if err != nil {
		return nil, err
	}
	send := newSendLoop(cfg)
	if send.pace, err = newPace(ctx, cfg); err != nil {
		return nil, err
	}
	cfg.Health.ForgetActivity()
	names := make([]string, len(cfg.Rules.Rules))
	for i, rule := range cfg.Rules.Rules {
		names[i] = rule.Name
	}
	cfg.Health.KeepRules(names)
	tally := new(meter.Tally)
	for _, h := range monitor.FindHistory(cfg.Rules, known, globs) {
		tally.PutAnomaly(meter.AnomalyKey{Kind: meter.History, Subject: h.Source.Name}, h.Anomaly())
	}
	copies, err := cfg.Ledger.Copies(ctx)
	if err != nil {
		return nil, err
	}
	matcher, err := newMatcher(ctx, cfg, tally)
	if err != nil {
		return nil, err
	}
	follow := tailer.Config{Sources: monitor.Sources(cfg.Rules), Known: known, Copies: copies, Globs: globs, NoWatch: cfg.noWatch, Open: cfg.Open, Log: cfg.Log}
	follow.Finished = func(ids []int64) ([]meter.Generation, []meter.Copy, error) {
		ctx, cancel := context.WithTimeout(context.Background(), finishedWithin)
		defer cancel()
		return cfg.Ledger.GenerationsOf(ctx, ids)
	}
	input := newInput(cfg, follow)
	if len(known) >= manyKnown {
		known, follow.Known = nil, nil
		debug.FreeOSMemory() // the input keeps little of them
	}
	return &Agent{
		meter: &meterLoop{
			tailer:    input,
			matcher:   matcher,
			ledger:    cfg.Ledger,
			health:    cfg.Health,
			heartbeat: cfg.Health.Heartbeat("meter"),
			log:       cfg.Log,
			now:       time.Now,
			clocks:    newClockWatch(cfg.Rules),
			silence:   silence.New(watchedRules(cfg.Rules), activity, time.Now()),
			kept:      time.Now(),
			batch:     ledger.Batch{Tally: tally},
			peaks:     peakClock{rules: ledgerRules(cfg.Rules), interval: cfg.Rules.Interval, next: unknownSeal},
			nextSeal:  unknownSeal, // the first step looks at what an earlier run left open
		},
		send:   send,
		keeper: &keeper{ledger: cfg.Ledger, health: cfg.Health, log: cfg.Log},
	}, nil
}

// manyKnown is how many known files take memory that is worth giving back.
const manyKnown = 10_000

// finishedWithin bounds how long the follower waits for finished files of the ledger.
const finishedWithin = 10 * time.Second

// newMatcher returns the matcher of the configuration's rules. If one of them
// remembers keys, it hashes their keys with the ledger's secret, and the tally keeps
// the keys that the ledger has lately taken.
func newMatcher(ctx context.Context, cfg Config, tally *meter.Tally) (*rules.Matcher, error) {
	matcher := rules.NewMatcher(&cfg.Rules.Set)
	if !slices.ContainsFunc(cfg.Rules.Rules, (*rules.Rule).Remembers) {
		return matcher, nil
	}
	secret, err := cfg.Ledger.KeySecret(ctx)
	if err != nil {
		return nil, err
	}
	matcher.SetSecret(secret)
	tally.Recent = new(meter.RecentKeys)
	return matcher, nil
}

// newPace returns the pace of this agent's deliveries.
func newPace(ctx context.Context, cfg Config) (*pace.Pace, error) {
	if !cfg.Spread {
		return pace.New(pace.Config{}), nil
	}
	identity, err := cfg.Ledger.Identity(ctx)
	if err != nil {
		return nil, err
	}
	machine, _ := machineID(cfg.MachineIDFile) // without an id the ledger's name is enough
	return pace.New(pace.Config{Interval: cfg.Rules.Interval, Identity: machine + " " + identity}), nil
}

// Run follows and delivers until ctx ends. Then it commits what it has read, and
// breaks off a delivery that is under way: the next run goes on with it. The files
// stay open until Close.
func (a *Agent) Run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { a.meter.run(ctx) })
	loops.Go(func() { a.send.run(ctx) })
	loops.Go(func() { a.keeper.run(ctx) })
	loops.Wait()
}

// Handover gives up the open files after Run has ended, for the Config.Open of
// the agent that goes on: a file that was deleted and not read to its end is
// nowhere else.
func (a *Agent) Handover() map[int64]*os.File { return a.meter.tailer.Handover() }

// Seen returns when the agent last read the clock, for the Config.Since of the
// agent that goes on in the same process.
func (a *Agent) Seen() time.Time { return a.meter.tailer.seen() }

// Close closes the files.
func (a *Agent) Close() { a.meter.tailer.Close() }

// Summary is what a run of Once came to.
type Summary struct {
	Settled []Settled // by product, SKU and state
	Open    int       // records whose window has not begun by the clock: left for later
	Sealed  int       // records that could not be settled, left for later
	Unread  []string  // what could not be read, and why

	Peaks []ledger.OpenPeaks // of stretches that are not over: they count later
}

// Settled is a number of records that were settled alike.
type Settled struct {
	ProductID string
	SKU       string
	State     meter.State
	Reason    string
	Records   int
	Quantity  int64
}

// AllAccepted reports whether the API has every record.
func (s Summary) AllAccepted() bool {
	for _, line := range s.Settled {
		if line.State != meter.Accepted {
			return false
		}
	}
	return s.Open == 0 && s.Sealed == 0
}

// Once reads every source to its end, seals what was counted and delivers it.
// It gives up on the delivery when nothing was settled for patience. An error
// means that the work could not be done. The commits until then stay.
func (a *Agent) Once(ctx context.Context, patience time.Duration) (Summary, error) {
	if a.send.ledger.InstanceMatters() { // what is counted then need not be kept apart
		if _, err := a.send.bindInstance(ctx); err != nil {
			a.meter.log.Debug("the instance is not known yet", "error", err)
		}
	}
	if err := a.keeper.ledger.Check(ctx); err != nil {
		return Summary{}, err
	}
	if err := a.meter.readAll(ctx); err != nil {
		return Summary{}, err
	}
	a.send.pace = pace.New(pace.Config{}) // somebody waits
	summary, err := a.send.deliverAll(ctx, patience)
	summary.Unread = a.meter.unread
	if err == nil {
		summary.Peaks, err = a.meter.ledger.OpenPeaks(ctx)
	}
	return summary, err
}
