package rules

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/meterlog/meterlog/internal/meter"
)

// Matcher applies the rules of a configuration to blocks. It belongs to one
// goroutine.
type Matcher struct {
	config *Config
	rules  map[string][]*Rule // by source, in the order of the configuration

	machine vm.VM
	env     map[string]any // what expressions see of the current line
	line    lineState
}

// lineState is the line that is being evaluated.
type lineState struct {
	source *Source
	text   []byte // without its line end
	parsed bool
	fields map[string]any // once parsed
	timed  bool
	window meter.Window // once timed
}

// NewMatcher returns a matcher for the configuration's rules.
func NewMatcher(c *Config) *Matcher {
	m := &Matcher{config: c, rules: map[string][]*Rule{}, env: map[string]any{}}
	for _, r := range c.Rules {
		for _, name := range r.Sources {
			m.rules[name] = append(m.rules[name], r)
		}
	}
	return m
}

// Hit is a line that a rule counts, or on which it failed.
type Hit struct {
	Rule       *Rule
	Source     string
	Line       []byte // without its line end; valid until the callback returns
	Start, End int64  // byte range in the generation; End is behind the newline
	Quantity   int64  // > 0 unless Err
	Window     meter.Window
	TimeErr    error // why the event's own time was not taken, on the line's first hit: Window is that of its reading
	Err        error // the expression failed: nothing was counted
}

// Match evaluates every rule of the block's sources over its lines and adds
// what they come to to tally.
func (m *Matcher) Match(block meter.Block, tally *meter.Tally) {
	m.Each(block, func(h Hit) { count(tally, block.Generation, h) })
}

// count adds a hit to a tally.
func count(tally *meter.Tally, generation int64, h Hit) {
	size := h.End - h.Start
	if h.Err != nil {
		addAnomaly(tally, meter.AnomalyKey{Kind: meter.RuleError, Subject: h.Rule.Name}, size, h.Err, h.Line)
		return
	}
	if h.TimeErr != nil {
		addAnomaly(tally, meter.AnomalyKey{Kind: meter.BadTimestamp, Subject: h.Source}, size, h.TimeErr, h.Line)
	}
	tally.Add(meter.CountKey{Rule: &h.Rule.Rule, Window: h.Window, Generation: generation}, h.Quantity, h.Start, h.End)
}

// maxExample is the most bytes of a line that an anomaly's example holds.
const maxExample = 200

func addAnomaly(tally *meter.Tally, key meter.AnomalyKey, size int64, err error, line []byte) {
	example := ""
	if tally.Anomalies[key] == nil {
		example = err.Error() + ": " + clip(string(line), maxExample)
	}
	tally.AddAnomaly(key, size, example)
}

// Each calls hit for every line that a rule counts and for every line on which
// one failed: in the order of lines, then of sources, then of rules. Where
// several sources of the block have the same rule, the first that counts a
// line under it does so alone: a line is never counted twice by one rule.
func (m *Matcher) Each(block meter.Block, hit func(Hit)) {
	m.env["file"] = block.Path
	window := meter.WindowAt(block.ReadAt, m.config.Interval)
	for start := 0; start < len(block.Data); {
		end := len(block.Data)
		if i := bytes.IndexByte(block.Data[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		text := trimLineEnd(block.Data[start:end])
		var counted []*Rule
		for _, name := range block.Sources {
			rules := m.rules[name]
			if len(rules) == 0 {
				continue
			}
			source := m.config.Source(name)
			m.begin(source, text)
			for _, r := range rules {
				if containsRule(counted, r) {
					continue
				}
				quantity, err := m.evaluate(r)
				if quantity == 0 && err == nil {
					continue
				}
				h := Hit{
					Rule: r, Source: name, Line: text, Quantity: quantity, Err: err,
					Start: block.Start + int64(start), End: block.Start + int64(end), Window: window,
				}
				if err == nil {
					counted = append(counted, r)
					if source.timestamp != nil {
						h.Window, h.TimeErr = m.window(block.ReadAt, window)
					}
				}
				hit(h)
			}
		}
		start = end
	}
}

func containsRule(list []*Rule, r *Rule) bool {
	for _, item := range list {
		if item == r {
			return true
		}
	}
	return false
}

// trimLineEnd takes off "\n" or "\r\n", and a "\r" at the end of a file.
func trimLineEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

// begin turns to a line as a source has it.
func (m *Matcher) begin(source *Source, text []byte) {
	m.line = lineState{source: source, text: text}
	m.env["line"] = string(text)
	m.env["source"] = source.Name
}

// evaluate is what a rule counts on the current line: 0 where nothing.
func (m *Matcher) evaluate(r *Rule) (int64, error) {
	matched, err := m.run(r.when)
	if err != nil {
		return 0, fmt.Errorf("when: %w", err)
	}
	if matched != true {
		return 0, nil
	}
	if r.quantity == nil {
		return r.constant, nil
	}
	v, err := m.run(r.quantity)
	if err != nil {
		return 0, fmt.Errorf("quantity: %w", err)
	}
	n, err := toQuantity(v)
	if err != nil && v == nil && len(r.quantity.slots) == 1 {
		err = fmt.Errorf("%w: %s is missing", err, pathText(m.config.slots.paths[r.quantity.slots[0]]))
	}
	return n, err
}

// run evaluates an expression on the current line.
func (m *Matcher) run(e *expression) (any, error) {
	for _, slot := range e.slots {
		path := m.config.slots.paths[slot]
		m.env[variable(path)] = lookup(m.fields(), path)
	}
	if e.wholeField {
		m.env["fields"] = m.fields()
	}
	v, err := m.machine.Run(e.program, m.env)
	if err != nil {
		return nil, evaluationError(err)
	}
	return v, nil
}

// fields are the current line's.
func (m *Matcher) fields() map[string]any {
	if !m.line.parsed {
		m.line.parsed = true
		m.line.fields = m.line.source.fieldsOf(m.line.text)
	}
	return m.line.fields
}

// window is the one that the current line's own time falls into, or else the
// given one of its reading, and, the first time it is asked for, why.
func (m *Matcher) window(readAt time.Time, read meter.Window) (meter.Window, error) {
	if m.line.timed {
		return m.line.window, nil
	}
	m.line.timed, m.line.window = true, read
	t := m.line.source.timestamp
	var v any
	if t.pattern == nil {
		v = lookup(m.fields(), t.path)
	} else if g := t.pattern.FindSubmatchIndex(m.line.text); g != nil && g[2] >= 0 {
		v = string(m.line.text[g[2]:g[3]])
	}
	at, err := t.read(v, readAt)
	if err != nil {
		return read, err
	}
	m.line.window = meter.WindowAt(at, m.config.Interval)
	return m.line.window, nil
}

// evaluationError says in one line why an expression failed.
func evaluationError(err error) error {
	message := err.Error()
	if at, ok := err.(*file.Error); ok {
		message = at.Message
		if at.Prev != nil {
			message = at.Prev.Error()
		}
	}
	if kind, ok := strings.CutPrefix(message, "invalid operation: bool("); ok {
		message = fmt.Sprintf("a %s is not true or false", typeWord(strings.TrimSuffix(kind, ")")))
	}
	if c := conversion.FindStringSubmatch(message); c != nil {
		message = fmt.Sprintf("a %s where a %s is needed", typeWord(c[1]), typeWord(c[2]))
	}
	message, _, _ = strings.Cut(strings.TrimPrefix(message, "runtime error: "), "\n")
	return fmt.Errorf("%s", clip(message, maxExample))
}

var conversion = regexp.MustCompile(`^interface conversion: interface (?:\{\} )?is ([^,]+), not (.+)$`)

// typeWord is a Go type in the words of this package's messages.
func typeWord(t string) string {
	switch {
	case t == "[]uint8":
		return "string"
	case t == "int" || t == "float64":
		return "number"
	case t == "bool":
		return "boolean"
	case strings.HasPrefix(t, "map["):
		return "map"
	case strings.HasPrefix(t, "[]"):
		return "list"
	case t == "nil":
		return "nil"
	}
	return t
}
