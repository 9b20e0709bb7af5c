package config

import (
	"fmt"
	"math"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// TestResult is what one of the configuration's tests came to.
type TestResult struct {
	Name   string
	Pos    rules.Pos
	OK     bool        // every rule counted what was expected
	Counts []TestCount // in the order of the rules: those that were expected or counted
	Errors []string    // expressions that failed, in the order of lines
}

// TestCount compares the units that one rule counted with those expected. With
// `per`, they are the whole units that the test's lines come to by themselves.
type TestCount struct {
	Rule      string
	Want, Got int64
}

// testTime is when the lines of tests are read: behind any time they may bear.
var testTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// RunTests runs the configuration's tests.
func (c *Config) RunTests() []TestResult {
	results := make([]TestResult, len(c.Tests))
	m := rules.NewMatcher(&c.Set)
	for i, t := range c.Tests {
		results[i] = t.run(c, m)
	}
	return results
}

func (t Test) run(c *Config, m *rules.Matcher) TestResult {
	result := TestResult{Name: t.Name, Pos: t.Pos, OK: true}
	amounts := map[string]int64{}
	path := "test"
	if s := c.Source(t.Source); s != nil && len(s.Paths) > 0 {
		path = s.Paths[0]
	}
	block := meter.Block{Path: path, Sources: []string{t.Source}, Data: t.Lines, ReadAt: testTime}
	m.Each(block, func(h rules.Hit) {
		if h.Err != nil {
			result.Errors = append(result.Errors, fmt.Sprintf("rule %q: %v: %s", h.Rule.Name, h.Err, meter.Clip(string(h.Line), rules.MaxExample)))
			return
		}
		amounts[h.Rule.Name] += min(h.Quantity, math.MaxInt64-amounts[h.Rule.Name])
	})
	for _, r := range c.Rules {
		want, expected := t.Expect[r.Name]
		got := amounts[r.Name] / r.Per
		if expected || got != 0 {
			result.Counts = append(result.Counts, TestCount{r.Name, want, got})
		}
		result.OK = result.OK && want == got
	}
	return result
}
