package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/recount"
	"github.com/meterlog/meterlog/internal/screen"
)

// explainOptions are the flags of `meterlog explain`.
type explainOptions struct {
	config *string
	state  func(c *cobra.Command) (string, error)
	lines  int
	format string
}

func newExplainCommand() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain UUID",
		Short: "Show what a record was counted from, and count it again",
		Long: `explain shows a record's life, and the files and byte ranges that it was counted
from. Where these lines still exist, rotated or compressed too, it counts them
again by the rules as they are now, and says whether that comes to the same. The
first eight characters of a uuid, or more, are enough. It works whether or not
the agent runs, and changes nothing. Of a rule with once it also shows the lines
that counted nothing, each with the record that counted its key. Of a rule with
peak it shows the largest line of each stretch, and each smaller line with the
record of the largest.

A recount is "equal", "different", "unknown" where it cannot be told, as after
the rule was removed, or "gone" where no file holds the lines any more.

It exits with 1 when something is different, or there is no such record.

With --format json it prints one object: the record as from ` + "`meterlog records`" + `,
  {...,"window_end","sealed_at","due_at","under_way",
   "ancestors":[record],"heirs":[record],
   "shares":[{"rule","units","per","carried"}],
   "contributions":[{"rule","path","generation","start","end","lines","amount",
     "file","verdict","note","recounted_lines","recounted_amount",
     "counted":[{"offset","quantity","line"}],"repeated_lines",
     "repeated":[{"offset","record","counted_at","line"}],
     "smaller_lines","smaller":[as in repeated]}],
   "verdict"}`,
		Example: `  meterlog explain 6da9b1a4
  meterlog explain 6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69 --lines 0`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, args[0]) },
	}
	o.config, o.state = configFlag(c), stateFlags(c)
	c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeUUIDs(c, o.state), cobra.ShellCompDirectiveNoFileComp
	}
	c.Flags().IntVar(&o.lines, "lines", 20, "how many lines to show of each file; 0: none")
	c.Flags().StringVar(&o.format, "format", "text", "text or json")
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// mostCompletions is how many uuids a shell is offered: the newest.
const mostCompletions = 100

// completeUUIDs offers the uuids of records, the newest first.
func completeUUIDs(c *cobra.Command, state func(*cobra.Command) (string, error)) (uuids []string) {
	dir, err := state(c)
	if err != nil {
		return nil
	}
	reader, err := ledger.OpenReader(dir)
	if err != nil {
		return nil
	}
	defer reader.Close()
	reader.Records(c.Context(), ledger.Filter{Since: time.Now().Add(-7 * 24 * time.Hour)}, func(r meter.Record) error {
		uuids = append(uuids, r.UUID+"\t"+r.SKU+", "+string(r.State)+", "+screen.Stamp(r.Window.StartTime()))
		return nil
	})
	slices.Reverse(uuids)
	return uuids[:min(mostCompletions, len(uuids))]
}

func (o *explainOptions) run(c *cobra.Command, uuid string) error {
	if o.format != "text" && o.format != "json" {
		return usageError{fmt.Errorf("meterlog: --format %q: use text or json", o.format)}
	}
	if o.lines < 0 {
		return usageError{fmt.Errorf("meterlog: --lines %d: it must be at least 0", o.lines)}
	}
	config, configErr := loadConfig(*o.config)
	if configErr != nil && c.Flags().Changed("config") {
		return configErr
	}
	dir, err := o.state(c)
	if err != nil {
		return err
	}
	e, err := explain(c.Context(), dir, uuid, config, configErr, o.lines)
	if err != nil {
		return err
	}
	if o.format == "json" {
		encoder := json.NewEncoder(c.OutOrStdout())
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(e.publish())
	} else {
		e.print(c.OutOrStdout())
	}
	if err == nil && e.outcome == recount.Different {
		err = errReported
	}
	return err
}

// explanation is an account with its recount.
type explanation struct {
	ledger.Account
	findings []recount.Finding
	outcome  recount.Outcome
	asked    time.Time
}

// explain reads the account of a record and recounts it. Without a
// configuration, for the reason that configErr gives, nothing is recounted.
func explain(ctx context.Context, dir, uuid string, config *config.Config, configErr error, show int) (*explanation, error) {
	reader, err := ledger.OpenReader(dir)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	record, err := findRecord(ctx, reader, uuid)
	if err != nil {
		return nil, err
	}
	e := &explanation{asked: time.Now()}
	if e.Account, err = reader.Account(ctx, record.UUID); err != nil {
		return nil, err
	}
	for _, c := range e.Contributions {
		f := recount.Finding{Contribution: c, Outcome: recount.Unknown}
		if config == nil {
			f.Note = "without a configuration nothing is counted again: " + firstLine(configErr.Error())
		} else {
			r := recount.New(config, show)
			if err := r.Remember(ctx, reader); err != nil {
				return nil, err
			}
			f = r.Recount(ctx, e.Account, c)
		}
		e.findings = append(e.findings, f)
	}
	e.outcome = recount.Worst(e.findings)
	return e, ctx.Err()
}

func (e *explanation) print(w io.Writer) {
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
	switch e.outcome {
	case recount.Equal:
		fmt.Fprintln(w, s.Paint(screen.Green, "equal")+": counted again, its lines come to the same")
	case recount.Different:
		fmt.Fprintln(w, s.Paint(screen.Red, "different")+": counted again, its lines do not come to the same")
	case recount.Gone:
		fmt.Fprintln(w, "gone: not all of its lines exist any more; what there is comes to the same")
	case recount.Unknown:
		fmt.Fprintln(w, "unknown: it cannot be told whether its lines come to the same")
	}
}

func (e *explanation) printShares(w io.Writer) {
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

// printRepeats prints the lines that counted nothing, since another has what would
// count.
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

// attempts tells of the deliveries.
func (e *explanation) attempts() string {
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
	publishedExplanation struct {
		publishedRecord
		WindowEnd     string                  `json:"window_end"`
		SealedAt      *string                 `json:"sealed_at"` // null while open
		DueAt         *string                 `json:"due_at"`    // of a sealed record that waits
		UnderWay      bool                    `json:"under_way"`
		Ancestors     []publishedRecord       `json:"ancestors"`
		Heirs         []publishedRecord       `json:"heirs"`
		Shares        []publishedShare        `json:"shares"`
		Contributions []publishedContribution `json:"contributions"`
		Verdict       recount.Outcome         `json:"verdict"`
	}
	publishedShare struct {
		Rule    string      `json:"rule"`
		Units   int64       `json:"units"`
		Per     json.Number `json:"per"`
		Carried json.Number `json:"carried"`
	}
	publishedContribution struct {
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
		Counted         []publishedLine   `json:"counted"`
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
	publishedLine struct {
		Offset   int64       `json:"offset"`
		Quantity json.Number `json:"quantity"`
		Line     string      `json:"line"`
	}
)

func (e *explanation) publish() publishedExplanation {
	p := publishedExplanation{
		publishedRecord: publish(e.Record), WindowEnd: screen.Stamp(e.Window.EndTime()), UnderWay: e.UnderWay,
		Ancestors: []publishedRecord{}, Heirs: []publishedRecord{}, Shares: []publishedShare{}, Contributions: []publishedContribution{}, Verdict: e.outcome,
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
		p.Ancestors = append(p.Ancestors, publish(r))
	}
	for _, r := range e.ReplacedBy {
		p.Heirs = append(p.Heirs, publish(r))
	}
	for _, s := range e.Shares {
		p.Shares = append(p.Shares, publishedShare{s.Rule, s.Units, meter.Number(s.Per, s.Decimals), meter.Number(s.Carried, s.Decimals)})
	}
	for _, f := range e.findings {
		c := publishedContribution{
			Rule: f.Rule, Path: f.Generation.Path, Generation: f.Generation.ID, Start: f.Start, End: f.End, Lines: f.Lines, Amount: meter.Number(f.Amount, f.Decimals),
			File: f.File, Verdict: f.Outcome, Note: f.Note, RecountedLines: f.Found.Lines, RecountedAmount: meter.Number(f.Found.Amount, f.Decimals), Counted: []publishedLine{},
			RepeatedLines: f.Repeated, Repeated: publishRepeats(f.Repeats), SmallerLines: f.Smaller, Smaller: publishRepeats(f.Below),
		}
		for _, line := range f.Recounted {
			c.Counted = append(c.Counted, publishedLine{line.Offset, meter.Number(line.Quantity, f.Decimals), line.Text})
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
