package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// peakWait is how long a stretch takes lines after its end, where lines tell their
// own time: logs are buffered, and a reader may be behind.
const peakWait = 10 * time.Minute

// peakCalendars are the stretches that a peak may have.
var peakCalendars = []string{string(rules.EachHour), string(rules.EachDay)}

// readPeak reads of which stretches and keys a rule counts the largest line.
func (l *loader) readPeak(rule *object, r *rules.Rule) {
	node := rule.values["peak"]
	if node == nil {
		return
	}
	o := l.object(node, "peak", peakKeys)
	if o == nil {
		return
	}
	if rule.values["once"] != nil {
		l.fail(rule.keys["peak"], "write two rules: `once` counts the first line of each key, `peak` the largest of each stretch", `"once" and "peak" exclude one another`)
	}
	peak := &rules.Peak{Location: time.UTC}
	if o.values["each"] == nil {
		l.fail(node, "write each: hour, or each: day", `"peak" needs "each"`)
	} else {
		peak.Each, peak.Location = l.readEach(o, peakCalendars)
	}
	text := ""
	if node := o.values["key"]; node != nil {
		peak.Key, text = l.readKey(node, r)
	}
	if r.Quantity == nil {
		l.warnAt(node.Line, node.Column, "name what is to be compared: quantity: fields.sessions", "rule %q: \"peak\" takes the largest quantity, and all lines have the same", r.Name)
	}
	peak.Peak = meter.Peak{Rule: r.Name, Form: strings.TrimLeft(fmt.Sprintf("%s each %s in %s", text, peak.Each, peak.Location), " ")}
	if slices.ContainsFunc(r.Sources, func(name string) bool { return l.config.Source(name).Timed() }) {
		peak.Wait = peakWait
	}
	r.Peak = peak
}
