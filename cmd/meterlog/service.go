package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/agent"
	"github.com/meterlog/meterlog/internal/check"
	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/sender"
)

// service is `meterlog run` as systemd runs it: one agent after the other on
// one ledger, each with the configuration as it was read last.
type service struct {
	options *runOptions
	command *cobra.Command
	dir     string // of the ledger
	book    *ledger.Ledger
	health  *monitor.Health
	log     *slog.Logger

	mu      sync.Mutex
	config  *config.Config // of the agent that runs
	changed chan struct{}  // closed when config is another
}

// reloadRefused is the code of the problem that a new configuration is wrong.
const reloadRefused = "reload_refused"

// run follows and delivers until ctx ends, with the configuration given until
// SIGHUP brings another. It closes the sender.
func (s *service) run(ctx context.Context, config *config.Config, deliver *sender.Sender) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	s.setConfig(config)
	var helpers sync.WaitGroup
	aside, endHelpers := context.WithCancel(context.WithoutCancel(ctx))
	defer helpers.Wait()
	defer endHelpers()
	helpers.Go(func() { s.health.Keep(aside, s.book, s.log) })
	if !s.options.dryRun { // the service may have the address
		helpers.Go(func() { s.serve(aside) })
	}
	helpers.Go(func() { newNotifier(s).run(aside) })

	helpers.Go(func() { trimNowAndThen(aside) })
	helpers.Go(func() { logWarnings(s.log, config) })
	s.log.Info("meterlog follows", "version", versionText(), "sources", len(config.Sources), "rules", len(config.Rules), "state", s.dir)
	var open map[int64]*os.File
	var since time.Time
	for {
		cfg := s.options.agentConfig(s.command, config, deliver, s.book, s.log)
		cfg.Health, cfg.Open, cfg.Since = s.health, open, since
		next, err := s.runAgent(ctx, cfg, hangups)
		deliver.Close()
		if err != nil || next == nil {
			notifySystemd("STOPPING=1")
			s.log.Info("meterlog ends")
			return err
		}
		config, deliver, open, since = next.config, next.deliver, next.open, next.since
		s.setConfig(config)
		helpers.Go(func() { logWarnings(s.log, next.config) })
		s.log.Info("the configuration was read again", "sources", len(config.Sources), "rules", len(config.Rules))
		notifySystemd("READY=1")
	}
}

// reloaded is what the next agent begins with.
type reloaded struct {
	config  *config.Config
	deliver *sender.Sender
	open    map[int64]*os.File // files of the agent before it
	since   time.Time          // when that agent last read the clock
}

// runAgent runs an agent until ctx ends, or a SIGHUP finds a configuration that
// is right: then it returns what the next one begins with.
func (s *service) runAgent(ctx context.Context, cfg agent.Config, hangups <-chan os.Signal) (*reloaded, error) {
	a, err := agent.New(ctx, cfg)
	if ctx.Err() != nil && err != nil {
		return nil, nil // a signal ended it before it began
	} else if err != nil {
		return nil, err
	}
	defer a.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() { a.Run(ctx); close(ended) }()
	for {
		select {
		case <-ended:
			if s.options.throwAway() {
				return nil, s.options.rest(ctx, s.command, a)
			}
			return nil, nil
		case <-hangups:
		}
		next, err := s.reload()
		if err == nil {
			cancel()
			<-ended
			next.open, next.since = a.Handover(), a.Seen()
			return next, nil
		}
		notifySystemd("READY=1")
	}
}

// reload reads the configuration again. It reports mistakes, and then the agent
// goes on as it is.
func (s *service) reload() (*reloaded, error) {
	notifySystemd(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	next, err := s.loadNext()
	if err != nil {
		s.log.Error("the new configuration is refused: the agent goes on with the old one", "error", err)
		s.health.Raise(meter.Problem{Code: reloadRefused, Message: "the new configuration is refused, the old one stays: " + firstLine(err.Error()),
			Hint: "see `meterlog check`, and reload again"})
		return nil, err
	}
	s.health.Clear(reloadRefused, "")
	return next, nil
}

func (s *service) loadNext() (*reloaded, error) {
	config, err := loadConfig(*s.options.config)
	if err != nil {
		return nil, err
	}
	if !s.options.throwAway() && filepath.Clean(stateDir(*s.options.state, config)) != filepath.Clean(s.dir) {
		return nil, errors.New("state: another folder needs a restart")
	}
	if s.options.model != nil {
		s.options.model.AddProducts(products(config))
	}
	deliver, err := s.options.newSender(config, s.log)
	if err != nil {
		return nil, err
	}
	return &reloaded{config: config, deliver: deliver}, nil
}

func (s *service) setConfig(config *config.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config = config
	if s.changed != nil {
		close(s.changed)
	}
	s.changed = make(chan struct{})
}

// listenAddress is where something is to be served, "" for nowhere, until the
// channel is closed.
func (s *service) listenAddress() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.Listen, s.changed
}

// subject is this agent, for who looks at it.
func (s *service) subject() monitor.Subject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return monitor.Subject{Version: versionText(), Dir: s.dir, Config: s.config, Health: s.health}
}

// logWarnings logs what check warns of.
func logWarnings(log *slog.Logger, conf *config.Config) {
	for _, w := range check.Warnings(conf, tokens) {
		place := w.File
		if w.Line > 0 {
			place += fmt.Sprintf(":%d:%d", w.Line, w.Column)
		}
		log.Warn("the configuration is allowed and likely a mistake", "place", place, "warning", w.Message, "hint", w.Hint)
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
