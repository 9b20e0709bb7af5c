package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/program"
)

// Set is the sources and rules of a configuration. It is immutable once it is
// built, and may be shared.
type Set struct {
	Sources  []*Source
	Rules    []*Rule
	Interval time.Duration // length of a window, whole seconds

	slots program.Slots
}

// Source is a set of files, or the clock, and how its lines are read.
type Source struct {
	Name string
	glob.Set
	StartAt string // beginning or end: where a file found at the first start begins
	fields.Reader
	Timestamp *fields.Timestamp // nil where events have the time of their reading
	LateRead  bool              // an event that is older than meter.LateAfter counts at the time of its reading
	Every     time.Duration     // instead of files: an event for each such stretch of time; 0 for files
	Journal   *Journal          // instead of files: entries of the systemd journal; nil for files
	Pos       Pos

	timeSlot int // of the timestamp's field
}

// Journal chooses entries of the systemd journal: of one of the units, with one of
// the identifiers, and with one of the values of each field that is named. What is
// empty chooses all.
type Journal struct {
	Units       []string
	Identifiers []string
	Matches     []string // FIELD=value
}

// SetEvery makes a source of the clock: of lines that are times.
func (s *Source) SetEvery(every time.Duration) {
	s.Every, s.Format = every, "text"
	s.Timestamp = everyTime
}

// everyTime reads the lines of the clock.
var everyTime = func() *fields.Timestamp {
	whole, err := fields.Compile(`^(\S+)$`)
	if err != nil {
		panic(err)
	}
	layout, problem, _ := fields.NewLayout("rfc3339")
	if problem != "" {
		panic(problem)
	}
	return &fields.Timestamp{Pattern: whole, Layouts: []fields.Layout{layout}, Location: time.UTC}
}()

// Stream returns the path of the generations of a source without files, and "" for
// files. No file has such a path: the paths of files are absolute.
func (s *Source) Stream() string {
	switch {
	case s.Every > 0:
		return "clock:" + s.Name
	case s.Journal != nil:
		return "journal:" + s.Name
	}
	return ""
}

// has reports whether the source has what is followed under the path.
func (s *Source) has(path string) bool {
	if stream := s.Stream(); stream != "" {
		return stream == path
	}
	return s.Covers(path)
}

// Timed reports whether events of the source have a time of their own.
func (s *Source) Timed() bool { return s.Timestamp != nil || s.Journal != nil }

// Rule is a rule with its expressions compiled.
type Rule struct {
	meter.Rule
	Sources      []string // names of the sources that it applies to, in their order; never empty
	WhenText     string   // the condition as written
	QuantityText string   // the quantity as written
	Pos          Pos
	When         *Expression
	Quantity     *Expression // nil where it is constant
	Constant     int64       // the quantity where it is constant
	Max          int64       // a line of more is an error; 0: there is no limit
	Table        *Table      // chooses the SKU; nil if the rule has one SKU
	Once         *Once       // counts the first line of each key; or nil
	Peak         *Peak       // counts the largest line of each stretch; or nil

	index int // among the set's rules
}

// Bills returns what the rule bills, in the order of the configuration: with a
// table, each SKU of it once.
func (r *Rule) Bills() []*meter.Rule {
	if r.Table != nil {
		return r.Table.bills
	}
	return []*meter.Rule{&r.Rule}
}

// SKUText returns the rule's SKU for people, or what its table chooses it by.
func (r *Rule) SKUText() string {
	if r.Table == nil {
		return r.SKU
	}
	return fmt.Sprintf("%s by %s", meter.Plural(int64(len(r.Table.bills)), "SKU"), strings.Join(strings.Fields(r.Table.ByText), " "))
}

// Patterns returns the constant regular expressions of the rule.
func (r *Rule) Patterns() []*fields.Pattern {
	patterns := r.When.patterns
	if r.Quantity != nil {
		patterns = slices.Concat(patterns, r.Quantity.patterns)
	}
	if r.Table != nil {
		patterns = slices.Concat(patterns, r.Table.By.patterns)
	}
	if key := r.key(); key != nil {
		patterns = slices.Concat(patterns, key.patterns)
	}
	return patterns
}

// Pos is a place in the configuration file, line and column from 1.
type Pos struct {
	Line, Column int
}

// AddSource adds a source. Its fields must be complete.
func (s *Set) AddSource(source *Source) {
	if t := source.Timestamp; t != nil && t.Path != nil {
		source.timeSlot = s.slots.Enter(t.Path)
	}
	s.Sources = append(s.Sources, source)
}

// AddRule adds a rule, whose expressions the set has compiled.
func (s *Set) AddRule(r *Rule) {
	r.index = len(s.Rules)
	s.Rules = append(s.Rules, r)
}

// Source returns the source of that name, or nil.
func (s *Set) Source(name string) *Source {
	for _, source := range s.Sources {
		if source.Name == name {
			return source
		}
	}
	return nil
}

// Roots returns the folders that the sources name literally on the way to their files.
func (s *Set) Roots() glob.Roots {
	var patterns []string
	for _, source := range s.Sources {
		patterns = append(patterns, source.Paths...)
	}
	return glob.RootsOf(patterns)
}

// SourcesOf names the sources that follow a file of this absolute path, or a
// stream of this name.
func (s *Set) SourcesOf(path string) []string {
	var names []string
	for _, source := range s.Sources {
		if source.has(path) {
			names = append(names, source.Name)
		}
	}
	return names
}

// EntryFields returns the fields of journal entries that the set's expressions
// name. all reports whether they may use any field.
func (s *Set) EntryFields() (names []string, all bool) {
	names = slices.Clone(s.slots.EntryFields)
	slices.Sort(names)
	return slices.Compact(names), s.slots.EntryAll
}

// Rule returns the rule of that name, or nil.
func (s *Set) Rule(name string) *Rule {
	for _, r := range s.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Only returns the set with these of its rules alone, in its order.
func (s *Set) Only(names []string) Set {
	few := *s
	few.Rules = nil
	for _, r := range s.Rules {
		if slices.Contains(names, r.Name) {
			one := *r
			few.AddRule(&one)
		}
	}
	return few
}
