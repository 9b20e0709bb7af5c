package monitor

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/silence"
)

// How long ago something that cannot be undone may have happened to be a
// problem still.
const (
	recentUnbilled = 7 * 24 * time.Hour
	recentAnomaly  = 24 * time.Hour
)

// wrong reads what the ledger and the agent say is wrong.
func (s Subject) wrong(ctx context.Context, st *Status, r *ledger.Reader) error {
	var present []meter.Problem
	switch {
	case s.Health != nil:
		present = s.Health.Problems()
	case st.Running:
		var err error
		if present, err = r.Problems(ctx); err != nil {
			return err
		}
	default: // the silence of rules outlasts the agent that measured it
		activity, err := r.Activity(ctx)
		if err != nil {
			return err
		}
		present = silence.Problems(s.configured(activity), st.At)
	}
	s.present(st, present)
	if noSpace(s.Dir) {
		st.problem("no_space", "the disk of "+s.Dir+" is full: nothing can be committed", "free space on it; reading goes on by itself then")
	}
	unbilled, err := r.Unbilled(ctx)
	if err != nil {
		return err
	}
	st.Records[meter.Refused] = 0 // only refused records that were not queued again count
	for _, u := range unbilled {
		if u.State == meter.Refused {
			st.Records[meter.Refused] += u.Records
		}
		if st.At.Sub(u.Latest) < recentUnbilled {
			st.problem(unbilledCode(u), s.unbilledMessage(u), unbilledHint(u))
		}
	}
	anomalies, err := r.Anomalies(ctx)
	if err != nil {
		return err
	}
	for _, a := range anomalies {
		if a.Kind == meter.Repeated {
			st.Repeated = append(st.Repeated, RepeatedStatus{a.Subject, a.Count})
			continue
		}
		if st.At.Sub(a.Last) < recentAnomaly {
			hint := anomalyHints[a.Kind]
			if a.Kind == meter.BytesMissed && journal.IsJournal(a.Subject) {
				hint = journal.GapHint(a.Example)
			}
			st.add(ProblemStatus{Code: string(a.Kind), Message: s.anomalyMessage(a), Hint: hint, latest: a.Last})
		}
	}
	return nil
}

// configured returns the activity of the rules that the configuration has.
func (s Subject) configured(activity []meter.Activity) []meter.Activity {
	return slices.DeleteFunc(activity, func(a meter.Activity) bool { return s.Config == nil || s.Config.Rule(a.Rule) == nil })
}

// noSpace reports whether the folder's disk takes nothing more of a service.
func noSpace(dir string) bool {
	var fs syscall.Statfs_t
	return syscall.Statfs(dir, &fs) == nil && fs.Blocks > 0 && fs.Bavail == 0
}

func sinceText(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (for %v)", max(0, now.Sub(since)).Round(time.Second))
}

// Codes of usage that is not billed although its state alone would not say why.
const (
	// This very machine has counted what was set aside. Unlike the usage of a copied
	// disk, nobody else delivers it.
	foreignHere = "foreign_here"

	// The API had the uuid of a record before the record's first attempt. The machine
	// has delivered it in a life that it was taken back from.
	rolledBack = "ledger_rolled_back"
)

func unbilledCode(u ledger.Unbilled) string {
	switch {
	case u.State == meter.Foreign && u.Reason == ledger.SameBoot:
		return foreignHere
	case u.State == meter.Refused && u.Reason == "DUPLICATE":
		return rolledBack
	}
	return string(u.State)
}

func (s Subject) unbilledMessage(u ledger.Unbilled) string {
	of := u.SKU
	if s.Config != nil && u.ProductID != s.Config.ProductID {
		of += " of product " + u.ProductID
	}
	are := "are"
	if u.Records == 1 {
		are = "is"
	}
	text := fmt.Sprintf("%s of %s, %s, %s %s", meter.Plural(int64(u.Records), "record"), of, meter.Plural(u.Units, "unit"), are, stateWords[u.State])
	if said := u.State == meter.Refused || u.State == meter.Expired; said && u.Reason != "" && u.Reason != "EXPIRED" {
		text += ": " + u.Reason
	}
	if u.Reasons > 1 {
		text += fmt.Sprintf(", for %d other reasons, which `meterlog records` lists", u.Reasons)
	}
	switch unbilledCode(u) {
	case foreignHere:
		text += ", but it was this one: its id changed while it ran"
	case rolledBack:
		text += " (the API had them before their first attempt: the machine or its state folder went back to a snapshot)"
	}
	return text + ", the last at " + u.Latest.UTC().Format(time.RFC3339)
}

var stateWords = map[meter.State]string{
	meter.Refused: "refused by the API",
	meter.Expired: "expired: the API found them older than an hour",
	meter.InDoubt: "in doubt: an answer was lost, and no later one tells whether the API has them",
	meter.Foreign: "set aside: another machine counted them",
}

func unbilledHint(u ledger.Unbilled) string {
	switch unbilledCode(u) {
	case rolledBack:
		return "compare `meterlog records --state refused` with the bill; only where the bill lacks a record, `meterlog retry UUID`"
	case foreignHere:
		return "see what changes /etc/machine-id while the machine runs; bill by hand what `meterlog records --state foreign` lists, unless a clone of the running machine has delivered it"
	}
	switch u.State {
	case meter.Refused:
		switch u.Reason {
		case "INVALID_SKU_ID", "INVALID_PRODUCT_ID", "INVALID_QUANTITY":
			return "fix the configuration, `systemctl reload meterlog`, see that `meterlog check --online` is content, then `meterlog retry --reason " + u.Reason + "`, within the hour: it takes the SKU and product that the rules have now"
		}
		return "see `meterlog records --state refused`; once its cause is fixed, `meterlog retry`"
	case meter.Expired:
		return "see `meterlog records --state expired`; it can only be billed by hand"
	case meter.InDoubt:
		return "compare `meterlog records --state in_doubt` with the bill"
	}
	return "nothing: the machine that counted them delivers them"
}

// anomalyMessage returns what went wrong. The example holds a part of a log's line:
// it is for people who may read the ledger, and not for everybody who may ask
// the agent's address.
func (s Subject) anomalyMessage(a ledger.Anomaly) string {
	if a.Kind == meter.History {
		return s.historyMessage(a)
	}
	text := fmt.Sprintf("%s: %d times, the last at %s", a.Subject, a.Count, a.Last.UTC().Format(time.RFC3339))
	switch {
	case a.Kind == meter.BytesMissed && journal.IsJournal(a.Subject) && a.Bytes > 0:
		text += fmt.Sprintf(", %d entries of the journal", a.Bytes)
	case a.Bytes > 0:
		text += fmt.Sprintf(", %d bytes", a.Bytes)
	}
	text = anomalyWords[a.Kind] + ": " + text
	if s.Health == nil {
		text += "; e.g. " + a.Example
	}
	return text
}

// historyMessage returns what a source held before its first scan.
func (s Subject) historyMessage(a ledger.Anomaly) string {
	text := fmt.Sprintf("%s: %s with %d bytes were there before the first scan at %s", a.Subject, meter.Plural(a.Count, "file"), a.Bytes, a.Last.UTC().Format(time.RFC3339))
	if s.Config != nil {
		if source := s.Config.Source(a.Subject); source != nil {
			text += "; their lines are " + History{Source: source}.Fate()
		}
	}
	return text
}

var anomalyWords = map[meter.AnomalyKind]string{
	meter.RuleError:        "a rule failed on lines, which it did not count",
	meter.BadTimestamp:     "the time of events could not be taken from their lines",
	meter.LateEvent:        "events were over 55 minutes old when they were read, and counted at the time of reading",
	meter.NotParsed:        "lines that a rule looks for are not of their source's format: perhaps they are usage",
	meter.TornLine:         "the ends of lines came after their beginnings had counted as whole lines",
	meter.LineTooLong:      "lines were too long to be read",
	meter.ForeignRemainder: "less than a unit was set aside",
	meter.StaleRemainder:   "less than a unit was set aside, since the rule changed",
	meter.History:          "files held lines before their source was first read",
	meter.LateKey:          "lines came so late that the keys of their time are forgotten: they counted nothing",
	meter.LatePeak:         "lines came after the peak of their hour or day had counted: they counted nothing",
	meter.StretchMissed:    "no agent ran when a stretch of time ended, so it is not billed",
	meter.BytesMissed:      "log lines were gone before they could be read",
}

var anomalyHints = map[meter.AnomalyKind]string{
	meter.RuleError:        "try the rule with `meterlog test FILE`, and fix it",
	meter.BadTimestamp:     "see timestamp: of the source; the time of reading was taken",
	meter.LateEvent:        "nothing, if the contract with the marketplace allows `late: read`; see why such events are read so late",
	meter.NotParsed:        "see format:, pattern: and prefix: of the source; `meterlog test FILE` shows such lines",
	meter.TornLine:         "let the program that writes the log reopen it after a rotation, or rotate it less often",
	meter.LineTooLong:      "lines over 1 MiB are skipped: see what writes them",
	meter.ForeignRemainder: "nothing: the machine that counted it goes on with it",
	meter.StaleRemainder:   "bill it by hand if it matters; `sqlite3` finds it in the table set_aside of the ledger",
	meter.History:          "nothing, if that is meant; `start_at: end` at a source leaves such lines out, and is read once, at its first scan",
	meter.LateKey:          "let the log be written and read sooner: keys are kept for an hour after their hour, day or month",
	meter.LatePeak:         "let the log be written and read sooner: a stretch closes at its end, or ten minutes later where lines tell their own time",
	meter.StretchMissed:    "nothing, if the machine or the service was stopped then",
	meter.BytesMissed:      "keep rotated logs for longer than meterlog may be down (logrotate: rotate), and do not delete live ones",
}
