package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
)

// Codes of the problems that stop all billing until a person acts.
const (
	ledgerGone    = "ledger_gone"
	ledgerDamaged = "ledger_damaged"
)

// lookPause is between two looks at the state folder while nothing is written,
// which looks as well.
const lookPause = 2 * time.Second

// keeper sees to it that the ledger is what it was: it reads all of it once, and
// compares the state folder with what is open.
type keeper struct {
	ledger *ledger.Ledger
	health *monitor.Health
	log    *slog.Logger
	said   string // the code of the problem that it has raised
}

func (k *keeper) run(ctx context.Context) {
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		if err := k.ledger.Check(ctx); err != nil && ctx.Err() == nil {
			k.log.Debug("the ledger could not be checked", "error", err)
		}
	}()
	for ctx.Err() == nil {
		k.look(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(lookPause):
		}
	}
	<-checked
}

// look raises what stops the billing, and clears it when it is over.
func (k *keeper) look(ctx context.Context) {
	err := k.ledger.Attached(ctx)
	if name := k.ledger.Restored(); name != "" {
		k.log.Warn("somebody removed a file from the state folder: the agent has put it back, and nothing is lost", "file", name)
	}
	p, stopped := ledgerProblem(err)
	if p.Code != k.said && k.said != "" {
		k.health.Clear(k.said, "")
		k.log.Info("the ledger is in its place again: billing goes on")
	}
	if stopped && p.Code != k.said {
		k.log.Error("billing stops: "+p.Message, "what to do", p.Hint)
	}
	if stopped {
		k.health.Raise(p)
	}
	k.said = p.Code
}

// ledgerProblem returns the problem of an error that only a person can end.
func ledgerProblem(err error) (p meter.Problem, stopped bool) {
	var gone *ledger.GoneError
	var corrupt *ledger.CorruptError
	switch {
	case errors.As(err, &gone):
		return meter.Problem{Code: ledgerGone, Message: gone.Error() + ": nothing is counted or delivered",
			Hint: "put back what was in the state folder, and billing goes on by itself; a restart without it begins a new ledger, which bills again what is in the logs"}, true
	case errors.As(err, &corrupt):
		return meter.Problem{Code: ledgerDamaged, Message: corrupt.Path + " is damaged: " + corrupt.Detail + ": nothing is counted or delivered",
			Hint: "keep the file, and see \"Damage\" in docs/operations.md"}, true
	}
	return meter.Problem{}, false
}
