package rules

import (
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// Config is a configuration file, checked and with its defaults filled in.
type Config struct {
	Path      string // the file it was read from, as named by the caller
	ProductID string
	Sources   []*Source
	Rules     []*Rule
	Interval  time.Duration // length of a window, whole seconds
	Delivery  Delivery
	Auth      Auth
	State     string // "" where unset
	Listen    string // host:port; "" where nothing is to be served
	Retention time.Duration
	Tests     []Test
}

// Delivery says where usage records go.
type Delivery struct {
	Endpoint  string // scheme://host[:port][/path], without a slash at the end
	Transport string // rest or grpc
	Timeout   time.Duration
}

// Auth says how tokens are come by.
type Auth struct {
	Method      string // metadata, key or token
	KeyFile     string // with key
	TokenFile   string // with token; "" where the token stands in the variable METERLOG_IAM_TOKEN
	IAMEndpoint string // scheme://host[:port], without a slash at the end
}

// Source is a set of files and how their lines are read.
type Source struct {
	Name    string
	Paths   []string // globs, absolute, as doublestar takes them
	Exclude []string // globs, absolute or a mere base name
	StartAt string   // beginning or end: where a file found at the first start begins
	Format  string   // text, json, logfmt or regexp
	Pos     Pos
}

// Rule is a rule with its expressions compiled.
type Rule struct {
	meter.Rule
	Sources []string // names of the sources it applies to, never empty
	Pos     Pos
}

// Test is an entry of `tests:`: lines and what the rules must count on them.
type Test struct {
	Name   string
	Source string
	Lines  []byte
	Expect map[string]int64
	Pos    Pos
}

// Pos is a place in the configuration file, both counted from 1.
type Pos struct {
	Line, Column int
}

// Load reads and checks the configuration file at path. Its error is
// [Problems] unless the file could not be read.
func Load(path string) (*Config, error) { return nil, nil }

// Parse checks a configuration. Its error is [Problems], in which name stands
// as the file.
func Parse(name string, text []byte) (*Config, error) { return nil, nil }

// TestResult is what one of the configuration's tests came to.
type TestResult struct {
	Name   string
	Pos    Pos
	OK     bool
	Counts []TestCount // by rule in the order of the configuration; only rules that were expected or counted
	Errors []string    // expression errors and other anomalies, in the order of lines
}

// TestCount compares one rule's units.
type TestCount struct {
	Rule      string
	Want, Got int64
}

// RunTests runs the configuration's tests.
func (c *Config) RunTests() []TestResult { return nil }
