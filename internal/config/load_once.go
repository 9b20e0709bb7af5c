package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/remedy"
	"github.com/meterlog/meterlog/internal/rules"
)

// Bounds of `within`.
const (
	leastWithin = time.Second
	mostWithin  = 366 * 24 * time.Hour
)

// readOnce reads which lines of a rule are repeats.
func (l *loader) readOnce(node *yaml.Node, r *rules.Rule) {
	if node == nil {
		return
	}
	o := l.object(node, "once", onceKeys)
	if o == nil {
		return
	}
	o.require("key")
	once := &rules.Once{Location: time.UTC}
	text := ""
	if node := o.values["key"]; node != nil {
		once.Key, text = l.readKey(node, r)
	}
	each, within := o.values["each"], o.values["within"]
	switch {
	case each == nil && within == nil:
		l.fail(node, "write each: day, or within: 24h", `"once" needs "each" or "within"`)
	case each != nil && within != nil:
		l.fail(within, `with "each" a key counts once in every hour, day or month; with "within" so long after it counted`, `"each" and "within" exclude one another`)
	case each != nil:
		once.Each, once.Location = l.readEach(o, rules.Calendars)
	default:
		l.readWithin(o, once)
	}
	once.Once = meter.Once{Rule: r.Name, Form: onceForm(text, once), Within: once.Within}
	if once.Key != nil {
		r.Once = once
	}
}

// onceForm returns what a rule remembers, in words. If the words change, the rule
// forgets everything.
func onceForm(key string, once *rules.Once) string {
	if once.Within > 0 {
		return fmt.Sprintf("%s within %s", key, once.Within)
	}
	return fmt.Sprintf("%s each %s in %s", key, once.Each, once.Location)
}

// readKey compiles the key of a rule. It also returns the key as it is written.
func (l *loader) readKey(node *yaml.Node, r *rules.Rule) (*rules.Expression, string) {
	key := l.expression(node, "key", r.Sources, l.config.Value)
	l.checkFields(node, r, key)
	if key != nil && key.LooksAtNothing() {
		l.fail(node, "name what a line has: fields.user", "key: it is the same on every line")
	}
	return key, strings.Join(strings.Fields(node.Value), " ")
}

// readEach reads a stretch of the calendar, one of those given, and its time zone.
func (l *loader) readEach(o *object, calendars []string) (rules.Calendar, *time.Location) {
	name := o.text("each", "")
	if !slices.Contains(calendars, name) && name != "" {
		l.fail(o.at("each"), remedy.OneOf(name, calendars), `"each" cannot be %q`, name)
	}
	return rules.Calendar(name), l.location(o)
}

func (l *loader) readWithin(o *object, once *rules.Once) {
	node := o.values["within"]
	switch once.Within = o.duration("within", leastWithin); {
	case once.Within < leastWithin:
		l.fail(node, "", `"within" must be at least 1s: %s`, node.Value)
	case once.Within > mostWithin:
		l.fail(node, "", `"within" must be at most 8784h, a year: %s`, node.Value)
	case once.Within%time.Second != 0:
		l.fail(node, "", `"within" must be whole seconds: %s`, node.Value)
	}
	if at := o.values["location"]; at != nil {
		l.fail(at, "", `"location" is the zone of "each"`)
	}
}
