package rules

import "github.com/meterlog/meterlog/internal/meter"

// Matcher applies the rules of a configuration to blocks. It belongs to one
// goroutine.
type Matcher struct {
	config *Config
}

// NewMatcher returns a matcher for the configuration's rules.
func NewMatcher(c *Config) *Matcher { return &Matcher{config: c} }

// Match evaluates every rule of the block's sources over its lines and adds
// what they come to to tally.
func (m *Matcher) Match(block meter.Block, tally *meter.Tally) {}

// Hit is a line that a rule counts, or on which it failed.
type Hit struct {
	Rule         *Rule
	Source       string
	Line         []byte // without its line end; valid until the callback returns
	Start, End   int64  // byte range in the generation; End is behind the newline
	Quantity     int64  // > 0 unless Err
	Window       meter.Window
	BadTimestamp bool  // the event's own time could not be taken; Window is that of its reading
	Err          error // the expression failed: nothing was counted
}

// Each calls hit for every line that a rule counts and for every line on which
// one failed: in the order of lines, then of sources, then of rules.
func (m *Matcher) Each(block meter.Block, hit func(Hit)) {}
