package config

import (
	"regexp"
	"strings"

	"github.com/meterlog/meterlog/internal/rules"
	"gopkg.in/yaml.v3"
)

var journalKeys = []string{"unit", "identifier", "match"}

// readJournal reads which entries of the journal a source has.
func (l *loader) readJournal(node *yaml.Node) *rules.Journal {
	j := &rules.Journal{}
	o := l.object(node, "journal", journalKeys)
	if o == nil {
		return j
	}
	if len(o.keys) == 0 && len(o.meant) == 0 {
		l.fail(o.node, "write journal: {unit: NAME.service}", "\"journal\" chooses nothing: it needs a \"unit\", an \"identifier\" or a \"match\"")
	}
	j.Units = l.units(o)
	identifiers, nodes := o.texts("identifier")
	for i, identifier := range identifiers {
		if !isOneLine(identifier) {
			l.fail(nodes[i], "", "%q is no identifier: %q", "identifier", identifier)
		}
	}
	j.Identifiers = identifiers
	matches, nodes := o.texts("match")
	for i, match := range matches {
		l.checkMatch(nodes[i], match)
	}
	j.Matches = matches
	return j
}

var unitName = regexp.MustCompile(`^[A-Za-z0-9:_.@\\-]+$`)

// units returns the names of units, with the suffix that people leave out.
func (l *loader) units(o *object) []string {
	units, nodes := o.texts("unit")
	for i, unit := range units {
		switch {
		case strings.ContainsAny(unit, "*?["):
			l.fail(nodes[i], "name each unit, or choose by identifier: or match:", "\"unit\" takes no pattern: %q", unit)
		case !unitName.MatchString(unit):
			l.fail(nodes[i], "write it like courier.service", "%q is no unit: %q", "unit", unit)
		case !strings.Contains(unit, "."):
			units[i] = unit + ".service"
		}
	}
	return units
}

var matchField = regexp.MustCompile(`^_?[A-Z][A-Z0-9_]*$`)

// checkMatch refuses what journalctl would not take for a match.
func (l *loader) checkMatch(node *yaml.Node, match string) {
	field, value, found := strings.Cut(match, "=")
	switch {
	case !found || strings.ContainsAny(match, "\n\x00"):
		l.fail(node, "write it like CONTAINER_NAME=web", "\"match\" must be FIELD=value: %q", match)
	case !matchField.MatchString(field):
		l.fail(node, "fields are of capital letters: "+strings.ToUpper(field)+"="+value, "the journal has no field %q", field)
	}
}

// journalName names a source after what it chooses first.
func journalName(j *rules.Journal) string {
	base := "journal"
	switch {
	case len(j.Units) > 0:
		base, _, _ = strings.Cut(j.Units[0], ".")
	case len(j.Identifiers) > 0:
		base = j.Identifiers[0]
	}
	if base = strings.Trim(notName.ReplaceAllString(strings.ToLower(base), "-"), "-_"); base == "" {
		return "journal"
	}
	return base
}
