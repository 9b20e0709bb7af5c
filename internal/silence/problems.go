package silence

import (
	"fmt"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Codes of the problems.
const (
	Silent       = "rule_silent"        // a rule that used to match finds nothing any more
	NeverMatched = "rule_never_matched" // a rule has found nothing since it is there
)

const (
	// wholeWeekend is a past that holds a weekend from its beginning to the
	// first hours of work after it.
	wholeWeekend = 10 * day

	times      = 3       // how many times the longest stretch a silence may last
	leastBytes = 1 << 20 // shorter silences are never a problem
	leastTime  = time.Hour
	leastNew   = day // instead of leastTime, while the past is short
	shortPast  = 7 * day
	muchInput  = 10 << 20 // bytes after which a rule that never matched is reported
)

// Problems returns which rules are silent for too long. now is the time of the
// activities.
func Problems(activities []meter.Activity, now time.Time) []meter.Problem {
	var found []meter.Problem
	for _, a := range activities {
		switch {
		case a.LastMatch.IsZero() && a.Silence.Bytes > muchInput:
			found = append(found, neverMatched(a))
		case !a.LastMatch.IsZero() && silent(a, now):
			found = append(found, silentProblem(a, now))
		}
	}
	return found
}

// silent reports whether the silence is too long in both of its measures.
func silent(a meter.Activity, now time.Time) bool {
	most := limit(a, now)
	quiet := a.Silence.Time
	if now.Sub(a.FirstMatch) < wholeWeekend {
		quiet -= weekend(a.LastMatch, now)
	}
	return a.Silence.Bytes > most.Bytes && quiet > most.Time
}

// limit returns the longest silence without a problem.
func limit(a meter.Activity, now time.Time) meter.Stretch {
	longest := usual(a, now)
	least := meter.Stretch{Bytes: leastBytes, Time: leastTime}
	if now.Sub(a.FirstMatch) < shortPast {
		least.Time = leastNew
	}
	return least.Max(meter.Stretch{Bytes: times * longest.Bytes, Time: times * longest.Time})
}

// usual returns the longest stretches of the last days.
func usual(a meter.Activity, now time.Time) (longest meter.Stretch) {
	for _, l := range a.Longest {
		if now.Sub(l.Day) <= memory+day {
			longest = longest.Max(l.Stretch)
		}
	}
	return longest
}

// weekend returns how much of the time between from and to is on a Saturday or a
// Sunday. A rule's first weekend must not look like a silence: nothing tells
// yet whether the application rests then.
func weekend(from, to time.Time) (rest time.Duration) {
	from, to = from.UTC(), to.UTC()
	for midnight := from.Truncate(day); midnight.Before(to); midnight = midnight.Add(day) {
		if d := midnight.Weekday(); d != time.Saturday && d != time.Sunday {
			continue
		}
		begin, end := midnight, midnight.Add(day)
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		rest += end.Sub(begin)
	}
	return rest
}

func silentProblem(a meter.Activity, now time.Time) meter.Problem {
	longest := usual(a, now)
	return meter.Problem{
		Code: Silent, Subject: a.Rule,
		Message: fmt.Sprintf("the rule %s matched last at %s and has found nothing since, in %s and %s of its sources; in the last 14 days its longest silence had %s and %s",
			a.Rule, a.LastMatch.UTC().Format(time.RFC3339), sizeText(a.Silence.Bytes), timeText(a.Silence.Time), sizeText(longest.Bytes), timeText(longest.Time)),
		Hint: "see whether the application's log has changed: `meterlog test --rule " + a.Rule + " --summary` says what comes close; if the silence is right, take the rule out or give it another name",
	}
}

func neverMatched(a meter.Activity) meter.Problem {
	return meter.Problem{
		Code: NeverMatched, Subject: a.Rule,
		Message: fmt.Sprintf("the rule %s has matched nothing yet in over %s of its sources", a.Rule, sizeText(muchInput)),
		Hint:    "if its event should have happened by now, `meterlog test --rule " + a.Rule + " --summary` says what comes close",
	}
}

// sizeText returns a size for people, in steps that do not change with every
// line: a problem is logged when its message changes.
func sizeText(bytes int64) string {
	switch {
	case bytes >= 10<<30:
		return fmt.Sprintf("%d GiB", bytes>>30)
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes >= 1<<10:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func timeText(d time.Duration) string {
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
