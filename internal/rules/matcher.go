package rules

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/meterlog/meterlog/internal/meter"
)

// Matcher applies the rules of a configuration to blocks. It belongs to one
// goroutine.
//
// It looks at a line only where the source's search finds a literal that one
// of its rules requires, or where a rule wants every line; it parses only the
// fields that are named, and each once a line.
type Matcher struct {
	config *Config
	plans  map[string]*plan // by source
	names  []string         // of the slots' variables

	machine vm.VM
	env     map[string]any // what expressions see of the current line
	budget  budget         // of the expression that is being evaluated
	line    lineState
	found   []span   // by slot: where the current line has it, once parsed
	loaded  []uint64 // by slot: the line for which it stands in env
	scanner jsonScanner
	wanted  ruleSet
	efforts []Effort // by rule; nil where they are not measured

	// plain, where it is set, decodes a line's fields as a whole, and every
	// rule is evaluated on every line: what the fast way is tested against.
	plain func(s *Source, line []byte) map[string]any
}

// plan is what is to be done for a source.
type plan struct {
	source *Source
	rules  []*Rule // in the order of the configuration
	search *search
	slots  []int     // the fields that its rules and its timestamp name
	root   *pathNode // the same as paths
}

// lineState is the line that is being evaluated.
type lineState struct {
	number uint64 // of the lines that the matcher has looked at
	plan   *plan
	text   []byte // without its line end
	parsed bool
	fields map[string]any // where they were wanted as a whole
	named  bool           // `line` stands in env
	timed  bool
	window meter.Window // once timed
}

// NewMatcher returns a matcher for the configuration's rules.
func NewMatcher(c *Config) *Matcher {
	m := &Matcher{
		config: c,
		plans:  map[string]*plan{},
		env:    map[string]any{},
		found:  make([]span, len(c.slots.paths)),
		loaded: make([]uint64, len(c.slots.paths)),
		wanted: newRuleSet(len(c.Rules)),
	}
	m.env[budgetVariable] = &m.budget
	for slot := range c.slots.paths {
		m.names = append(m.names, variable(slot))
	}
	for _, s := range c.Sources {
		m.plans[s.Name] = newPlan(c, s)
	}
	return m
}

func newPlan(c *Config, s *Source) *plan {
	p := &plan{source: s, root: newPathNode()}
	want := func(slots ...int) {
		for _, slot := range slots {
			if !slices.Contains(p.slots, slot) {
				p.slots = append(p.slots, slot)
				p.root.add(c.slots.paths[slot], slot)
			}
		}
	}
	var clauses []*clause
	for _, r := range c.Rules {
		if !slices.Contains(r.Sources, s.Name) {
			continue
		}
		p.rules = append(p.rules, r)
		clauses = append(clauses, newDeriver(s, &c.slots).of(r.when.root))
		want(r.when.slots...)
		if r.quantity != nil {
			want(r.quantity.slots...)
		}
	}
	if s.timestamp != nil && s.timestamp.pattern == nil {
		want(s.timestamp.slot)
	}
	p.search = newSearch(clauses)
	return p
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
	var plans []*plan
	for _, name := range block.Sources {
		if p := m.plans[name]; p != nil && len(p.rules) > 0 {
			plans = append(plans, p)
		}
	}
	if len(plans) == 0 {
		return
	}
	m.env["file"] = block.Path
	read := &reading{block, meter.WindowAt(block.ReadAt, m.config.Interval), hit}
	switch {
	case len(plans) > 1 || m.plain != nil:
		m.everyRule(read, plans)
	case plans[0].search.always.empty():
		m.candidates(read, plans[0])
	default:
		m.everyLine(read, plans[0])
	}
}

// reading is a block on its way through the matcher.
type reading struct {
	meter.Block
	window meter.Window // of its reading
	hit    func(Hit)
}

// lineEnd is behind the newline that ends the line in which at lies.
func lineEnd(data []byte, at int) int {
	if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(data)
}

// candidates evaluates the lines that the search finds.
func (m *Matcher) candidates(b *reading, p *plan) {
	p.search.begin(b.Data)
	for start := 0; ; {
		at := p.search.next(b.Data)
		if at == len(b.Data) {
			return
		}
		start += bytes.LastIndexByte(b.Data[start:at], '\n') + 1
		end := lineEnd(b.Data, at)
		clear(m.wanted)
		p.search.take(b.Data, end, m.wanted)
		m.begin(p, b.Data[start:end])
		for i := m.wanted.next(0); i >= 0; i = m.wanted.next(i + 1) {
			m.apply(b, p.rules[i], start, end)
		}
		start = end
	}
}

// everyLine evaluates on every line the rules that want them all, and others
// on the lines that the search finds.
func (m *Matcher) everyLine(b *reading, p *plan) {
	p.search.begin(b.Data)
	for start := 0; start < len(b.Data); {
		end := lineEnd(b.Data, start)
		clear(m.wanted)
		copy(m.wanted, p.search.always)
		p.search.take(b.Data, end, m.wanted)
		m.begin(p, b.Data[start:end])
		for i := m.wanted.next(0); i >= 0; i = m.wanted.next(i + 1) {
			m.apply(b, p.rules[i], start, end)
		}
		start = end
	}
}

// everyRule evaluates every rule on every line, as each of the sources has it.
func (m *Matcher) everyRule(b *reading, plans []*plan) {
	counted := make([]bool, len(m.config.Rules))
	for start := 0; start < len(b.Data); {
		end := lineEnd(b.Data, start)
		clear(counted)
		for _, p := range plans {
			m.begin(p, b.Data[start:end])
			for _, r := range p.rules {
				if !counted[r.index] {
					counted[r.index] = m.apply(b, r, start, end)
				}
			}
		}
		start = end
	}
}

// trimLineEnd takes off "\n" or "\r\n", and a "\r" at the end of a file.
func trimLineEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

// begin turns to a line.
func (m *Matcher) begin(p *plan, line []byte) {
	m.line.number++
	m.line.plan, m.line.text = p, trimLineEnd(line)
	m.line.parsed, m.line.fields, m.line.named, m.line.timed = false, nil, false, false
}

// apply evaluates a rule on the current line, and reports what it comes to. It
// returns whether the line was counted.
func (m *Matcher) apply(b *reading, r *Rule, start, end int) bool {
	evaluate := m.evaluate
	if m.efforts != nil {
		evaluate = m.measured
	}
	quantity, err := evaluate(r)
	if quantity == 0 && err == nil {
		return false
	}
	h := Hit{
		Rule: r, Source: m.line.plan.source.Name, Line: m.line.text, Quantity: quantity, Err: err,
		Start: b.Start + int64(start), End: b.Start + int64(end), Window: b.window,
	}
	if err == nil && m.line.plan.source.timestamp != nil {
		h.Window, h.TimeErr = m.window(b.ReadAt, b.window)
	}
	b.hit(h)
	return err == nil
}

// evaluate is what a rule counts on the current line: 0 where nothing.
func (m *Matcher) evaluate(r *Rule) (int64, error) {
	v := unsure
	if r.when.native != nil && m.plain == nil {
		v = r.when.native(m)
	}
	if v == unsure {
		matched, err := m.run(r.when)
		if err != nil {
			return 0, fmt.Errorf("when: %w", err)
		}
		v = verdictOf(matched == true)
	}
	switch {
	case v == no:
		return 0, nil
	case r.quantity == nil:
		return r.constant, nil
	}
	return m.quantity(r)
}

func (m *Matcher) quantity(r *Rule) (int64, error) {
	if slot := r.quantity.direct; slot >= 0 && m.plain == nil {
		if f := m.span(slot); f.kind == '0' {
			if n, ok := f.number(m.line.text); ok && n >= 0 {
				return int64(n), nil
			}
		}
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
		if m.loaded[slot] != m.line.number {
			m.loaded[slot] = m.line.number
			m.env[m.names[slot]] = m.field(slot)
		}
	}
	if e.line && !m.line.named {
		m.line.named = true
		m.env["line"] = view(m.line.text)
	}
	if e.source {
		m.env["source"] = m.line.plan.source.Name
	}
	if e.wholeField {
		m.env["fields"] = m.fields()
	}
	m.budget.left = maxWork
	v, err := m.machine.Run(e.program, m.env)
	if err != nil {
		return nil, evaluationError(err)
	}
	return v, nil
}

// fields are the current line's as a whole.
func (m *Matcher) fields() map[string]any {
	if m.line.fields == nil {
		decode := (*Source).fieldsOf
		if m.plain != nil {
			decode = m.plain
		}
		m.line.fields = decode(m.line.plan.source, m.line.text)
	}
	return m.line.fields
}

// field is one of the current line's. A string may share the line's memory.
func (m *Matcher) field(slot int) any {
	if m.plain != nil {
		return lookup(m.fields(), m.config.slots.paths[slot])
	}
	f := m.span(slot)
	if f.kind == 0 {
		return nil
	}
	return decodeSpan(m.line.text, f)
}

// span is where the current line has a field.
func (m *Matcher) span(slot int) span {
	if !m.line.parsed {
		m.line.parsed = true
		m.line.plan.find(m)
	}
	return m.found[slot]
}

// find notes where the current line has the fields that are asked for.
func (p *plan) find(m *Matcher) {
	text := m.line.text
	for _, slot := range p.slots {
		m.found[slot] = span{}
	}
	switch p.source.Format {
	case "json":
		if !m.scanner.fields(text, p.root, m.found) {
			p.root.forget(m.found)
		}
	case "logfmt":
		scanLogfmt(text, func(key []byte, from, to int, escaped bool) {
			if n := p.root.child(key); n != nil && n.slot >= 0 {
				m.found[n.slot] = span{from, to, 'v', !escaped}
			}
		})
	case "regexp":
		match := p.source.pattern.FindSubmatchIndex(text)
		if match == nil {
			return
		}
		for i, name := range p.source.pattern.SubexpNames() {
			if n := p.root.child([]byte(name)); name != "" && n != nil && n.slot >= 0 && match[2*i] >= 0 {
				m.found[n.slot] = span{match[2*i], match[2*i+1], 'v', true}
			}
		}
	}
}

// window is the one that the current line's own time falls into, or else the
// given one of its reading, and, the first time it is asked for, why.
func (m *Matcher) window(readAt time.Time, read meter.Window) (meter.Window, error) {
	if m.line.timed {
		return m.line.window, nil
	}
	m.line.timed, m.line.window = true, read
	t := m.line.plan.source.timestamp
	var v any
	if t.pattern == nil {
		v = m.field(t.slot)
	} else if g := t.pattern.FindSubmatchIndex(m.line.text); g != nil && g[2] >= 0 {
		v = view(m.line.text[g[2]:g[3]])
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
	if c := mixed.FindStringSubmatch(message); c != nil && (c[1] == "string") != (c[2] == "string") {
		message += "; convert the string with int()"
	}
	if c := conversion.FindStringSubmatch(message); c != nil {
		message = fmt.Sprintf("a %s where a %s is needed", typeWord(c[1]), typeWord(c[2]))
	}
	message, _, _ = strings.Cut(strings.TrimPrefix(message, "runtime error: "), "\n")
	return fmt.Errorf("%s", clip(message, maxExample))
}

var mixed = regexp.MustCompile(`^invalid operation: (string|int|float64) [-+*/%<>=]+ (string|int|float64)$`)
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
