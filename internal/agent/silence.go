package agent

import (
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/silence"
)

// watchedRules are the rules whose silence is measured: all.
func watchedRules(config *config.Config) []silence.Rule {
	watched := make([]silence.Rule, len(config.Rules))
	for i, r := range config.Rules {
		watched[i] = silence.Rule{Name: r.Name, Sources: r.Sources}
	}
	return watched
}

// attend compares the silence of each rule with what is usual for it, and the
// times of each source with the clock. It logs what begins and what ends. About once
// a minute the next commit keeps what was measured, if there is one.
func (l *meterLoop) attend(now time.Time) {
	l.silence.Tick(now)
	activity := l.silence.Activities()
	l.health.SetActivity(activity)
	present := append(silence.Problems(activity, now), l.clocks.problems(now)...)
	present = append(present, l.tailer.unread()...)
	present = append(present, l.waiting()...)
	begun, ended := l.health.Replace([]string{filesNotLookedAt, silence.Silent, silence.NeverMatched, silence.Quiet, timesOff, journalUnreadable}, present)
	for _, p := range begun {
		if p.Note() {
			l.log.Info(p.Message, "code", p.Code, "hint", p.Hint)
			continue
		}
		l.log.Warn(p.Message, "code", p.Code, "hint", p.Hint)
	}
	for _, p := range ended {
		l.log.Info("the problem is over", "code", p.Code, "of", p.Subject)
	}
	since := now.Sub(l.kept)
	if l.ending || !l.batch.Empty() && (since >= keepPause || since < 0 || len(begun)+len(ended) > 0) {
		l.batch.Activity, l.kept = activity, now
	}
}

// filesNotLookedAt is the code of the problem that files wait for descriptors.
const filesNotLookedAt = "files_not_looked_at"

// waiting returns the problem that files wait to be opened, if some do.
func (l *meterLoop) waiting() []meter.Problem {
	n := l.tailer.NotLookedAt()
	if n == 0 {
		return nil
	}
	return []meter.Problem{{Code: filesNotLookedAt, Message: meter.Plural(int64(n), "file") + " could not be opened yet: as many are open as may be",
		Hint: "nothing, if it passes within a minute; else raise LimitNOFILE= of the service"}}
}
