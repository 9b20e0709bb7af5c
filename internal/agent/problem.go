package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/sender"
)

// Codes of the problems that the send loop raises.
const (
	deliveryFailing = "delivery_failing"
	ledgerFailing   = "ledger_failing"
	pruningFailing  = "pruning_failing"
	instanceUnknown = "instance_unknown"
	clockSkew       = "clock_skew"
)

// trouble is one thing that goes wrong for a while. It is a problem of its own,
// and the log says when it begins, when it changes and when it ends.
type trouble struct {
	code, subject string
	health        *monitor.Health
	log           *slog.Logger

	said  string // the last cause that was reported; "" while all is well
	pause time.Duration
}

func (t *trouble) goesOn() bool { return t.said != "" }

// begin reports the trouble where its cause is news. pause is how long it is
// until the next try.
func (t *trouble) begin(level slog.Level, what string, err error, hint string, pause time.Duration) {
	text := cause(err)
	if text == t.said {
		return
	}
	t.said = text
	message := text
	args := []any{"error", err, "next_try", pause.Round(time.Millisecond)}
	if t.subject != "" {
		message, args = t.subject+": "+text, append([]any{"subject", t.subject}, args...)
	}
	t.log.Log(context.Background(), level, what, args...)
	t.health.Raise(meter.Problem{Code: t.code, Subject: t.subject, Message: message, Hint: hint})
}

// again returns how long to wait until the next try, longer each time.
func (t *trouble) again() time.Duration {
	t.pause = min(max(2*t.pause, retryPause), retryMax)
	return t.pause
}

// end reports that the trouble is over, if there was any.
func (t *trouble) end(what string) {
	t.pause = 0
	if t.said == "" {
		return
	}
	t.said = ""
	if t.subject == "" {
		t.log.Info(what)
	} else {
		t.log.Info(what, "subject", t.subject)
	}
	t.health.Clear(t.code, t.subject)
}

// muchSkew is how far the clocks may differ before it is a problem: windows are
// sealed and sent within seconds of their end.
const muchSkew = 30 * time.Second

// changing is what differs each time in an error that stays the same: the port that a
// request left from, and the clock in an error of a certificate.
var changing = regexp.MustCompile(`(?:[\d.]+|\[[^\]]*\]):\d+->|current time \S+ is (?:before|after) `)

// cause returns what an error says without the names of the request and without what
// differs each time.
func cause(err error) string {
	var refusal *sender.Error
	if errors.As(err, &refusal) {
		err = refusal.Err
	}
	return changing.ReplaceAllStringFunc(err.Error(), func(found string) string {
		if strings.HasSuffix(found, "->") {
			return ""
		}
		return "valid " + map[bool]string{true: "from ", false: "until "}[strings.HasSuffix(found, "before ")]
	})
}

// deliveryHint returns what an operator can do about a delivery that failed.
func deliveryHint(err error) string {
	var refusal *sender.Error
	switch {
	case sender.Untrusted(err):
		return sender.TrustHint
	case errors.Is(err, sender.ErrNoToken):
		return "attach a service account with the role marketplace.meteringAgent to the VM, or see auth: in the configuration"
	case !errors.As(err, &refusal):
		return "see the log; it is tried again"
	}
	switch refusal.Status {
	case http.StatusOK:
		return "the API answers, and says nothing of the records: see its message, and ask with `meterlog check --online`; it is tried again"
	case 0:
		return sender.ReachHint(err, "delivery.endpoint") + "; it is tried again"
	case http.StatusUnauthorized:
		return "the token is not accepted: see auth: in the configuration"
	case http.StatusForbidden:
		return "give the service account the role marketplace.meteringAgent on its folder, and see that the billing account is active"
	case http.StatusNotFound, http.StatusNotImplemented, http.StatusBadRequest:
		return "see delivery.endpoint, delivery.transport and product_id in the configuration; `meterlog check --online` asks the API"
	}
	return "the API has trouble of its own: it is tried again"
}

// noteSkew raises the difference of the clocks where it is much.
func (l *sendLoop) noteSkew() {
	skew := l.sender.Skew().Round(time.Second)
	if skew.Abs() < muchSkew {
		l.health.Clear(clockSkew, "")
		return
	}
	relation := "behind"
	if skew < 0 {
		relation = "ahead of"
	}
	l.health.Raise(meter.Problem{Code: clockSkew, Message: fmt.Sprintf("this machine's clock is %v %s the API's", skew.Abs(), relation),
		Hint: "set the clock, or see why its synchronisation fails (timedatectl); records are held back until the API's clock has come to them"})
}
