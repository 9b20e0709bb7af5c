// Package selftest runs the tests that a configuration holds: lines, and what its
// rules must count on them. It reads no file and changes nothing.
package selftest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// Result is what one of the configuration's tests came to.
type Result struct {
	Name     string
	Pos      rules.Pos
	Counts   []Count   // of the rules that counted or were expected, in their order
	Troubles []Trouble // by kind and subject
	Failures []string  // the differences from the expectation; empty if the test passed
}

// OK reports whether all was as expected.
func (r Result) OK() bool { return len(r.Failures) == 0 }

// Count is what one rule counted.
type Count struct {
	Rule    string
	SKU     string
	Units   int64 // whole ones that the test's lines come to by themselves
	Amount  int64 // the sum of the quantities, before `per`: a whole number of the last decimal place
	Windows []time.Time

	Decimals int // places of the amount
}

// Trouble is what could not be counted, or not as it should be.
type Trouble struct {
	Kind    meter.AnomalyKind
	Subject string // the rule of a rule_error, else the source
	Count   int64
	Example string
}

// Run runs the configuration's tests.
func Run(c *config.Config) []Result {
	results := make([]Result, len(c.Tests))
	m := rules.NewMatcher(&c.Set)
	for i, t := range c.Tests {
		results[i] = run(t, c, m)
	}
	return results
}

func run(t config.Test, c *config.Config, m *rules.Matcher) Result {
	var tally meter.Tally
	m.Match(t.Block(t.Clock(m)), &tally)
	tally.ResolveWith(new(meter.Keys))
	tally.ClosePeaks(c.Interval)
	r := Result{Name: t.Name, Pos: t.Pos, Troubles: troubles(&tally)}
	counted, zero := false, false
	for _, rule := range c.Rules {
		counts, want := countsOf(rule, &tally), t.Expect[rule.Name]
		_, named := t.Expect[rule.Name]
		if !named {
			want.Units = new(int64)
		}
		some := counts[0].Amount > 0
		counted = counted || some
		zero = zero || named && (isZero(want.Units) || isZero(want.Amount))
		if named || some {
			r.Counts = append(r.Counts, counts...)
			r.Failures = append(r.Failures, compare(want, counts, rule)...)
			if got := repeats(&tally, rule); want.Repeated != nil && *want.Repeated != got {
				r.Failures = append(r.Failures, fmt.Sprintf("%s found %s, expected %d", rule.Name, meter.Plural(got, "repeated line"), *want.Repeated))
			}
		}
	}
	unexpected := compareErrors(t, r.Troubles)
	r.Failures = append(r.Failures, unexpected...)
	if !counted && !zero && len(t.Errors) == 0 && len(r.Failures) == 0 {
		r.Failures = []string{"no rule counts any of the lines: if that is right, say so with {" + aRule(t, c) + ": 0}"}
	}
	return r
}

// aRule names a rule that applies to the test's lines.
func aRule(t config.Test, c *config.Config) string {
	for _, rule := range c.Rules {
		if slices.Contains(rule.Sources, t.Source) {
			return rule.Name
		}
	}
	return c.Rules[0].Name
}

// repeats returns how many lines counted nothing because their key had counted.
func repeats(tally *meter.Tally, rule *rules.Rule) int64 {
	if a := tally.Anomalies[meter.AnomalyKey{Kind: meter.Repeated, Subject: rule.Name}]; a != nil {
		return a.Count
	}
	return 0
}

func isZero(n *int64) bool { return n != nil && *n == 0 }

// countsOf returns what a rule counted under each SKU, in the order of the
// configuration. A rule that counted nothing has one count of 0.
func countsOf(rule *rules.Rule, tally *meter.Tally) (counts []Count) {
	of := make(map[*meter.Rule]*Count)
	for key, c := range tally.Counts {
		if key.Rule.Name != rule.Name {
			continue
		}
		if of[key.Rule] == nil {
			of[key.Rule] = &Count{Rule: rule.Name, SKU: key.Rule.SKU, Decimals: rule.Decimals}
		}
		of[key.Rule].add(c.Amount, key.Window.StartTime())
	}
	for _, billed := range rule.Bills() {
		if count := of[billed]; count != nil {
			count.Units = count.Amount / rule.Per
			count.sortWindows()
			counts = append(counts, *count)
		}
	}
	if counts == nil {
		counts = []Count{{Rule: rule.Name, SKU: rule.SKU, Decimals: rule.Decimals}}
	}
	return counts
}

func (c *Count) add(amount int64, windows ...time.Time) {
	c.Amount += min(amount, math.MaxInt64-c.Amount)
	c.Windows = append(c.Windows, windows...)
}

func (c *Count) sortWindows() {
	slices.SortFunc(c.Windows, time.Time.Compare)
	c.Windows = slices.Compact(c.Windows)
}

// compare returns where the counts of a rule are not what is expected.
func compare(want config.Expectation, counts []Count, rule *rules.Rule) (all []string) {
	if want.Each == nil {
		sum := Count{Rule: rule.Name, SKU: counts[0].SKU, Decimals: rule.Decimals}
		for _, c := range counts {
			sum.add(c.Amount, c.Windows...)
			sum.Units += min(c.Units, math.MaxInt64-sum.Units)
			if want.SKU != "" && c.SKU != want.SKU {
				sum.SKU = c.SKU
			}
		}
		sum.sortWindows()
		return differences(want, sum, rule)
	}
	counts = slices.Clone(counts)
	for _, one := range want.Each {
		i := slices.IndexFunc(counts, func(c Count) bool { return c.SKU == one.SKU })
		got := Count{SKU: one.SKU, Decimals: rule.Decimals}
		if i >= 0 {
			got = counts[i]
			counts = slices.Delete(counts, i, i+1)
		}
		got.Rule = rule.Name + " of " + one.SKU
		all = append(all, differences(one, got, rule)...)
	}
	for _, c := range counts {
		if c.Amount > 0 {
			all = append(all, fmt.Sprintf("%s counted %d of %s, expected 0", rule.Name, c.Units, c.SKU))
		}
	}
	return all
}

// differences returns where a count is not what is expected.
func differences(want config.Expectation, got Count, rule *rules.Rule) (all []string) {
	if want.Units != nil && *want.Units != got.Units {
		text := fmt.Sprintf("%s counted %d, expected %d", got.Rule, got.Units, *want.Units)
		if rule.Per > 1 {
			text += fmt.Sprintf(" (an amount of %s, per %s)", rule.Text(got.Amount), rule.Text(rule.Per))
		}
		all = append(all, text)
	}
	if want.Amount != nil && *want.Amount != got.Amount {
		all = append(all, fmt.Sprintf("%s came to an amount of %s, expected %s", got.Rule, rule.Text(got.Amount), rule.Text(*want.Amount)))
	}
	if want.Windows != nil && !slices.EqualFunc(want.Windows, got.Windows, time.Time.Equal) {
		all = append(all, fmt.Sprintf("%s counted in the windows %s, expected %s", got.Rule, windowsText(got.Windows), windowsText(want.Windows)))
	}
	if want.SKU != "" && got.Amount > 0 && want.SKU != got.SKU {
		all = append(all, fmt.Sprintf("%s bills %s, expected %s", got.Rule, got.SKU, want.SKU))
	}
	return all
}

func windowsText(windows []time.Time) string {
	if len(windows) == 0 {
		return "none"
	}
	texts := make([]string, len(windows))
	for i, w := range windows {
		texts[i] = w.UTC().Format(time.RFC3339)
	}
	return strings.Join(texts, ", ")
}

// troubles returns the tally's anomalies in a fixed order.
func troubles(tally *meter.Tally) (all []Trouble) {
	for key, a := range tally.Anomalies {
		if key.Kind == meter.Repeated {
			continue // it is what the rule is for
		}
		all = append(all, Trouble{key.Kind, key.Subject, a.Count, a.Example})
	}
	slices.SortFunc(all, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject))
	})
	return all
}

// compareErrors returns the differences between troubles and expected errors.
func compareErrors(t config.Test, got []Trouble) (all []string) {
	open := maps.Clone(t.Errors)
	for _, e := range got {
		name := e.Subject
		if e.Kind != meter.RuleError {
			name = string(e.Kind)
		}
		want := open[name]
		delete(open, name)
		if e.Count != want {
			all = append(all, fmt.Sprintf("%s, expected %d: %s", e.text(), want, e.Example))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(open)) {
		if open[name] > 0 {
			all = append(all, fmt.Sprintf("%s: no error, expected %d", name, open[name]))
		}
	}
	return all
}

// text returns what went wrong on how many lines.
func (e Trouble) text() string {
	lines := meter.Plural(e.Count, "line")
	switch e.Kind {
	case meter.RuleError:
		return e.Subject + " failed on " + lines
	case meter.BadTimestamp:
		return "bad_timestamp on " + lines + " of " + e.Subject
	}
	return string(e.Kind) + " on " + lines + " of " + e.Subject
}
