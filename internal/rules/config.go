package rules

import (
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"
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
	State     string // folder; "" where unset
	Listen    string // host:port; "" where nothing is to be served
	Retention time.Duration
	Tests     []Test

	slots slotTable
}

// Delivery says where usage records go.
type Delivery struct {
	Endpoint  string // scheme://host[:port], without a slash at the end
	Transport string // rest or grpc
	Timeout   time.Duration
	CAFile    string // PEM certificates trusted beside those of the system, by the API and by IAM; "": none
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
	Paths   []string // absolute globs, as doublestar takes them
	Exclude []string // the same; one without a slash is matched with the base name
	StartAt string   // beginning or end: where a file found at the first start begins
	Format  string   // text, json, logfmt or regexp
	Pos     Pos

	pattern   *regexp.Regexp // of format regexp
	timestamp *timestamp     // nil where events have the time of their reading
}

// Covers reports whether the source follows a file of this absolute path.
func (s *Source) Covers(path string) bool {
	for _, exclude := range s.Exclude {
		name := path
		if filepath.Base(exclude) == exclude {
			name = filepath.Base(path)
		}
		if doublestar.MatchUnvalidated(exclude, name) {
			return false
		}
	}
	for _, glob := range s.Paths {
		if doublestar.MatchUnvalidated(glob, path) {
			return true
		}
	}
	return false
}

// Timed reports whether events of the source have a time of their own.
func (s *Source) Timed() bool { return s.timestamp != nil }

// Rule is a rule with its expressions compiled.
type Rule struct {
	meter.Rule
	Sources      []string // names of the sources that it applies to, in their order; never empty
	WhenText     string   // the condition as written
	QuantityText string   // the quantity as written
	Pos          Pos

	index    int // among the configuration's rules
	when     *expression
	quantity *expression // nil where it is constant
	constant int64
}

// Test is an entry of `tests:`: lines, and what the rules must count on them.
type Test struct {
	Name   string
	Source string
	Lines  []byte
	Expect map[string]int64 // units by rule
	Pos    Pos
}

// Pos is a place in the configuration file, line and column from 1.
type Pos struct {
	Line, Column int
}

// Source is the source of that name, or nil.
func (c *Config) Source(name string) *Source {
	for _, s := range c.Sources {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// SourcesOf names the sources that follow a file of this absolute path.
func (c *Config) SourcesOf(path string) []string {
	var names []string
	for _, s := range c.Sources {
		if s.Covers(path) {
			names = append(names, s.Name)
		}
	}
	return names
}

// Rule is the rule of that name, or nil.
func (c *Config) Rule(name string) *Rule {
	for _, r := range c.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Only is the configuration with these of its rules alone, in its order. It is
// for trying rules: its tests may speak of others.
func (c *Config) Only(names []string) *Config {
	few := *c
	few.Rules = nil
	for _, r := range c.Rules {
		if slices.Contains(names, r.Name) {
			one := *r
			one.index = len(few.Rules)
			few.Rules = append(few.Rules, &one)
		}
	}
	return &few
}
