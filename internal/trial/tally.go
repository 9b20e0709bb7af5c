package trial

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/screen"
)

// trialTally is what a `meterlog test` has counted.
type trialTally struct {
	files, lines, bytes int64
	matched             int64                      // hits, errors included
	rules               map[*rules.Rule]*ruleCount // every rule of the configuration
	bills               map[*meter.Rule]*billCount // what they bill, once it counted
	peaks               trialPeaks
	tooLong             troubles
	timeless            map[string]*troubles         // by source: lines whose own time could not be taken
	unparsed            map[string]*troubles         // by source: lines that are not of its format
	times               map[string]*timeRange        // by source: the own times of the lines that counted
	late                map[string]*troubles         // by source: lines that counted and are too old for the API
	offTimes            []string                     // files whose own times cannot be right, and why
	cost                func(*rules.Rule) rules.Cost // nil if it is not shown
}

// ruleCount is what one rule came to.
type ruleCount struct {
	lines    int64
	repeated int64      // lines whose key had counted
	samples  int64      // lines of a rule with peak
	keys     meter.Keys // that counted
	errors   troubles
}

// billCount is what one rule came to under one SKU.
type billCount struct {
	lines int64
	high  uint64 // the sum of amounts: high·2⁶⁴ + low
	low   uint64
}

// timeRange is from the earliest to the latest own time.
type timeRange struct{ from, to time.Time }

// troubles counts the failures of one kind. It keeps the first example of each reason,
// up to a limit.
type troubles struct {
	count    int64
	reasons  []string
	examples []string
}

const maxExamples = 3

func (t *troubles) add(reason string, example func() string) {
	t.count++
	if len(t.examples) < maxExamples && !slices.Contains(t.reasons, reason) {
		t.reasons, t.examples = append(t.reasons, reason), append(t.examples, example())
	}
}

// note counts what went wrong on a line.
func (t *troubles) note(h rules.Hit, err error, place func() string) {
	t.add(err.Error(), func() string {
		return fmt.Sprintf("%s: %v: %s", place(), err, screen.Clip(string(h.Line), exampleWidth))
	})
}

func newTrialTally(config *config.Config) *trialTally {
	t := &trialTally{rules: map[*rules.Rule]*ruleCount{}, bills: map[*meter.Rule]*billCount{}, timeless: map[string]*troubles{}, unparsed: map[string]*troubles{}, times: map[string]*timeRange{}, late: map[string]*troubles{}}
	for _, r := range config.Rules {
		t.rules[r] = &ruleCount{}
	}
	return t
}

// add counts a hit of a line that was read at this time; place says where the line is.
// It reports whether the line is a repeat, so it counts nothing. It leaves it to
// closePeaks whether a line of a rule with peak counts.
func (t *trialTally) add(h rules.Hit, read time.Time, place func() string) (repeat bool) {
	t.matched++
	if h.TimeErr != nil { // the line's, also if this rule counts nothing
		t.addTimeless(h, place)
	}
	count := t.rules[h.Rule]
	if h.Err != nil {
		count.errors.note(h, h.Err, place)
		return false
	}
	if h.Key != nil && !count.keys.First(h.Key) {
		count.repeated++
		return true
	}
	if h.Peak != nil {
		count.samples++
	} else {
		count.lines++
		t.bill(h.Bills).add(h.Quantity)
	}
	if !h.Time.IsZero() {
		t.addTime(h.Source, h.Time)
	}
	if h.Peak == nil && tooLate(h, read) { // of a stretch only the largest line counts
		t.addLate(h, place)
	}
	return false
}

// tooLate reports whether a line that was read at this time is too old for the API. A
// peak counts in the last second of its stretch.
func tooLate(h rules.Hit, read time.Time) bool {
	at := h.Time
	if h.Peak != nil {
		at = h.Peak.Stretch.EndTime().Add(-time.Second)
	}
	return h.Err == nil && h.TimeErr == nil && !h.Time.IsZero() && read.Sub(at) > meter.LateAfter
}

// addLate counts a line that is too old for the API.
func (t *trialTally) addLate(h rules.Hit, place func() string) {
	if t.late[h.Source] == nil {
		t.late[h.Source] = &troubles{}
	}
	t.late[h.Source].add("late", func() string { return fmt.Sprintf("%s: %s", place(), screen.Clip(string(h.Line), exampleWidth)) })
}

// addTimeless counts a line whose own time is not believed.
func (t *trialTally) addTimeless(h rules.Hit, place func() string) {
	if t.timeless[h.Source] == nil {
		t.timeless[h.Source] = &troubles{}
	}
	t.timeless[h.Source].note(h, h.TimeErr, place)
}

// bill returns what one rule came to under one SKU.
func (t *trialTally) bill(r *meter.Rule) *billCount {
	if t.bills[r] == nil {
		t.bills[r] = new(billCount)
	}
	return t.bills[r]
}

func (t *trialTally) addTime(source string, at time.Time) {
	r := t.times[source]
	if r == nil {
		r = &timeRange{at, at}
		t.times[source] = r
	}
	if at.Before(r.from) {
		r.from = at
	}
	if at.After(r.to) {
		r.to = at
	}
}

// addUnparsed counts a line that is not of its source's format.
func (t *trialTally) addUnparsed(u rules.Unparsed, place func() string) {
	if t.unparsed[u.Source] == nil {
		t.unparsed[u.Source] = &troubles{}
	}
	t.unparsed[u.Source].add(u.Why, func() string {
		return fmt.Sprintf("%s: %s: %s", place(), u.Why, screen.Clip(string(u.Line), exampleWidth))
	})
}

// exampleWidth is the most characters of a line that an example shows.
const exampleWidth = 200

func (c *billCount) add(amount int64) {
	c.lines++
	var carry uint64
	c.low, carry = bits.Add64(c.low, uint64(amount), 0)
	c.high += carry
}

// amount returns the sum of the lines' quantities.
func (c *billCount) amount() *big.Int {
	sum := new(big.Int).SetUint64(c.high)
	return sum.Lsh(sum, 64).Add(sum, new(big.Int).SetUint64(c.low))
}

// units returns the whole ones that the amount buys.
func (c *billCount) units(r *meter.Rule) *big.Int {
	return new(big.Int).Quo(c.amount(), big.NewInt(r.Per))
}

// billed is what a rule came to under one SKU.
type billed struct {
	sku   string
	count *billCount
	units *big.Int
}

// billed returns what a rule came to under each SKU, in the order of the
// configuration. A rule that counted nothing has one of 0.
func (t *trialTally) billed(r *rules.Rule) (all []billed) {
	for _, b := range r.Bills() {
		if count := t.bills[b]; count != nil {
			all = append(all, billed{b.SKU, count, count.units(b)})
		}
	}
	if all == nil {
		all = []billed{{r.SKU, new(billCount), new(big.Int)}}
	}
	return all
}

// The published form of a summary. The names are a contract.
type (
	PublishedSummary struct {
		Files  int64             `json:"files"`
		Lines  int64             `json:"lines"`
		Bytes  int64             `json:"bytes"`
		Rules  []publishedCount  `json:"rules"`
		Errors []publishedErrors `json:"errors"`

		NotParsed []publishedNotParsed `json:"not_parsed"`
		Times     []publishedTimes     `json:"times"`
		Repeated  []publishedRepeated  `json:"repeated"`
		Late      []publishedLate      `json:"late,omitempty"`
	}
	// publishedLate are the lines of a source that counted, although their own times are
	// too old for the API. Late is the source's `late`.
	publishedLate struct {
		Source  string `json:"source"`
		Late    string `json:"late"`
		Count   int64  `json:"count"`
		Example string `json:"example"`
	}
	publishedNotParsed struct {
		Source  string `json:"source"`
		Count   int64  `json:"count"`
		Example string `json:"example"`
	}
	// publishedTimes are the own times of a source's lines that counted, and how
	// many of these times could not be taken.
	publishedTimes struct {
		Source  string `json:"source"`
		From    string `json:"from"` // RFC 3339, or ""
		To      string `json:"to"`
		Bad     int64  `json:"bad"`
		Example string `json:"example"`
	}
	publishedRepeated struct {
		Rule  string `json:"rule"`
		Count int64  `json:"count"`
	}
	publishedCount struct {
		Rule     string   `json:"rule"`
		SKU      string   `json:"sku_id"`
		Lines    int64    `json:"lines"`
		Quantity *big.Int `json:"quantity"`
	}
	publishedErrors struct {
		Rule    string `json:"rule"`
		Count   int64  `json:"count"`
		Example string `json:"example"`
	}
)

// json returns the last line of --format json.
func (t *trialTally) json(config *config.Config) string {
	s := PublishedSummary{Files: t.files, Lines: t.lines, Bytes: t.bytes, Rules: []publishedCount{}, Errors: []publishedErrors{},
		NotParsed: []publishedNotParsed{}, Times: []publishedTimes{}, Repeated: []publishedRepeated{}}
	for _, r := range config.Rules {
		for _, b := range t.billed(r) {
			s.Rules = append(s.Rules, publishedCount{r.Name, b.sku, b.count.lines, b.units})
		}
	}
	for _, r := range config.Rules {
		if r.Once != nil {
			s.Repeated = append(s.Repeated, publishedRepeated{r.Name, t.rules[r].repeated})
		}
	}
	for name, e := range t.troubles(config) {
		s.Errors = append(s.Errors, publishedErrors{name, e.count, e.examples[0]})
	}
	for _, source := range config.Sources {
		if e := t.unparsed[source.Name]; e != nil {
			s.NotParsed = append(s.NotParsed, publishedNotParsed{source.Name, e.count, e.examples[0]})
		}
		if source.Timed() {
			s.Times = append(s.Times, t.publishTimes(source.Name))
		}
		if e := t.late[source.Name]; e != nil {
			s.Late = append(s.Late, publishedLate{source.Name, lateText(source), e.count, e.examples[0]})
		}
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.Encode(map[string]PublishedSummary{"summary": s})
	return b.String()
}

// lateText returns the text under `late`.
func lateText(s *rules.Source) string {
	if s.LateRead {
		return "read"
	}
	return "own"
}

func (t *trialTally) publishTimes(source string) publishedTimes {
	p := publishedTimes{Source: source}
	if r := t.times[source]; r != nil {
		p.From, p.To = r.from.UTC().Format(time.RFC3339), r.to.UTC().Format(time.RFC3339)
	}
	if e := t.timeless[source]; e != nil {
		p.Bad, p.Example = e.count, e.examples[0]
	}
	return p
}

// troubles yields the errors of the rules in their order. Last, under "", it yields the
// lines that are too long.
func (t *trialTally) troubles(config *config.Config) func(func(string, *troubles) bool) {
	return func(yield func(string, *troubles) bool) {
		for _, r := range config.Rules {
			if e := &t.rules[r].errors; e.count > 0 && !yield(r.Name, e) {
				return
			}
		}
		if t.tooLong.count > 0 {
			yield("", &t.tooLong)
		}
	}
}

// text writes the table for people, with remarks.
func (t *trialTally) text(config *config.Config, near *nearMisses, s screen.Screen) string {
	var b strings.Builder
	t.table(&b, config)
	fmt.Fprintf(&b, "\n%s, %s, %s\n", meter.Plural(t.lines, "line"), meter.Plural(t.files, "file"), screen.SizeText(t.bytes))
	tell := func(e *troubles, what string) {
		fmt.Fprintf(&b, "%s, such as\n", what)
		for _, example := range e.examples {
			fmt.Fprintf(&b, "  %s\n", s.Fit(example, 2))
		}
	}
	for name, e := range t.troubles(config) {
		if name == "" {
			tell(e, meter.Plural(e.count, "line")+" too long, not counted")
			continue
		}
		tell(e, meter.Plural(e.count, "error")+" of "+name+", which count nothing")
	}
	for _, r := range config.Rules {
		if r.Once != nil {
			n := t.rules[r].repeated
			fmt.Fprintf(&b, "%s of %s, whose keys had counted\n", meter.Plural(n, "repeated line"), r.Name)
		}
		if c := t.rules[r]; r.Peak != nil && c.samples > 0 {
			fmt.Fprintf(&b, "%s of %s in %s\n", meter.Plural(c.lines, "peak"), r.Name, meter.Plural(c.samples, "line"))
		}
	}
	for _, source := range config.Sources {
		if e := t.unparsed[source.Name]; e != nil {
			tell(e, meter.Plural(e.count, "line")+" of "+source.Name+" not of its format, which count nothing")
		}
		if r := t.times[source.Name]; r != nil {
			fmt.Fprintf(&b, "times of %s: %s to %s\n", source.Name, r.from.UTC().Format(time.RFC3339), r.to.UTC().Format(time.RFC3339))
		}
		if e := t.timeless[source.Name]; e != nil {
			tell(e, meter.Plural(e.count, "line")+" of "+source.Name+" without an own time, which count at the time of reading")
		}
		if e := t.late[source.Name]; e != nil {
			what := "the API refuses usage that is over an hour old"
			if source.LateRead {
				what = "they count at the time of reading (late: read)"
			}
			tell(e, fmt.Sprintf("%s of %s over %d minutes old: %s", meter.Plural(e.count, "line"), source.Name, meter.LateAfter/time.Minute, what))
		}
	}
	for _, off := range t.offTimes {
		fmt.Fprintln(&b, s.Fit(off, 0))
	}
	for _, r := range config.Rules {
		if hint := t.hint(r, near); hint != "" {
			fmt.Fprintln(&b, s.Fit(r.Name+" matched nothing: "+hint, 0))
		}
	}
	return b.String()
}

// table has a row for each SKU of a rule. Only with per the sum of the lines and the
// billed units differ.
func (t *trialTally) table(b *strings.Builder, config *config.Config) {
	per := slices.ContainsFunc(config.Rules, func(r *rules.Rule) bool { return r.Per != 1 })
	row := func(rule, sku, lines, amount, of, quantity string, cost ...string) []string {
		cells := []string{rule, sku, lines}
		if per {
			cells = append(cells, amount, of)
		}
		cells = append(cells, quantity)
		if t.cost != nil {
			cells = append(cells, cost...)
		}
		return cells
	}
	rows := [][]string{row("RULE", "SKU", "LINES", "AMOUNT", "PER", "QUANTITY", "EVALUATED", "TIME")}
	products := []string{"PRODUCT"}
	for _, r := range config.Rules {
		evaluated, took := "", ""
		if t.cost != nil {
			cost := t.cost(r)
			evaluated, took = fmt.Sprint(cost.Lines), screen.TimeText(cost.Time)
		}
		for _, b := range t.billed(r) {
			sku := b.sku
			if sku == "" {
				sku = screen.Clip(r.SKUText(), 40)
			}
			rows = append(rows, row(r.Name, sku, fmt.Sprint(b.count.lines), meter.BigDecimal(b.count.amount(), r.Decimals), r.Text(r.Per), b.units.String(), evaluated, took))
			evaluated, took = "", "" // once for each rule
			products = append(products, r.ProductID)
		}
	}
	names := 2
	if config.SeveralProducts() {
		names++
		for i, product := range products {
			rows[i] = slices.Insert(rows[i], 1, product)
		}
	}
	screen.WriteColumns(b, rows, names)
}

// hint returns why a rule may have matched nothing, or "".
func (t *trialTally) hint(r *rules.Rule, near *nearMisses) string {
	if count := t.rules[r]; count.lines > 0 || count.errors.count > 0 {
		return ""
	}
	return near.hint(r)
}
