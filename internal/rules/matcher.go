package rules

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/condition"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/program"
	"github.com/meterlog/meterlog/internal/search"
)

// Matcher applies the rules of a configuration to blocks. It belongs to one
// goroutine.
//
// It looks at a line only where the source's search finds a literal that one
// of its rules requires, or where a rule wants every line; it parses only the
// fields that are named, and each once a line.
type Matcher struct {
	set   *Set
	plans map[string]*plan // by source
	names []string         // of the slots' variables

	machine *program.Machine
	env     map[string]any // of the machine: what expressions see of the current line
	line    lineState
	loaded  []uint64 // by slot: the line that env has it of
	wanted  search.Set
	costs   []Cost // by rule; nil where they are not measured
	seen    Seen
	hit     Hit     // of the rule that is applied
	counted []bool  // by rule: it counted a line of the block that Match reads
	keys    []keyed // by rule, of those with once

	// Unparsed, where it is set, is called for each line that counts nothing
	// because it is not of its source's format: after the line's hits.
	Unparsed func(Unparsed)

	// If plain is set, it decodes a line's fields as a whole, and every rule is
	// evaluated on every line. Tests compare the fast way with it.
	plain func(s *Source, line []byte) map[string]any
}

// plan is what is to be done for a source.
type plan struct {
	source *Source
	rules  []*Rule // in the order of the configuration
	search *search.Search
	slots  []int // the fields that its rules and its timestamp name
	fields *fields.Finder
	direct int // how many blocks are still evaluated without the search
}

// lineState is the line that is being evaluated.
type lineState struct {
	condition.Line
	number   uint64 // of the lines that the matcher has looked at
	plan     *plan
	judged   bool           // it is known whether it is of its source's format
	alien    bool           // it is not, as far as that is known
	fields   map[string]any // where they were wanted as a whole
	named    bool           // env has `line`
	timed    bool
	window   meter.Window // once timed
	at       int64        // once timed: when the event counts, in seconds since 1970
	late     bool         // once timed: the event is too old, and counts at its reading
	believed bool         // once timed: the event's own time is taken, or was before it was found late
	own      time.Time    // once timed: the event's own time, also if it is not believed; zero where it cannot be read
	event    *meter.Event // nil if the line is of a file
}

// NewMatcher returns a matcher for the configuration's rules.
func NewMatcher(s *Set) *Matcher {
	m := &Matcher{
		set:     s,
		plans:   map[string]*plan{},
		machine: program.NewMachine(),
		loaded:  make([]uint64, len(s.slots.Paths)),
		wanted:  search.NewSet(len(s.Rules)),
		counted: make([]bool, len(s.Rules)),
	}
	m.env = m.machine.Env
	m.line.Spans = make([]fields.Span, len(s.slots.Paths))
	m.line.Find = func() { m.line.plan.find(m) }
	for slot := range s.slots.Paths {
		m.names = append(m.names, program.Variable(slot))
	}
	for _, source := range s.Sources {
		m.plans[source.Name] = newPlan(s, source)
	}
	m.SetSecret(nil)
	return m
}

func newPlan(s *Set, source *Source) *plan {
	p, tree := &plan{source: source}, fields.NewTree()
	want := func(slots ...int) {
		for _, slot := range slots {
			if !slices.Contains(p.slots, slot) {
				p.slots = append(p.slots, slot)
				tree.Add(s.slots.Paths[slot], slot)
			}
		}
	}
	f := condition.FormatOf(source.Reader)
	var clauses []*search.Clause
	for _, r := range s.Rules {
		if !slices.Contains(r.Sources, source.Name) {
			continue
		}
		p.rules = append(p.rules, r)
		clauses = append(clauses, r.When.condition.Clause(f))
		want(r.When.Slots...)
		if r.Quantity != nil {
			want(r.Quantity.Slots...)
		}
		if r.Table != nil {
			want(r.Table.By.Slots...)
		}
		if key := r.key(); key != nil {
			want(key.Slots...)
		}
	}
	if source.Timestamp != nil && source.Timestamp.Pattern == nil {
		want(source.timeSlot)
	}
	p.search = search.New(clauses)
	p.fields = source.Finder(tree)
	return p
}

// Hit is a line that a rule counts, or that it failed on.
type Hit struct {
	Rule       *Rule
	Bills      *meter.Rule // what is billed: the rule's own, or what its table chooses; nil with Err
	Source     string
	Line       []byte // without its line end; valid until the callback returns
	Start, End int64  // byte range in the generation; End is behind the newline
	Quantity   int64  // > 0 unless Err
	Window     meter.Window
	At         int64     // the time that it counts with, in seconds since 1970: within Window
	Late       bool      // its own time is too old for the API, so it counts at the time of its reading: see Source.LateRead
	Time       time.Time // the event's own time, also if it is not believed; zero if it is unknown
	TimeErr    error     // why the event's own time was not taken, on the line's first hit: Window is the window of its reading
	Err        error     // the expression failed: nothing was counted

	size int64 // bytes of the line

	// Of a rule with once the line counts only if it is the first of its key. Of a rule
	// with peak it counts only if it is the largest of its stretch and key. They are
	// valid until the callback returns.
	Key     *meter.KeyRef  // of a rule with once, or nil
	Peak    *meter.PeakRef // of a rule with peak, or nil
	KeyText []byte

	lateRead string // the source if it has `late: read`, of a rule with peak
}

// Unparsed is a line that is not of its source's format, and that a rule asked for.
// Either the rule would count it, or the rule needs its fields to decide.
type Unparsed struct {
	Source     string
	Line       []byte // without its line end; valid until the callback returns
	Start, End int64  // byte range in the generation
	Why        string

	size int64 // bytes of the line
}

// Seen is what a block told about rules and sources. It is valid until the next
// call of Match.
type Seen struct {
	Rules []string    // the rules that counted a line
	Times []EventTime // of each source that gives events their own time, the last one read
}

// EventTime is when an event happened by its own time.
type EventTime struct {
	Source string
	At     time.Time
}

// Match evaluates every rule of the block's sources over its lines and adds
// what they come to to tally.
func (m *Matcher) Match(block meter.Block, tally *meter.Tally) Seen {
	clear(m.counted)
	m.seen = Seen{m.seen.Rules[:0], m.seen.Times[:0]}
	m.Unparsed = func(u Unparsed) { countUnparsed(tally, u) }
	m.each(block, func(h *Hit) {
		count(tally, block.Generation, h)
		m.see(h)
	})
	m.Unparsed = nil
	return m.seen
}

func countUnparsed(tally *meter.Tally, u Unparsed) {
	addAnomaly(tally, meter.AnomalyKey{Kind: meter.NotParsed, Subject: u.Source}, u.size, u.Why, u.Line)
}

// see notes which rule counted, and the event's time.
func (m *Matcher) see(h *Hit) {
	if h.Err == nil && !m.counted[h.Rule.index] {
		m.counted[h.Rule.index] = true
		m.seen.Rules = append(m.seen.Rules, h.Rule.Name)
	}
	if h.Time.IsZero() {
		return
	}
	for i := range m.seen.Times {
		if m.seen.Times[i].Source == h.Source {
			m.seen.Times[i].At = h.Time
			return
		}
	}
	m.seen.Times = append(m.seen.Times, EventTime{h.Source, h.Time})
}

// count adds a hit to a tally.
func count(tally *meter.Tally, generation int64, h *Hit) {
	size := h.size
	if h.TimeErr != nil {
		addAnomaly(tally, meter.AnomalyKey{Kind: meter.BadTimestamp, Subject: h.Source}, size, h.TimeErr.Error(), h.Line)
	}
	if h.Err != nil {
		addAnomaly(tally, meter.AnomalyKey{Kind: meter.RuleError, Subject: h.Rule.Name}, size, h.Err.Error(), h.Line)
		return
	}
	if h.Late {
		addAnomaly(tally, meter.AnomalyKey{Kind: meter.LateEvent, Subject: h.Source}, size, "the event is of "+h.Time.UTC().Format(time.RFC3339), h.Line)
	}
	key := meter.CountKey{Rule: h.Bills, Window: h.Window, Generation: generation}
	if h.Key != nil {
		tally.AddKeyed(meter.Keyed{CountKey: key, KeyRef: *h.Key, Amount: h.Quantity, Start: h.Start, End: h.End, Time: h.At})
		return
	}
	if h.Peak != nil {
		tally.AddSample(*h.Peak, h.sample(generation))
		return
	}
	tally.Add(key, h.Quantity, h.Start, h.End, h.At)
}

// MaxExample is the most bytes of a line that an anomaly's example holds.
const MaxExample = 200

func addAnomaly(tally *meter.Tally, key meter.AnomalyKey, size int64, why string, line []byte) {
	example := ""
	if tally.Anomalies[key] == nil {
		example = why + ": " + meter.Clip(string(line), MaxExample)
	}
	tally.AddAnomaly(key, size, example)
}

// Each calls hit for every line that a rule counts and for every line that a rule
// failed on: in the order of lines, then of sources, then of rules. If several sources
// of the block have the same rule, only the first one counts a line under it. A rule
// never counts a line twice.
//
// A line that is not of its source's format counts nothing. It is parsed only
// once a rule would count it, or asks for a field.
func (m *Matcher) Each(block meter.Block, hit func(Hit)) {
	m.each(block, func(h *Hit) { hit(*h) })
}

// each is Each without a copy of the hit. It is valid until hit returns.
func (m *Matcher) each(block meter.Block, hit func(*Hit)) {
	var plans []*plan
	var names []string
	for i, name := range block.Sources {
		if p := m.plans[name]; p != nil && len(p.rules) > 0 {
			plans = append(plans, p)
			if block.Names != nil {
				names = append(names, block.Names[i])
			}
		}
	}
	if len(plans) == 0 {
		return
	}
	m.env["file"] = block.Path
	if names != nil {
		m.env["file"] = names[0]
	}
	if plans[0].source.Journal != nil && block.Events == nil {
		block = entries(block)
	}
	read := &reading{Block: block, window: meter.WindowAt(block.ReadAt, m.set.Interval), hit: hit}
	switch {
	case len(plans) > 1 || m.plain != nil:
		m.severalSources(read, plans, names)
	case plans[0].search.Always.Empty() && block.Events == nil:
		if plans[0].direct > 0 && m.costs == nil {
			m.withoutSearch(read, plans[0])
		} else {
			m.candidates(read, plans[0])
		}
	default:
		m.everyLine(read, plans[0])
	}
}

// reading is a block on its way through the matcher.
type reading struct {
	meter.Block
	window meter.Window // of its reading
	hit    func(*Hit)
	event  int // the index of the event that the reading has come to
}

// lineEnd returns the offset behind the line that begins at start.
func (b *reading) lineEnd(start int) int {
	if b.Events == nil {
		return lineEnd(b.Data, start)
	}
	for b.Events[b.event].End <= start {
		b.event++
	}
	return b.Events[b.event].End
}

// place returns the range of a line in the generation.
func (b *reading) place(start, end int) (from, to int64) {
	if b.Events == nil {
		return b.Start + int64(start), b.Start + int64(end)
	}
	return b.Events[b.event].From, b.Events[b.event].To
}

// lineEnd returns the offset past the newline of the line at this offset.
func lineEnd(data []byte, at int) int {
	if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(data)
}

// candidates evaluates the lines that the search finds.
func (m *Matcher) candidates(b *reading, p *plan) {
	lines, bytesFound, evaluated := 0, 0, 0
	p.search.Begin(b.Data)
	for start := 0; ; {
		at := p.search.Next(b.Data)
		if at == len(b.Data) {
			break
		}
		if bytes.IndexByte(b.Data[start:at], '\n') >= 0 { // which is faster where it is in the same line
			start += bytes.LastIndexByte(b.Data[start:at], '\n') + 1
		}
		end := lineEnd(b.Data, at)
		clear(m.wanted)
		p.search.Take(b.Data, end, m.wanted)
		lines, bytesFound, evaluated = lines+1, bytesFound+end-start, evaluated+m.wanted.Len()
		m.wantedRules(b, p, start, end)
		start = end
	}
	if most(bytesFound, len(b.Data)) && most(evaluated, lines*len(p.rules)) {
		p.direct = directBlocks
	}
}

// directBlocks is how many blocks are evaluated without the search, after it found
// most lines of a block for most rules. Then the search is tried again.
const directBlocks = 31

func most(part, whole int) bool { return part >= whole-whole/8 }

// withoutSearch evaluates all rules on every line. That is faster than a search
// that finds most lines. The result is the same: on lines that the search does not
// find, a condition is false. If a line is not of the format, the search decides
// about that line.
func (m *Matcher) withoutSearch(b *reading, p *plan) {
	p.direct--
	for start := 0; start < len(b.Data); {
		end := lineEnd(b.Data, start)
		if m.begin(b, p, start, end) {
			for _, r := range p.rules {
				m.apply(b, r, start, end)
			}
		}
		if m.line.alien {
			line := b.Data[start:end]
			clear(m.wanted)
			p.search.Begin(line)
			p.search.Take(line, len(line), m.wanted)
			if !m.wanted.Empty() {
				m.wantedRules(b, p, start, end)
			}
		}
		start = end
	}
}

// everyLine evaluates on every line the rules that want them all, and others
// on the lines that the search finds.
func (m *Matcher) everyLine(b *reading, p *plan) {
	p.search.Begin(b.Data)
	for start := 0; start < len(b.Data); {
		end := b.lineEnd(start)
		clear(m.wanted)
		copy(m.wanted, p.search.Always)
		p.search.Take(b.Data, end, m.wanted)
		m.wantedRules(b, p, start, end)
		start = end
	}
}

// wantedRules evaluates on a line the rules that want it.
func (m *Matcher) wantedRules(b *reading, p *plan, start, end int) {
	if m.begin(b, p, start, end) {
		for i := m.wanted.Next(0); i >= 0; i = m.wanted.Next(i + 1) {
			m.apply(b, p.rules[i], start, end)
		}
	}
	if m.line.alien {
		m.tellUnparsed(b, p, start, end)
	}
}

// severalSources evaluates the rules of several sources on every line, as each
// of them has it. With plain every rule is evaluated. A line that counts under one
// source is not reported as unparsed under another.
func (m *Matcher) severalSources(b *reading, plans []*plan, names []string) {
	counted := make([]bool, len(m.set.Rules))
	var alien []*plan
	for _, p := range plans {
		p.search.Begin(b.Data)
	}
	for start := 0; start < len(b.Data); {
		end := b.lineEnd(start)
		clear(counted)
		alien = alien[:0]
		for i, p := range plans {
			if names != nil {
				m.env["file"] = names[i]
			}
			clear(m.wanted)
			copy(m.wanted, p.search.Always)
			p.search.Take(b.Data, end, m.wanted)
			ours := m.begin(b, p, start, end)
			for i, r := range p.rules {
				if ours && !counted[r.index] && (m.plain != nil || m.wanted.Has(i)) {
					counted[r.index] = m.apply(b, r, start, end)
				}
			}
			if m.line.alien && m.plain == nil && m.wanted.Next(0) >= 0 {
				alien = append(alien, p)
			}
		}
		if !slices.Contains(counted, true) {
			for _, p := range alien {
				m.tellUnparsed(b, p, start, end)
			}
		}
		start = end
	}
}

// trimLineEnd takes off "\n" or "\r\n", and a "\r" at the end of a file.
func trimLineEnd(line []byte) []byte {
	for _, c := range [...]byte{'\n', '\r'} {
		if n := len(line) - 1; n >= 0 && line[n] == c {
			line = line[:n]
		}
	}
	return line
}

// byteOrderMark may begin a file of UTF-8. It does not belong to the first line.
const byteOrderMark = "\ufeff"

// begin turns to a line. It reports whether the line can be one of the source's:
// without its prefix it counts nothing.
func (m *Matcher) begin(b *reading, p *plan, start, end int) bool {
	line := b.Data[start:end]
	if b.Events == nil && b.Start+int64(start) == 0 {
		line = bytes.TrimPrefix(line, []byte(byteOrderMark))
	}
	m.line.number++
	m.line.plan, m.line.Text = p, trimLineEnd(line)
	m.line.Parsed, m.line.fields, m.line.named, m.line.timed = false, nil, false, false
	m.line.event = nil
	if b.Events != nil {
		m.line.event = &b.Events[b.event]
	}
	_, ok := p.source.Skip(m.line.Text)
	m.line.judged, m.line.alien = !p.source.Strict(), !ok
	return ok
}

// tellUnparsed reports that the current line is not of a source's format. It does not
// report blank lines.
func (m *Matcher) tellUnparsed(b *reading, p *plan, start, end int) {
	if m.Unparsed == nil || len(bytes.TrimSpace(m.line.Text)) == 0 {
		return
	}
	s := p.source
	from, to := b.place(start, end)
	m.Unparsed(Unparsed{s.Name, m.line.Text, from, to, s.Mismatch(m.line.Text), int64(end - start)})
}

// ofFormat reports whether the current line is of its source's format.
func (m *Matcher) ofFormat() bool {
	switch {
	case m.line.judged:
	case m.plain != nil:
		m.fields()
	default:
		m.line.Parse()
	}
	return !m.line.alien
}

// apply evaluates a rule on the current line, and reports what it comes to. It
// returns whether the line was counted.
func (m *Matcher) apply(b *reading, r *Rule, start, end int) bool {
	evaluate := m.evaluate
	if m.costs != nil {
		evaluate = m.measured
	}
	quantity, err := evaluate(r)
	if quantity == 0 && err == nil || !m.ofFormat() {
		return false
	}
	var bills *meter.Rule
	if err == nil {
		if bills, err = m.bill(r); err != nil {
			quantity = 0
		}
	}
	from, to := b.place(start, end)
	h := &m.hit
	*h = Hit{}
	h.Rule, h.Bills, h.Quantity, h.Err = r, bills, quantity, err
	h.Source, h.Line, h.Start, h.End, h.size = m.line.plan.source.Name, m.line.Text, from, to, int64(end-start)
	h.Window, h.At = b.window, b.ReadAt.Unix()
	if err == nil && m.line.plan.source.Timed() {
		h.TimeErr = m.takeTime(b)
		h.Window, h.At, h.Late, h.Time = m.line.window, m.line.at, m.line.late, m.line.own
	}
	switch {
	case err != nil:
	case r.Once != nil:
		m.setKey(b, h)
	case r.Peak != nil:
		m.setPeak(b, h)
	}
	b.hit(h)
	return h.Err == nil
}

// setKey sets the key of a hit. Without a key the line is an error.
func (m *Matcher) setKey(b *reading, h *Hit) {
	if h.Key, h.KeyText, h.Err = m.key(h.Rule, m.eventTime(b)); h.Err != nil {
		h.Quantity, h.Bills = 0, nil
	}
}

// eventTime returns the time of the current line: its own, or else that of its
// reading.
func (m *Matcher) eventTime(b *reading) time.Time {
	if m.line.timed && m.line.believed {
		return m.line.own
	}
	return b.ReadAt
}

// evaluate returns what a rule counts on the current line: 0 for nothing.
func (m *Matcher) evaluate(r *Rule) (int64, error) {
	matches := condition.Unsure
	if m.plain == nil {
		matches = r.When.condition.Eval(&m.line.Line)
	}
	if matches == condition.Unsure {
		v, err := m.run(r.When)
		if err != nil {
			return 0, fmt.Errorf("when: %w", err)
		}
		matches = condition.AnswerOf(v == true)
	}
	switch {
	case matches == condition.No:
		return 0, nil
	case r.Quantity == nil:
		return r.Constant, nil
	}
	return m.quantity(r)
}

func (m *Matcher) quantity(r *Rule) (int64, error) {
	if m.plain == nil {
		if v := r.Quantity.value.Read(&m.line.Line); v.IsNumber() || v.IsText() {
			n, ok := v.Whole()
			switch {
			case ok && v.Text()[0] != '-' && (r.Decimals == 0 || int64(n) <= math.MaxInt64/meter.One(r.Decimals)):
				quantity := int64(n) * meter.One(r.Decimals)
				return quantity, r.checkMax(quantity)
			case r.Decimals == 0:
			case v.IsText():
				quantity, err := stringQuantity(string(v.Text()), r.Decimals)
				return quantity, cmp.Or(err, r.checkMax(quantity))
			default:
				if quantity, ok, err := jsonQuantity(string(v.Text()), r.Decimals); err != nil {
					return 0, err
				} else if ok {
					return quantity, r.checkMax(quantity)
				}
			}
		}
	}
	v, err := m.run(r.Quantity)
	if err != nil {
		return 0, fmt.Errorf("quantity: %w", err)
	}
	n, err := toQuantity(v, r.Decimals)
	if err == nil {
		err = r.checkMax(n)
	}
	if err != nil && v == nil && len(r.Quantity.Slots) == 1 {
		err = fmt.Errorf("%w: %s is missing", err, fields.PathText(m.set.slots.Paths[r.Quantity.Slots[0]]))
	}
	return n, err
}

// checkMax returns an error if a line's quantity is over the rule's limit.
func (r *Rule) checkMax(quantity int64) error {
	if r.Max > 0 && quantity > r.Max {
		return fmt.Errorf("the quantity is %s, and max is %s", r.Text(quantity), r.Text(r.Max))
	}
	return nil
}

// run evaluates an expression on the current line.
func (m *Matcher) run(e *Expression) (any, error) {
	for _, slot := range e.Slots {
		if m.loaded[slot] != m.line.number {
			m.loaded[slot] = m.line.number
			m.env[m.names[slot]] = m.field(slot)
		}
	}
	if e.Line && !m.line.named {
		m.line.named = true
		m.env["line"] = fields.View(m.line.Text)
	}
	if e.Entry {
		m.env["entry"] = m.entry()
	}
	if e.Source {
		m.env["source"] = m.line.plan.source.Name
	}
	if e.WholeField {
		m.env["fields"] = m.fields()
	}
	return m.machine.Run(e.Program)
}

// noEntry is the entry of a line from a file.
var noEntry = map[string]any{}

// entry returns the fields of the journal entry that the current line is of.
func (m *Matcher) entry() map[string]any {
	if m.line.event == nil || m.line.event.Entry == nil {
		return noEntry
	}
	return m.line.event.Entry
}

// fields are the current line's as a whole.
func (m *Matcher) fields() map[string]any {
	if m.line.fields == nil {
		decode := func(s *Source, line []byte) map[string]any { return s.Map(line) }
		if m.plain != nil {
			decode = m.plain
		}
		m.line.fields = decode(m.line.plan.source, m.line.Text)
		m.line.judged, m.line.alien = true, m.line.fields == nil
		if m.line.alien {
			m.line.fields = map[string]any{}
		}
	}
	return m.line.fields
}

// field is one of the current line's. A string may share the line's memory.
func (m *Matcher) field(slot int) any {
	if m.plain != nil {
		return fields.Lookup(m.fields(), m.set.slots.Paths[slot])
	}
	f := m.line.Span(slot)
	if f.Kind == 0 {
		return nil
	}
	return f.Value(m.line.Text)
}

// find notes the places of the wanted fields in the current line.
func (p *plan) find(m *Matcher) {
	for _, slot := range p.slots {
		m.line.Spans[slot] = fields.Span{}
	}
	m.line.judged, m.line.alien = true, !p.fields.Find(m.line.Text, m.line.Spans)
}

// takeTime decides once a line which time its events count with. It returns why
// the event's own time is not believed, on the line's first call only.
func (m *Matcher) takeTime(b *reading) error {
	l := &m.line
	if l.timed {
		return nil
	}
	l.timed, l.late, l.believed, l.own = true, false, false, time.Time{}
	l.window, l.at = b.window, b.ReadAt.Unix()
	if l.plan.source.Timestamp == nil && (l.event == nil || l.event.At.IsZero()) {
		return nil // a message without its entry
	}
	own, err := m.ownTime(b.ReadAt)
	l.own, l.believed = own, err == nil
	switch {
	case err != nil:
		return err
	case l.plan.source.LateRead && b.ReadAt.Sub(own) > meter.LateAfter:
		l.late = true
	default:
		l.window, l.at = meter.WindowAt(own, m.set.Interval), own.Unix()
	}
	return nil
}
