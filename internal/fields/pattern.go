package fields

import (
	"regexp"
	"unsafe"
)

// Pattern is a regular expression.
type Pattern struct {
	re    *regexp.Regexp
	names []string // of the groups; "" where a group has none
}

// Compile compiles a regular expression in the syntax of package regexp.
func Compile(text string) (*Pattern, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &Pattern{re: re, names: re.SubexpNames()}, nil
}

// String returns the text that the pattern was compiled from.
func (p *Pattern) String() string { return p.re.String() }

// Groups returns the number of groups.
func (p *Pattern) Groups() int { return p.re.NumSubexp() }

// Names returns the names of the named groups.
func (p *Pattern) Names() []string {
	var names []string
	for _, name := range p.names {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Match reports whether the pattern matches somewhere in the text.
func (p *Pattern) Match(text []byte) bool { return p.re.Match(text) }

// MatchString reports the same of a string.
func (p *Pattern) MatchString(text string) bool { return p.re.MatchString(text) }

// Find returns where the first match and its groups are, as
// [regexp.Regexp.FindSubmatchIndex] does. It may use the memory of buffer.
func (p *Pattern) Find(text []byte, buffer []int) []int { return p.re.FindSubmatchIndex(text) }

// Group returns where the first group of the first match is, or -1.
func (p *Pattern) Group(text []byte) (from, to int) {
	if m := p.re.FindSubmatchIndex(text); m != nil && len(m) > 2 {
		return m[2], m[3]
	}
	return -1, -1
}

// GroupOf returns the same of a string.
func (p *Pattern) GroupOf(text string) (from, to int) {
	return p.Group(unsafe.Slice(unsafe.StringData(text), len(text)))
}
