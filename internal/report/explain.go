package report

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/recount"
	"github.com/meterlog/meterlog/internal/screen"
)

// Explanation is an account with its recount.
type Explanation struct {
	ledger.Account
	findings []recount.Finding
	Outcome  recount.Outcome
	asked    time.Time
}

// Explain reads the account of a record and recounts it. If config is nil, it
// recounts nothing, and configErr is the reason.
func Explain(ctx context.Context, reader *ledger.Reader, uuid string, config *config.Config, configErr error, show int) (*Explanation, error) {
	var err error
	e := &Explanation{asked: time.Now()}
	if e.Account, err = reader.Account(ctx, uuid); err != nil {
		return nil, err
	}
	for _, c := range e.Contributions {
		f := recount.Finding{Contribution: c, Outcome: recount.Unknown}
		if config == nil {
			why, _, _ := strings.Cut(configErr.Error(), "\n")
			f.Note = "without a configuration nothing is counted again: " + why
		} else {
			r := recount.New(config, show)
			if err := r.Remember(ctx, reader); err != nil {
				return nil, err
			}
			f = r.Recount(ctx, e.Account, c)
		}
		e.findings = append(e.findings, f)
	}
	e.Outcome = recount.Worst(e.findings)
	return e, ctx.Err()
}

// Print writes the explanation for people.
func (e *Explanation) Print(w io.Writer) {
	s := screen.Of(w)
	rows := [][]string{
		{"record", e.UUID},
		{"SKU", fmt.Sprintf("%s of product %s", e.SKU, e.ProductID)},
		{"window", screen.Stamp(e.Window.StartTime()) + " to " + screen.Stamp(e.Window.EndTime())},
		{"timestamp", screen.Stamp(e.Timestamp)},
		{"quantity", fmt.Sprint(e.Quantity)},
		{"state", string(e.State) + screen.JoinReason(e.Reason)},
		{"opened", screen.InstantText(e.OpenedAt)},
		{"sealed", screen.InstantText(e.SealedAt)},
		{"attempts", e.attempts()},
		{"settled", screen.InstantText(e.SettledAt)},
	}
	for _, r := range e.Replaces {
		rows = append(rows, []string{"issued before", r.UUID + ", " + string(r.State) + screen.JoinReason(r.Reason)})
	}
	for _, r := range e.ReplacedBy {
		rows = append(rows, []string{"issued again", r.UUID + ", " + string(r.State) + screen.JoinReason(r.Reason)})
	}
	screen.WriteColumns(w, rows, 2)
	e.printShares(w)
	for _, f := range e.findings {
		printFinding(w, f, s)
	}
	fmt.Fprintln(w)
	switch e.Outcome {
	case recount.Equal:
		fmt.Fprintln(w, s.Paint(screen.Green, "equal")+": counted again, its lines come to the same")
	case recount.Different:
		fmt.Fprintln(w, s.Paint(screen.Red, "different")+": counted again, its lines do not come to the same")
	case recount.Gone:
		fmt.Fprintln(w, "gone: not all of its lines exist any more; what is left comes to no more than was billed")
	case recount.Unknown:
		fmt.Fprintln(w, "unknown: nobody can know whether its lines come to the same")
	}
}

func (e *Explanation) printShares(w io.Writer) {
	rows := [][]string{{"RULE", "UNITS", "AMOUNT", "CARRIED", "PER"}}
	for _, share := range e.Shares {
		var amount int64
		for _, c := range e.Contributions {
			if c.Rule == share.Rule {
				amount += c.Amount
			}
		}
		rows = append(rows, []string{share.Rule, fmt.Sprint(share.Units), meter.Decimal(amount, share.Decimals), meter.Decimal(share.Carried, share.Decimals), meter.Decimal(share.Per, share.Decimals)})
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		screen.WriteColumns(w, rows, 1)
	}
}

// signed returns a difference of amounts with its sign.
func signed(amount int64, decimals int) string {
	if amount >= 0 {
		return "+" + meter.Decimal(amount, decimals)
	}
	return meter.Decimal(amount, decimals)
}

func printFinding(w io.Writer, f recount.Finding, s screen.Screen) {
	fmt.Fprintf(w, "\n%s: %s that come to %s, %s of %s\n", f.Rule, meter.Plural(f.Lines, "line"), meter.Decimal(f.Amount, f.Decimals), rangeText(f), screen.OrDash(screen.Visible(f.Generation.Path)))
	if f.File != "" && f.File != f.Generation.Path {
		fmt.Fprintf(w, "  now in %s\n", screen.Visible(f.File))
	}
	switch f.Outcome {
	case recount.Equal:
		fmt.Fprint(w, "  equal")
	case recount.Different:
		fmt.Fprintf(w, "  different: counted again %s, that come to %s (%s)", meter.Plural(f.Found.Lines, "line"), meter.Decimal(f.Found.Amount, f.Decimals), signed(f.Found.Amount-f.Amount, f.Decimals))
	default:
		fmt.Fprintf(w, "  %s", f.Outcome)
	}
	fmt.Fprintln(w, screen.JoinReason(f.Note))
	for _, line := range f.Recounted {
		amount := meter.Decimal(line.Quantity, f.Decimals)
		prefix := fmt.Sprintf("  %d: %s: ", line.Offset, amount)
		switch {
		case journal.IsJournal(f.Generation.Path):
			prefix = fmt.Sprintf("  %d: %s: ", line.Offset+1, amount)
		case journal.IsClock(f.Generation):
			prefix = fmt.Sprintf("  %s: ", amount)
		}
		fmt.Fprintln(w, prefix+s.Fit(line.Text, len(prefix)))
	}
	if more := f.Found.Lines - int64(len(f.Recounted)); len(f.Recounted) > 0 && more > 0 {
		fmt.Fprintf(w, "  and %s more\n", meter.Plural(more, "line"))
	}
	printRepeats(w, f.Repeats, s, f.Repeated, "repeated line", ", whose keys had counted", "key")
	printRepeats(w, f.Below, s, f.Smaller, "smaller line", " than the peaks of their stretches", "stretch's peak")
}

// printRepeats prints the lines that counted nothing because another line counted.
func printRepeats(w io.Writer, lines []recount.Repeat, s screen.Screen, n int64, what, why, counted string) {
	if n == 0 {
		return
	}
	fmt.Fprintf(w, "  %s%s\n", meter.Plural(n, what), why)
	for _, r := range lines {
		where := "no record has the " + counted + " now"
		if r.UUID != "" {
			where = "its " + counted + " is in " + r.UUID
		}
		prefix := fmt.Sprintf("  %d: %s: ", r.Offset, where)
		fmt.Fprintln(w, prefix+s.Fit(r.Text, len(prefix)))
	}
}

// rangeText says where in its generation the lines of a finding are.
func rangeText(f recount.Finding) string {
	if journal.IsClock(f.Generation) {
		return "from " + screen.Stamp(time.Unix(f.Start, 0)) + " to " + screen.Stamp(time.Unix(f.End, 0))
	}
	if journal.IsJournal(f.Generation.Path) {
		return fmt.Sprintf("in entries %d to %d", f.Start+1, f.End)
	}
	return fmt.Sprintf("in bytes %d to %d", f.Start, f.End)
}

// attempts describes the deliveries.
func (e *Explanation) attempts() string {
	text := fmt.Sprint(e.Attempts)
	switch {
	case e.UnderWay:
		text += "; the last has not been answered yet"
	case e.MaybeStored && e.State != meter.Accepted:
		text += "; the API may have stored it"
	}
	if e.State == meter.Sealed && e.NotBefore.After(e.asked) {
		text += "; due again at " + screen.InstantText(e.NotBefore)
	}
	return text
}

// The published form of an explanation. The names are a contract.
type (
	PublishedExplanation struct {
		PublishedRecord
		WindowEnd     string                  `json:"window_end"`
		SealedAt      *string                 `json:"sealed_at"` // null while open
		DueAt         *string                 `json:"due_at"`    // of a sealed record that waits
		UnderWay      bool                    `json:"under_way"`
		Originals     []PublishedRecord       `json:"ancestors"`
		Reissues      []PublishedRecord       `json:"heirs"`
		Shares        []publishedShare        `json:"shares"`
		Contributions []PublishedContribution `json:"contributions"`
		Verdict       recount.Outcome         `json:"verdict"`
	}
	publishedShare struct {
		Rule    string      `json:"rule"`
		Units   int64       `json:"units"`
		Per     json.Number `json:"per"`
		Carried json.Number `json:"carried"`
	}
	PublishedContribution struct {
		Rule            string            `json:"rule"`
		Path            string            `json:"path"`
		Generation      int64             `json:"generation"`
		Start           int64             `json:"start"`
		End             int64             `json:"end"`
		Lines           int64             `json:"lines"`
		Amount          json.Number       `json:"amount"`
		File            string            `json:"file"`
		Verdict         recount.Outcome   `json:"verdict"`
		Note            string            `json:"note"`
		RecountedLines  int64             `json:"recounted_lines"`
		RecountedAmount json.Number       `json:"recounted_amount"`
		Counted         []PublishedLine   `json:"counted"`
		RepeatedLines   int64             `json:"repeated_lines"`
		Repeated        []publishedRepeat `json:"repeated"`
		SmallerLines    int64             `json:"smaller_lines"`
		Smaller         []publishedRepeat `json:"smaller"`
	}
	publishedRepeat struct {
		Offset    int64  `json:"offset"`
		Record    string `json:"record"`     // that has the key or peak, or ""
		CountedAt int64  `json:"counted_at"` // the offset of the line that counted
		Line      string `json:"line"`
	}
	PublishedLine struct {
		Offset   int64       `json:"offset"`
		Quantity json.Number `json:"quantity"`
		Line     string      `json:"line"`
	}
)

// Publish returns the explanation as programs see it.
func (e *Explanation) Publish() PublishedExplanation {
	p := PublishedExplanation{
		PublishedRecord: publish(e.Record), WindowEnd: screen.Stamp(e.Window.EndTime()), UnderWay: e.UnderWay,
		Originals: []PublishedRecord{}, Reissues: []PublishedRecord{}, Shares: []publishedShare{}, Contributions: []PublishedContribution{}, Verdict: e.Outcome,
	}
	if !e.SealedAt.IsZero() {
		at := screen.Stamp(e.SealedAt)
		p.SealedAt = &at
	}
	if e.State == meter.Sealed && e.NotBefore.After(e.asked) {
		at := screen.Stamp(e.NotBefore)
		p.DueAt = &at
	}
	for _, r := range e.Replaces {
		p.Originals = append(p.Originals, publish(r))
	}
	for _, r := range e.ReplacedBy {
		p.Reissues = append(p.Reissues, publish(r))
	}
	for _, s := range e.Shares {
		p.Shares = append(p.Shares, publishedShare{s.Rule, s.Units, meter.Number(s.Per, s.Decimals), meter.Number(s.Carried, s.Decimals)})
	}
	for _, f := range e.findings {
		c := PublishedContribution{
			Rule: f.Rule, Path: f.Generation.Path, Generation: f.Generation.ID, Start: f.Start, End: f.End, Lines: f.Lines, Amount: meter.Number(f.Amount, f.Decimals),
			File: f.File, Verdict: f.Outcome, Note: f.Note, RecountedLines: f.Found.Lines, RecountedAmount: meter.Number(f.Found.Amount, f.Decimals), Counted: []PublishedLine{},
			RepeatedLines: f.Repeated, Repeated: publishRepeats(f.Repeats), SmallerLines: f.Smaller, Smaller: publishRepeats(f.Below),
		}
		for _, line := range f.Recounted {
			c.Counted = append(c.Counted, PublishedLine{line.Offset, meter.Number(line.Quantity, f.Decimals), line.Text})
		}
		p.Contributions = append(p.Contributions, c)
	}
	return p
}

func publishRepeats(lines []recount.Repeat) []publishedRepeat {
	all := []publishedRepeat{}
	for _, r := range lines {
		all = append(all, publishedRepeat{r.Offset, r.UUID, r.At, r.Text})
	}
	return all
}
