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
	Quiet        = "rule_quiet"         // a rule seems silent, but its log brings too little to be sure
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

	// A rule of a small log is quiet by time alone. It may be that the log brings
	// nothing, because the application writes another file.
	quietTime  = day
	quietNew   = 7 * day // instead of quietTime, while little is known of the past
	enoughDays = 5       // days with a match that tell what is usual
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
			found = append(found, silence(Silent, a, now))
		case !a.LastMatch.IsZero() && quiet(a, now): // in a small log little tells a quiet day from a break
			found = append(found, silence(Quiet, a, now))
		}
	}
	return found
}

// silent reports whether the silence is too long in both of its measures.
func silent(a meter.Activity, now time.Time) bool {
	longest := usual(a, now)
	least := meter.Stretch{Bytes: leastBytes, Time: leastTime}
	if now.Sub(a.FirstMatch) < shortPast {
		least.Time = leastNew
	}
	most := least.Max(meter.Stretch{Bytes: times * longest.Bytes, Time: times * longest.Time})
	return a.Silence.Bytes > most.Bytes && lasted(a, now) > most.Time
}

// quiet reports whether the silence is too long for a log that brings less than
// silent asks for.
func quiet(a meter.Activity, now time.Time) bool {
	least := quietTime
	if now.Sub(a.FirstMatch) < shortPast || len(a.Longest) < enoughDays {
		least = quietNew
	}
	return lasted(a, now) > max(least, times*usual(a, now).Time)
}

// lasted returns how long the silence lasts. While the past is short, weekends do not
// count.
func lasted(a meter.Activity, now time.Time) time.Duration {
	if now.Sub(a.FirstMatch) < wholeWeekend {
		return a.Silence.Time - weekend(a.LastMatch, now)
	}
	return a.Silence.Time
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

// silence returns the problem or note that a rule is silent.
func silence(code string, a meter.Activity, now time.Time) meter.Problem {
	longest := usual(a, now)
	hint := "see whether the application's log has changed: `meterlog test --rule " + a.Rule + " --summary` says what comes close; if the silence is right, take the rule out or give it another name"
	if a.Silence.Bytes <= longest.Bytes {
		hint = "its sources have brought no more than between two matches of earlier days. If the application now writes another file, mend `path:`; if it is idle, do nothing"
	}
	return meter.Problem{
		Code: code, Subject: a.Rule,
		Message: fmt.Sprintf("the rule %s matched last at %s and has found nothing since, in %s and %s of its sources; in the last 14 days its longest silence had %s and %s",
			a.Rule, a.LastMatch.UTC().Format(time.RFC3339), sizeText(a.Silence.Bytes), timeText(a.Silence.Time), sizeText(longest.Bytes), timeText(longest.Time)),
		Hint: hint,
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
