package agent

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sender"
)

// bind tells the ledger its machine, before anything is counted.
func bind(ctx context.Context, cfg Config) error {
	if err := keepRemainders(ctx, cfg); err != nil {
		return err
	}
	if cfg.MachineIDFile != "" {
		id, err := machineID(cfg.MachineIDFile)
		if id == "" {
			cfg.Log.Warn("this machine has no id: meterlog cannot notice a copy of its disk by it", "path", cfg.MachineIDFile, "error", err)
		} else {
			foreign, err := cfg.Ledger.BindMachine(ctx, id, time.Now())
			if err != nil {
				return err
			}
			report(cfg.Log, foreign, "the machine's id changed")
		}
	}
	if cfg.InstanceID != nil {
		if err := cfg.Ledger.AwaitInstance(ctx); err != nil {
			return err
		}
		if err := bindInstanceNow(ctx, cfg); err != nil {
			return err
		}
	}
	return completeUnits(ctx, cfg.Ledger, cfg.Rules)
}

// askFirst is how long the first read waits for the cloud's name of this machine, if
// the ledger is bound to one.
const askFirst = time.Second

// bindInstanceNow binds the ledger to the instance before anything is read, so that
// the lines of another machine are left to it. If the instance does not say its name
// at once, the send loop asks again.
func bindInstanceNow(ctx context.Context, cfg Config) error {
	if !cfg.Ledger.InstanceMatters() {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, askFirst)
	defer cancel()
	id, err := cfg.InstanceID(soon)
	if err != nil && !errors.Is(err, sender.ErrNoInstance) {
		cfg.Log.Debug("the instance's id is not known yet", "error", err)
		return nil
	}
	foreign, err := cfg.Ledger.BindInstance(ctx, id, false, time.Now())
	report(cfg.Log, foreign, instanceChanged(foreign, id))
	return err
}

func instanceChanged(foreign ledger.Foreign, id string) string {
	return "the cloud instance's id changed from " + foreign.From + " to " + id
}

// completeUnits bills what `per` has made whole units of while it was not known
// whose they are.
func completeUnits(ctx context.Context, book *ledger.Ledger, config *config.Config) error {
	now := time.Now()
	return book.CompleteUnits(ctx, ledgerRules(config), meter.WindowAt(now, config.Interval), now)
}

// ledgerRules returns the rules as the ledger knows them.
func ledgerRules(config *config.Config) (all []*meter.Rule) {
	for _, r := range config.Rules {
		all = append(all, r.Bills()...)
	}
	return all
}

// keepRemainders sets aside what is left over of rules that have changed since, and
// notes the tables of rules as they are now.
func keepRemainders(ctx context.Context, cfg Config) error {
	aside, err := cfg.Ledger.KeepRemainders(ctx, ledgerRules(cfg.Rules), time.Now())
	for _, s := range aside {
		cfg.Log.Warn("a remainder is set aside because its rule has changed: the rule begins at 0",
			"rule", s.Rule, "sku_id", s.SKU, "remainder", s.Text(), "made_with", s.MadeWith, "now", s.Now)
	}
	if err == nil {
		err = cfg.Ledger.RememberValues(ctx, ledgerRules(cfg.Rules))
	}
	return err
}

// machineID reads a file like /etc/machine-id. Of the id, which machine-id(5)
// asks to keep confidential, it returns a keyed hash, or "" without an id.
func machineID(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(text))
	if id == "" || id == "uninitialized" {
		return "", errors.New("it is empty")
	}
	mac := hmac.New(sha256.New, []byte("meterlog"))
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil)[:16]), nil
}

// askInstance is how long a question that was not answered rests, where
// deliveries do not wait for the answer.
const askInstance = time.Minute

// bindInstance asks for the cloud's name of this machine, until it is known,
// and tells it to the ledger. Before that nothing is delivered of a ledger that
// is bound to an instance. One that is not can set nothing aside, and waits for
// nothing. pause is how long deliveries wait after an error.
func (l *sendLoop) bindInstance(ctx context.Context) (pause time.Duration, err error) {
	if l.instanceID == nil || time.Since(l.askedInstance) < askInstance && !l.ledger.InstanceMatters() {
		return 0, nil
	}
	l.askedInstance = time.Now()
	id, err := l.instanceID(ctx)
	if err != nil && !errors.Is(err, sender.ErrNoInstance) {
		if !l.ledger.InstanceMatters() {
			l.log.Debug("the instance's id is not known yet", "error", err)
			return 0, nil
		}
		return l.instanceFailed(ctx, err), err
	}
	l.identifying.end("the instance's id is known")
	foreign, err := l.ledger.BindInstance(ctx, id, true, time.Now())
	if err == nil {
		report(l.log, foreign, instanceChanged(foreign, id))
		err = completeUnits(ctx, l.ledger, l.rules)
	}
	if err != nil {
		return l.ledgerFailed(ctx, err), err
	}
	l.instanceID = nil
	return 0, nil
}

// instanceFailed reports that the instance's id is not known, where that is
// news, and returns how long to wait.
func (l *sendLoop) instanceFailed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	pause := l.identifying.again()
	l.identifying.begin(slog.LevelWarn, "nothing is delivered until the instance's id is known: it is asked for again", err,
		"see whether the metadata service of this machine answers", pause)
	return pause
}

func report(log *slog.Logger, foreign ledger.Foreign, how string) {
	if foreign.From == "" {
		return
	}
	if foreign.SameBoot {
		log.Error("the machine's id changed while it ran: what was unsettled is set aside as foreign, and nobody else delivers it",
			"why", how, "open", foreign.Open, "sealed", foreign.Sealed, "remainders", foreign.Remainders, "peaks", foreign.Peaks)
		return
	}
	log.Error("the ledger is of another machine: what was unsettled there is set aside as foreign and never sent from here; lines that it has not counted are left to it",
		"why", how, "open", foreign.Open, "sealed", foreign.Sealed, "remainders", foreign.Remainders, "peaks", foreign.Peaks)
}
