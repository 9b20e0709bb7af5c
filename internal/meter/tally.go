package meter

import "math"

// Rule is what a ledger and an operator know of a rule: its name and what it
// bills. The rules package compiles the rest.
type Rule struct {
	Name      string
	ProductID string
	SKU       string
	Per       int64 // how much of the amount makes one unit, in units of the last decimal place
	Decimals  int   // decimal places of the amounts: they are whole numbers of 10^-Decimals

	// Values are what leads to the SKU where a table chooses it: the values of
	// lines, in the words of the rules package. nil: the rule has this SKU alone.
	Values []string

	// Unit says what one unit of a remainder is, in the configuration's words: a
	// remainder that another Unit made is not the rule's. "": nothing is known.
	Unit string
}

// Text returns an amount of the rule as it is written, with its decimals.
func (r *Rule) Text(amount int64) string { return Decimal(amount, r.Decimals) }

// CountKey says what a Count is a count of.
type CountKey struct {
	Rule       *Rule
	Window     Window
	Generation int64
	part       int // above 0 only for sums that would overflow an int64
}

// Count is what the lines of one generation came to for one rule and window.
type Count struct {
	Lines      int64 // lines that counted
	Amount     int64 // sum of their quantities, before `per` divides it
	Start, End int64 // byte range of the generation from the first of these lines to behind the last
	Last       int64 // when the latest of these events happened, in seconds since 1970: within the window
}

// AnomalyKey names something that went wrong with the input and is counted,
// never dropped silently.
type AnomalyKey struct {
	Kind    AnomalyKind
	Subject string // rule, source or path, as the kind says
}

// AnomalyKind is the kind of an anomaly, as `status` and the ledger name it.
type AnomalyKind string

const (
	RuleError        AnomalyKind = "rule_error"    // an expression failed or its quantity was no whole number ≥ 0; Subject: the rule
	BadTimestamp     AnomalyKind = "bad_timestamp" // an event's own time was missing, unreadable or in the future, so the time it was read was taken; Subject: the source
	NotParsed        AnomalyKind = "not_parsed"    // a line that a rule asks for is not of its source's format; Subject: the source
	TornLine         AnomalyKind = "torn"          // the end of a line came after its beginning had counted; Subject: the path
	LineTooLong      AnomalyKind = "too_long"      // a line over the limit was skipped; Subject: the path
	ForeignRemainder AnomalyKind = "foreign"       // less than a unit was set aside, as another machine had counted it; Subject: the rule
	StaleRemainder   AnomalyKind = "remainder"     // less than a unit was set aside, as its rule changed; Subject: the rule
	History          AnomalyKind = "history"       // files that were there before the first scan of a source; Subject: the source
	Repeated         AnomalyKind = "repeated"      // a line whose key had counted before, under a rule with `once`; Subject: the rule
	LateKey          AnomalyKind = "late_key"      // a line that came after its rule had forgotten the keys of its time, so it counts nothing; Subject: the rule
	LatePeak         AnomalyKind = "late_peak"     // a line that came after its stretch was closed, under a rule with `peak`, so it counts nothing; Subject: the rule
	StretchMissed    AnomalyKind = "missed"        // no agent ran at the end of a stretch of an every source, so it is not billed; Subject: the source
	LateEvent        AnomalyKind = "late_read"     // an event was too old for the API, and its source has `late: read`, so the time it was read was taken; Subject: the source
	BytesMissed      AnomalyKind = "gap"           // bytes were gone before they could be read; Subject: the path
)

// Anomaly counts the occurrences under one key.
type Anomaly struct {
	Count   int64
	Bytes   int64  // bytes concerned, where known
	Example string // the first occurrence, for people: a message and at most a part of the line
}

// TakeBack withdraws one occurrence under key that was counted earlier.
func (t *Tally) TakeBack(key AnomalyKey, bytes int64) {
	t.AddAnomaly(key, -bytes, "")
	t.Anomalies[key].Count -= 2
}

// Tally sums what a number of blocks came to between two commits. The zero
// value is empty and ready for use. It is owned by one goroutine.
type Tally struct {
	Counts    map[CountKey]*Count
	Anomalies map[AnomalyKey]*Anomaly

	// Keyed are the lines with a key that count unless the ledger holds it, in the
	// order of their reading. Resolve turns them into counts.
	Keyed  KeyedLines
	Recent *RecentKeys // of the ledger; nil: nobody keeps them

	// Peaks are the largest samples of rules with peak.
	Peaks map[PeakRef]*Top

	// The count that a line was added to last, for the next line often goes there.
	lastKey CountKey
	last    *Count
}

// Add counts one line of a generation, at [start, end), with its amount ≥ 0. at is
// when the event happened, in seconds since 1970: within the key's window.
func (t *Tally) Add(key CountKey, amount, start, end, at int64) {
	if t.last == nil || t.lastKey != key || t.last.Amount > math.MaxInt64-amount {
		t.turn(key, amount, start, end)
	}
	c := t.last
	c.Lines++
	c.Amount += amount
	c.Start = min(c.Start, start)
	c.End = max(c.End, end)
	c.Last = max(c.Last, at)
}

// turn points t.last to a count with the key and with room for the amount.
func (t *Tally) turn(key CountKey, amount, start, end int64) {
	if t.Counts == nil {
		t.Counts = make(map[CountKey]*Count)
	}
	t.lastKey = key
	for {
		t.last = t.Counts[key]
		if t.last == nil {
			t.last = &Count{Start: start, End: end}
			t.Counts[key] = t.last
		}
		if t.last.Amount <= math.MaxInt64-amount {
			return
		}
		key.part++
	}
}

// AddKeyed counts a line with a key, or a repeat, or leaves it to Resolve.
func (t *Tally) AddKeyed(k Keyed) {
	switch {
	case t.Recent.Repeats(&k.KeyRef):
		t.addOutcome(Repeated, k.Once.Rule, 1)
	case k.Once.Within > 0 || !t.Keyed.repeat(&k.KeyRef):
		t.Keyed.add(k)
	}
}

// Outcome is what becomes of a line with a key.
type Outcome byte

const (
	FirstOfKey  Outcome = iota // it counts
	RepeatOfKey                // an earlier line counted
	LateForKey                 // its keys are forgotten: nobody can tell
)

// Resolve counts the lines of Keyed by their outcomes, one for each.
func (t *Tally) Resolve(outcomes []Outcome) {
	t.resolve(outcomes, t)
	for i, outcome := range outcomes {
		ref := t.Keyed.Ref(i)
		if t.Recent != nil && (outcome == FirstOfKey || outcome == RepeatOfKey && ref.Once.Within == 0) {
			t.Recent.Add(&ref)
		}
	}
	t.Keyed.reset()
}

// ResolveWith counts the lines of Keyed as keys in memory have it.
func (t *Tally) ResolveWith(keys *Keys) {
	outcomes := make([]Outcome, t.Keyed.Len())
	for i := range outcomes {
		if ref := t.Keyed.Ref(i); !keys.First(&ref) {
			outcomes[i] = RepeatOfKey
		}
	}
	t.Resolve(outcomes)
}

// Resolved returns a tally with what t comes to by these outcomes. It leaves t as
// it is. The two share the anomalies' examples alone.
func (t *Tally) Resolved(outcomes []Outcome) *Tally {
	all := &Tally{Counts: make(map[CountKey]*Count, len(t.Counts))}
	for key, c := range t.Counts {
		one := *c
		all.Counts[key] = &one
	}
	all.AddAnomalies(t)
	t.resolve(outcomes, all)
	return all
}

// resolve adds what the lines of Keyed come to.
func (t *Tally) resolve(outcomes []Outcome, to *Tally) {
	for i, outcome := range outcomes {
		k, g := t.Keyed.Line(i), t.Keyed.Group(i)
		repeats := int64(k.Repeats)
		switch outcome {
		case FirstOfKey:
			to.Add(g.CountKey, k.Amount, k.Start, k.End, k.Time)
			to.addOutcome(Repeated, g.Once.Rule, repeats)
		case RepeatOfKey:
			to.addOutcome(Repeated, g.Once.Rule, 1+repeats)
		case LateForKey:
			to.addOutcome(LateKey, g.Once.Rule, 1+repeats)
		}
	}
}

// addOutcome counts lines with keys that count nothing.
func (t *Tally) addOutcome(kind AnomalyKind, rule string, lines int64) {
	if lines > 0 {
		key := AnomalyKey{kind, rule}
		t.AddAnomaly(key, 0, "")
		t.Anomalies[key].Count += lines - 1
	}
}

// AddAnomaly counts one occurrence under key. Of the examples the first stays.
func (t *Tally) AddAnomaly(key AnomalyKey, bytes int64, example string) {
	if t.Anomalies == nil {
		t.Anomalies = make(map[AnomalyKey]*Anomaly)
	}
	a := t.Anomalies[key]
	if a == nil {
		a = &Anomaly{Example: example}
		t.Anomalies[key] = a
	}
	a.Count++
	a.Bytes += bytes
}

// PutAnomaly adds what was counted elsewhere under a key that is new to the
// tally.
func (t *Tally) PutAnomaly(key AnomalyKey, a *Anomaly) {
	if t.Anomalies == nil {
		t.Anomalies = make(map[AnomalyKey]*Anomaly)
	}
	t.Anomalies[key] = a
}

// AddAnomalies adds the anomalies of other to t.
func (t *Tally) AddAnomalies(other *Tally) {
	for key, a := range other.Anomalies {
		t.AddAnomaly(key, a.Bytes, a.Example)
		t.Anomalies[key].Count += a.Count - 1
	}
}

// Empty reports whether nothing was added since the last Reset.
func (t *Tally) Empty() bool {
	return len(t.Counts) == 0 && len(t.Anomalies) == 0 && t.Keyed.Len() == 0 && len(t.Peaks) == 0
}

// Reset empties the tally and keeps its memory.
func (t *Tally) Reset() {
	clear(t.Counts)
	clear(t.Anomalies)
	t.Keyed.reset()
	clear(t.Peaks)
	t.lastKey, t.last = CountKey{}, nil
}
