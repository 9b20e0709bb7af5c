package fields

import (
	"regexp"
	"slices"
	"unsafe"
)

// Pattern is a regular expression. If it consists of literals and runs of classes,
// steps walk it, which takes a small part of the time.
type Pattern struct {
	re    *regexp.Regexp
	names []string // of the groups; "" for a group without a name
	steps *steps   // nil if package regexp does the work
	slow  string   // why there are no steps
	none  []int    // the places of groups that match nothing
}

// Compile compiles a regular expression in the syntax of package regexp.
func Compile(text string) (*Pattern, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	p := &Pattern{re: re, names: re.SubexpNames(), none: slices.Repeat([]int{-1}, 2+2*re.NumSubexp())}
	p.steps, p.slow = newSteps(text)
	return p, nil
}

// Slow returns why the pattern takes the time of package regexp, or "".
func (p *Pattern) Slow() string { return p.slow }

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
func (p *Pattern) Match(text []byte) bool {
	var buffer [fewPlaces]int
	return p.Find(text, buffer[:0]) != nil
}

// MatchString reports the same of a string.
func (p *Pattern) MatchString(text string) bool { return p.Match(bytesOf(text)) }

// fewPlaces are as many as the patterns have that get by without an allocation.
const fewPlaces = 24

// Find returns where the first match and its groups are, as
// [regexp.Regexp.FindSubmatchIndex] does. It may use the memory of buffer.
func (p *Pattern) Find(text []byte, buffer []int) []int {
	if p.steps != nil {
		places := append(buffer[:0], p.none...)
		if found, known := p.steps.find(text, places); found {
			return places
		} else if known {
			return nil
		}
	}
	return p.re.FindSubmatchIndex(text)
}

// Group returns where the first group of the first match is, or -1.
func (p *Pattern) Group(text []byte) (from, to int) {
	var buffer [fewPlaces]int
	if places := p.Find(text, buffer[:0]); len(places) > 2 {
		return places[2], places[3]
	}
	return -1, -1
}

// GroupOf returns the same of a string.
func (p *Pattern) GroupOf(text string) (from, to int) {
	return p.Group(bytesOf(text))
}

// bytesOf returns the bytes of a string, which must not be changed.
func bytesOf(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }
