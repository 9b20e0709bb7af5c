package main

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/meterlog/meterlog/internal/screen"
)

// notifySystemd tells the service manager, where there is one.
func notifySystemd(state string) { daemon.SdNotify(false, state) }

// notifier tells the service manager how the agent is: when it is ready, that
// it is alive, and in a line what it does.
type notifier struct {
	service *service
	pause   time.Duration // between looks while nothing changes
	watched bool          // the service manager waits for signs of life
	hangs   bool          // and the log has it
	said    string
}

// statusPause is between status lines while no problem begins, changes or ends.
// startExtension asks for more time while the first pass over the files goes on.
const (
	statusPause    = 30 * time.Second
	startExtension = "EXTEND_TIMEOUT_USEC=60000000"
)

func newNotifier(s *service) *notifier {
	n := &notifier{service: s, pause: statusPause}
	if interval, err := daemon.SdWatchdogEnabled(false); err == nil && interval > 0 {
		n.watched, n.pause = true, min(n.pause, interval/2)
	}
	return n
}

func (n *notifier) run(ctx context.Context) {
	if sent, err := daemon.SdNotify(false, startExtension); !sent || err != nil {
		return // nobody listens
	}
	ready := n.service.health.Ready()
	ticker := time.NewTicker(n.pause)
	defer ticker.Stop()
	changed := n.service.health.Changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ready:
			ready = nil
			notifySystemd("READY=1")
		case <-ticker.C:
		}
		changed = n.service.health.Changed()
		n.look(ctx, ready != nil)
	}
}

// look gives a sign of life, if all loops do, and sends the status line. While the
// agent starts it asks for more time.
func (n *notifier) look(ctx context.Context, starting bool) {
	if err := n.service.health.Alive(time.Now()); err != nil {
		if !n.hangs {
			n.service.log.Error("a loop of the agent hangs: the service manager will restart it", "error", err)
		}
		n.hangs = true
		return
	}
	n.hangs = false
	if starting {
		notifySystemd(startExtension)
	}
	if n.watched {
		notifySystemd(daemon.SdNotifyWatchdog)
	}
	if line := n.service.subject().Line(ctx, time.Now()); line != n.said {
		n.said = line
		notifySystemd("STATUS=" + screen.Visible(line))
	}
}
