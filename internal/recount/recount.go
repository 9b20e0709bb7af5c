// Package recount counts a record from its lines again.
//
// A [Recounter] belongs to one goroutine. It reads log files and changes
// nothing.
package recount

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// Outcome is the result of a recount. The names are published.
type Outcome string

const (
	Equal     Outcome = "equal"
	Different Outcome = "different"
	Unknown   Outcome = "unknown" // nobody can tell
	Gone      Outcome = "gone"    // no file holds the lines any more
)

// Finding is a contribution, recounted.
type Finding struct {
	ledger.Contribution
	Outcome   Outcome
	Note      string // why, for people; may be ""
	File      string // where the lines are now; "" if no file has them
	Found     Sum    // the recount: of the record alone, or of all ranges that overlap
	Recounted []Line
	Repeated  int64 // lines of the range that counted nothing, as their key had counted
	Repeats   []Repeat
	Smaller   int64    // lines of the range that are not the largest of their stretch
	Below     []Repeat // such lines, each with the line that is
}

// Sum is a number of lines with their amounts, which have the decimals of the
// contribution.
type Sum struct{ Lines, Amount int64 }

func (s *Sum) add(amount int64) {
	s.Lines++
	s.Amount = min(s.Amount, math.MaxInt64-amount) + amount // far off is far off
}

// Line is a line that counts, for people to see.
type Line struct {
	Offset   int64
	Quantity int64
	Text     string
}

// Recounter applies the rules of a configuration to what was counted.
type Recounter struct {
	config  *config.Config
	matcher *rules.Matcher
	show    int            // lines to keep of each contribution
	keys    *ledger.Reader // nil: it does not know which lines are the first of their keys
}

func New(config *config.Config, show int) *Recounter {
	return &Recounter{config: config, matcher: rules.NewMatcher(&config.Set), show: show}
}

// Recount looks for the lines of one contribution to the account's record, and
// counts them as the rules have it now.
func (r *Recounter) Recount(ctx context.Context, a ledger.Account, c ledger.Contribution) Finding {
	f := Finding{Contribution: c, Outcome: Unknown}
	i := slices.IndexFunc(r.config.Rules, func(rule *rules.Rule) bool { return rule.Name == c.Rule })
	if i < 0 {
		f.Note = "the rule is not in the configuration any more"
		return f
	}
	rule := r.config.Rules[i]
	sources := slices.DeleteFunc(r.config.SourcesOf(c.Generation.Path), func(name string) bool { return !slices.Contains(rule.Sources, name) })
	if len(sources) == 0 {
		f.Note = "no source of the rule follows the file any more"
		return f
	}
	if journal.IsClock(c.Generation) {
		f.File = c.Generation.Path
		p := newPass(ctx, r, a, c, rule)
		p.count(journal.Stretches(c.Generation, c.Start, c.End))
		p.finish(&f, a)
		return f
	}
	if journal.IsJournal(c.Generation.Path) {
		r.recountJournal(ctx, &f, newPass(ctx, r, a, c, rule))
		return f
	}
	content, err := logfile.NewDisk(r.config.Roots().Of).Find(c.Generation)
	if errors.Is(err, logfile.ErrGone) || c.Generation.Path == "" {
		f.Outcome, f.Note = Gone, "no file holds these lines any more"
		return f
	} else if err != nil {
		f.Note = err.Error()
		return f
	}
	defer content.Close()
	f.File = content.Name
	p := newPass(ctx, r, a, c, rule)
	if err := p.read(ctx, content); err != nil {
		f.Note = err.Error()
		return f
	}
	p.finish(&f, a)
	return f
}

// recountJournal reads the entries of a contribution again, as far as the journal has
// them.
func (r *Recounter) recountJournal(ctx context.Context, f *Finding, p *pass) {
	gone, err := journal.Entries(ctx, p.Generation, p.start, p.end, p.count)
	if err != nil {
		f.Note = err.Error()
		return
	}
	if gone < p.end-p.start {
		f.File = p.Generation.Path
		p.finish(f, p.account)
	}
	if gone > 0 {
		p.judgeRest(f, gone)
	}
}

// judgeRest judges what is left of the entries of a contribution.
func (p *pass) judgeRest(f *Finding, gone int64) {
	if p.own.Lines > p.Lines && len(p.together) == 0 {
		return // more than was billed: it differs
	}
	f.Outcome = Gone
	if f.Note = "the journal does not have these entries any more"; f.File != "" {
		f.Note = fmt.Sprintf("the journal does not have %d of these %d entries any more: what is left comes to %s and %s", gone, p.end-p.start,
			meter.Plural(f.Found.Lines, "line"), meter.Decimal(f.Found.Amount, p.Decimals))
	}
}

// finish judges what was read, and says what was changed since the record was
// counted.
func (p *pass) finish(f *Finding, a ledger.Account) {
	p.judge(f)
	switch share := shareOf(a, p.Rule); {
	case f.Outcome == Equal:
	case !slices.ContainsFunc(p.rule.Bills(), func(b *meter.Rule) bool { return b.SKU == a.SKU }):
		f.Note += "; the rule counts for " + p.rule.SKUText() + " now"
	case share.Decimals != p.rule.Decimals:
		f.Note += fmt.Sprintf("; the rule had %s and has %d now", meter.Plural(int64(share.Decimals), "decimal"), p.rule.Decimals)
	case share.Per != p.rule.Per:
		f.Note += fmt.Sprintf("; the rule's per was %s and is %s now", meter.Decimal(share.Per, share.Decimals), p.rule.Text(p.rule.Per))
	}
}

func shareOf(a ledger.Account, rule string) ledger.Share {
	i := slices.IndexFunc(a.Shares, func(s ledger.Share) bool { return s.Rule == rule })
	if i < 0 {
		return ledger.Share{}
	}
	return a.Shares[i]
}

// pass is one reading of the lines of a contribution.
//
// In a generation, one range holds the lines that a rule counts for one record.
// If no other range of the rule overlaps it, every line that counts in it is the
// record's. Ranges overlap if lines have their own times, since lines of two
// windows may be mixed. Then the time of a line tells its record, unless the line
// counted at the time of its reading because its own was wrong. If a table chooses
// the SKU, a pass compares lines and ranges of one SKU alone. Ranges also overlap
// where a remainder is carried from window to window. Then the pass counts all
// ranges that overlap together. It does so with the records of one window, too: a
// window has several if one record cannot hold its sum.
type pass struct {
	*Recounter
	account ledger.Account
	ledger.Contribution
	rule       *rules.Rule
	start, end int64                 // the range to read
	byTime     bool                  // the time of a line decides its record
	together   []ledger.Contribution // that nobody can tell apart from this one
	early      time.Time
	late       time.Time // no line of the record was read after it

	all    Sum   // all lines that count in the range
	own    Sum   // lines of the record, as far as anybody can tell
	likely Sum   // the part of own that may have counted at the time of its reading
	unsure Sum   // not in own, but the record's if they counted at the time of their reading
	failed int64 // lines
	lines  []Line

	// Of a rule with once.
	place    func(ref meter.KeyRef, offset int64) (ledger.KeyPlace, error)
	repeated int64
	repeats  []Repeat
	untold   int64 // lines that nobody can tell anything of

	// Of a rule with peak.
	top     func(ref meter.PeakRef) (ledger.PeakPlace, error)
	counted func(offset int64) bool // the line counts in the range
	tops    int64                   // lines that do
	smaller int64
	below   []Repeat

	keyErr error // why the ledger did not answer

	buffer []byte
	at     int64 // offset of buffer[0]
}

func newPass(ctx context.Context, r *Recounter, a ledger.Account, c ledger.Contribution, rule *rules.Rule) *pass {
	if rule.Table != nil {
		c.Beside = slices.DeleteFunc(c.Beside, func(other ledger.Contribution) bool { return other.SKU != c.SKU })
	}
	p := &pass{Recounter: r, account: a, Contribution: c, rule: rule, start: c.Start, end: c.End, early: c.Window.StartTime(), late: a.SealedAt}
	if p.late.IsZero() {
		p.late = time.Now()
	}
	p.askLedger(ctx)
	if rule.Peak != nil && shareOf(a, c.Rule).Per <= 1 {
		p.Beside = nil // the ledger knows of each line which record it is in
	}
	if len(p.Beside) == 0 {
		p.findTops(ctx)
		return p
	}
	p.byTime = rule.Peak == nil && shareOf(a, c.Rule).Per <= 1 && r.timed(c.Generation.Path, rule)
	for _, other := range c.Beside {
		if !p.byTime || other.Window == c.Window {
			p.together = append(p.together, other)
			p.start, p.end = min(p.start, other.Start), max(p.end, other.End)
		}
	}
	p.findTops(ctx)
	return p
}

// timed reports whether all of the rule's sources of a file give events a time
// of their own.
func (r *Recounter) timed(path string, rule *rules.Rule) bool {
	return !slices.ContainsFunc(r.config.SourcesOf(path), func(name string) bool {
		return slices.Contains(rule.Sources, name) && !r.config.Source(name).Timed()
	})
}

// blockSize is how much is given to the rules at a time, in bytes.
const blockSize = 256 << 10

func (p *pass) read(ctx context.Context, content *logfile.Content) error {
	err := content.Lines(p.start, p.end, func(offset int64, line []byte) error {
		if offset != p.at+int64(len(p.buffer)) || len(p.buffer) >= blockSize {
			p.flush()
			p.at = offset
		}
		p.buffer = append(p.buffer, line...)
		return ctx.Err()
	})
	p.flush()
	return err
}

// reading returns when a line counts if it is read at some time.
type reading struct {
	window   meter.Window
	believed bool // the line's own time is taken
	key      meter.KeyRef
	peak     meter.PeakRef
}

// flush counts what is in the buffer.
func (p *pass) flush() {
	p.count(meter.Block{Generation: p.Generation.ID, Path: p.Generation.Path, Start: p.at, Data: p.buffer})
	p.buffer = p.buffer[:0]
}

// count counts the lines of a block.
func (p *pass) count(block meter.Block) {
	if len(block.Data) == 0 {
		return
	}
	block.Sources = p.config.SourcesOf(block.Path)
	early := make(map[int64]reading)
	if p.byTime || p.rule.Once != nil || p.rule.Peak != nil {
		p.each(block, p.early, func(h rules.Hit, read reading) { early[h.Start] = read })
	}
	p.each(block, p.late, func(h rules.Hit, read reading) {
		if h.Err != nil {
			p.failed++
			return
		}
		if h.Key != nil {
			mine := !p.byTime || read.window == p.Window || !read.believed
			if !mine && p.keys != nil {
				return // another window's
			}
			if !p.first(h, early[h.Start].key, read.key) {
				return
			}
		}
		if h.Peak != nil && !p.largest(h, early[h.Start].peak) {
			return
		}
		quantity := p.amount(h.Quantity)
		p.all.add(quantity)
		if p.byTime {
			inside, sure := read.window == p.Window, read.believed && early[h.Start].believed
			switch {
			case sure && !inside:
				return
			case !sure && inside && read.believed:
				p.likely.add(quantity)
			case !sure:
				p.unsure.add(quantity)
				return
			}
		}
		p.own.add(quantity)
		if len(p.lines) < p.show {
			p.lines = append(p.lines, Line{h.Start, quantity, string(h.Line)})
		}
	})
}

// amount returns what a line counts now with the decimals that the record's amounts
// have. Further places are cut off, so the recount differs.
func (p *pass) amount(quantity int64) int64 {
	now, then := meter.One(p.rule.Decimals), meter.One(p.Decimals)
	if then < now {
		return quantity / (now / then)
	}
	if quantity > math.MaxInt64/(then/now) {
		return math.MaxInt64 // far off is far off
	}
	return quantity * (then / now)
}

// each calls hit for what the rule counts in a block, as if it were read at the
// given time.
func (p *pass) each(block meter.Block, readAt time.Time, hit func(rules.Hit, reading)) {
	block.ReadAt = readAt
	disbelieved, of := int64(-1), "" // a line, and the source that reads it
	p.matcher.Each(block, func(h rules.Hit) {
		if h.TimeErr != nil { // set once a line, under its first rule
			disbelieved, of = h.Start, h.Source
		}
		if h.Rule == p.rule && (h.Err != nil || p.ofSKU(h)) {
			read := reading{window: h.Window, believed: !h.Late && (disbelieved != h.Start || of != h.Source)}
			if h.Key != nil {
				read.key = *h.Key
			}
			if h.Peak != nil {
				read.peak = *h.Peak
			}
			hit(h, read)
		}
	})
}

// ofSKU reports whether a line counts under the SKU of the contribution. If the
// table of its rule does not have that SKU any more, the remembered values decide.
func (p *pass) ofSKU(h rules.Hit) bool {
	if h.Rule.Table == nil || !p.unlisted() {
		return h.Rule.Table == nil || h.Bills.SKU == p.SKU
	}
	return slices.ContainsFunc(h.Bills.Values, func(value string) bool { return slices.Contains(p.Values, value) })
}

// unlisted reports whether the contribution's SKU is not in the rule's table now.
func (p *pass) unlisted() bool {
	return p.rule.Table != nil && !slices.ContainsFunc(p.rule.Bills(), func(b *meter.Rule) bool { return b.SKU == p.SKU })
}

// judge compares the recount with the ledger.
func (p *pass) judge(f *Finding) {
	f.Found, f.Recounted = p.own, p.lines
	f.Repeated, f.Repeats, f.Smaller, f.Below = p.repeated, p.repeats, p.smaller, p.below
	recorded := Sum{p.Lines, p.Amount}
	if len(p.together) > 0 {
		for _, other := range p.together {
			recorded.Lines += other.Lines
			recorded.Amount = min(recorded.Amount, math.MaxInt64-other.Amount) + other.Amount // as Sum.add has it
		}
		if f.Recounted = nil; !p.byTime {
			f.Found = p.all
		}
		f.Note = fmt.Sprintf("counted together with what overlaps it: %s of %s in the ledger", meter.Plural(recorded.Lines, "line"), meter.Decimal(recorded.Amount, p.Decimals))
	}
	least := Sum{p.own.Lines - p.likely.Lines, p.own.Amount - p.likely.Amount}
	most := p.own
	most.Lines += p.unsure.Lines
	most.Amount = min(most.Amount, math.MaxInt64-p.unsure.Amount) + p.unsure.Amount
	switch {
	case f.Found == recorded:
		f.Outcome = Equal
	case p.keyErr != nil:
		f.Note = p.keyErr.Error()
	case p.rule.Peak != nil && p.own.Lines <= p.tops && p.tops < recorded.Lines:
		f.Note = "the ledger does not know any more which lines were the largest"
	case p.untold > 0:
		f.Note = fmt.Sprintf("the keys of %s are forgotten, so nobody can tell which of them counted", meter.Plural(p.untold, "line"))
	case p.byTime && p.account.Window.End-p.account.Window.Start != int64(p.config.Interval/time.Second):
		f.Note = "the interval was changed since, and other windows overlap it"
	case p.byTime && p.likely.Lines+p.unsure.Lines > 0 && least.within(recorded) && recorded.within(most):
		f.Note = fmt.Sprintf("%s without a time to believe may have been counted here or in another window", meter.Plural(p.likely.Lines+p.unsure.Lines, "line"))
	case p.account.Pruned && recorded.within(f.Found):
		f.Note = "records that overlapped it may have left the ledger when their retention time was over"
	case p.unlisted():
		f.Note = "the table does not tell any more which lines were billed as " + p.SKU + joinNote(f.Note)
	default:
		f.Outcome = Different
		f.Note = "the rule was changed since, or the file" + joinNote(f.Note)
	}
	if p.failed > 0 {
		f.Note += fmt.Sprintf("; the rule fails on %s", meter.Plural(p.failed, "line"))
	}
}

func joinNote(note string) string {
	if note == "" {
		return ""
	}
	return "; " + note
}

// within reports whether s is at most as much as other, in both.
func (s Sum) within(other Sum) bool { return s.Lines <= other.Lines && s.Amount <= other.Amount }

// Worst returns the outcome of a record from the outcomes of its parts.
func Worst(findings []Finding) Outcome {
	for _, o := range []Outcome{Different, Unknown, Gone} {
		if slices.ContainsFunc(findings, func(f Finding) bool { return f.Outcome == o }) {
			return o
		}
	}
	if len(findings) == 0 {
		return Unknown
	}
	return Equal
}
