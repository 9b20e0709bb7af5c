// Package config reads the configuration, one YAML file, into a [Config]: its
// expressions, patterns and layouts are compiled, and a Config that exists is
// valid. All mistakes are found at once, each with its place.
//
//   - document.go, position.go and problem.go read YAML so that every mistake
//     has its place; load*.go make a Config of it.
//   - schema.json is for editors.
//
// A Config is immutable and may be shared.
package config

import (
	"errors"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// Config is a configuration file, checked and with its defaults filled in.
type Config struct {
	rules.Set
	Path      string // the file it was read from, as named by the caller
	ProductID string
	Delivery  Delivery
	Auth      Auth
	State     string // folder; "" where unset
	Listen    string // host:port; "" if the agent serves no page
	Retention time.Duration
	Tests     []Test

	warnings Problems // found while the file was read
	lines    []string // of the file
}

// Delivery says where usage records go.
type Delivery struct {
	Endpoint  string // scheme://host[:port], without a slash at the end
	Transport string // rest or grpc
	Timeout   time.Duration
	CAFile    string // PEM certificates to trust beside the system's own, for the API and IAM; may be ""
}

// Auth says where tokens come from.
type Auth struct {
	Method      string // metadata, key or token
	KeyFile     string // with key
	TokenFile   string // with token; "" if the variable METERLOG_IAM_TOKEN holds the token
	IAMEndpoint string // scheme://host[:port], without a slash at the end
}

// Test is an entry of `tests:`: lines, and what the rules must count on them.
type Test struct {
	Name   string
	Source string
	Lines  []byte
	File   string                 // what `file` is
	Now    time.Time              // the clock at the reading; zero: a little after the newest time in the lines
	Expect map[string]Expectation // by rule
	Errors map[string]int64       // lines that a rule must fail on, by its name; lines of an anomaly, by its kind
	Pos    rules.Pos
}

// untimed is the clock of a test whose lines and keys name no time.
var untimed = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Clock returns when the test's lines are read.
func (t Test) Clock(m *rules.Matcher) time.Time {
	if !t.Now.IsZero() {
		return t.Now
	}
	newest := m.Newest(t.Source, t.Lines)
	if newest.IsZero() {
		newest = untimed
	}
	return newest.Add(time.Second)
}

// Block returns the test's lines as if they were read at now.
func (t Test) Block(now time.Time) meter.Block {
	return meter.Block{Path: t.File, Sources: []string{t.Source}, Data: t.Lines, ReadAt: now}
}

// Expectation is what one rule must come to. A test compares only the fields that are set.
type Expectation struct {
	Units   *int64      // whole ones, after `per`
	Amount  *int64      // the sum of the quantities, before `per`
	Windows []time.Time // the beginnings of its windows, in order
	SKU     string      // that it bills

	Repeated *int64 // lines whose key had counted before; nil: any number

	// Each says what the rule must come to under each SKU; a SKU that is not in it
	// must count 0. nil: the SKUs are taken together.
	Each []Expectation
}

// Only returns the configuration with these of its rules alone, in its order. It
// is for trying rules: its tests may speak of others.
func (c *Config) Only(names []string) *Config {
	few := *c
	few.Set = c.Set.Only(names)
	return &few
}

// SeveralProducts reports whether the rules bill more than one product.
func (c *Config) SeveralProducts() bool {
	return slices.ContainsFunc(c.Rules, func(r *rules.Rule) bool { return r.ProductID != c.Rules[0].ProductID })
}

// ErrInvalid is wrapped by errors of a configuration that was read and cannot be used.
var ErrInvalid = errors.New("configuration")
