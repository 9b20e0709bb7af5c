package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/screen"
)

// testOptions are the flags of `meterlog test`.
type testOptions struct {
	config                *string
	source, format, since string
	rules                 []string
	summary, time, follow bool
}

func newTestCommand() *cobra.Command {
	var o testOptions
	c := &cobra.Command{
		Use:   "test [FILE...]",
		Short: "Show which lines match which rule, and what they come to",
		Long: `test applies the rules to files, offline: nothing is billed or remembered. It
prints each match with its quantity, then a table by rule. Whole files are read,
whatever start_at says; a last line without a newline counts. Files compressed
with gzip, bzip2, xz or zstd are read as they are. A FILE of - is standard
input. Without FILE every file is read that the sources match.

A FILE belongs to the sources whose globs match it, or match the log that it was
rotated from. Other files belong to --source, which is needed only where there
are several sources. Without FILE, --source chooses the files of that source.

A source of the journal is read from --since on, an hour ago by default. A FILE
for it holds messages, or what journalctl prints with -o json.

A source of the clock has an event for each stretch since --since, an hour ago
by default, as if meterlog run had run all the time.

With --rule only the rules that it names are applied.

A match shows the amount that its line comes to. In the table, a rule with per
has bought so many whole units with the sum of its amounts; a remainder, which
meterlog run would carry on, is left out. Lines on which an expression failed,
and lines longer than 1 MiB, count nothing and are listed as errors with
examples; they do not change the exit code.

On a terminal, and with --time, the table tells on how many lines each rule was
evaluated, and for how long: the rules for which no text can be searched stand
out. The part of a line that matched is shown in bold where it can be told.

Lines that hold the text of a rule and are not of their source's format are
listed, too. Where a source has a timestamp, test shows the times of the lines
that count. It compares them with the file's own times: lines that are hours
ahead of the file's last write show that location is wrong.

With --format json each match is an object on a line of its own,
  {"file","line_number","rule","sku_id","quantity","amount","window","line"}
with "key" if its rule has one, and with "stretch" for the largest line of a
stretch. The last line is
  {"summary":{"files","lines","bytes",
    "rules":[{"rule","sku_id","lines","quantity"}],
    "errors":[{"rule","count","example"}],
    "not_parsed":[{"source","count","example"}],
    "times":[{"source","from","to","bad","example"}],
    "repeated":[{"rule","count"}]}}
Every rule is in it. The error with the rule "" is that of lines too long.

With --follow test goes on watching the files, across rotations, until Ctrl-C.
It waits for a FILE that is not there yet. Without FILE it takes up the files of
the sources as they appear. A line then counts when its newline is written.`,
		Example: `  meterlog test /var/log/mailer/mail.log
  meterlog test --summary --format json
  journalctl -o cat -u mailer | meterlog test --source mailer -`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, args) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	o.config = configFlag(c)
	c.Flags().StringVar(&o.source, "source", "", "the `name` of the source of files that no source matches")
	c.Flags().StringVar(&o.format, "format", "text", "text or json")
	c.Flags().StringVar(&o.since, "since", "1h", "where sources without files begin: a `time`, or an age such as 24h or 7d")
	c.Flags().StringArrayVar(&o.rules, "rule", nil, "apply only the rule of this `name`; may be given several times")
	c.Flags().BoolVar(&o.time, "time", false, "tell how long each rule took, elsewhere than on a terminal too")
	c.Flags().BoolVar(&o.summary, "summary", false, "leave the matches out")
	c.Flags().BoolVar(&o.follow, "follow", false, "go on watching until Ctrl-C")
	c.MarkFlagFilename("config", "yaml", "yml")
	c.RegisterFlagCompletionFunc("source", completeNames(o.config, sourceNames))
	c.RegisterFlagCompletionFunc("rule", completeNames(o.config, ruleNames))
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// completeNames offers names that stand in the configuration, as far as it can
// be read.
func completeNames(config *string, names func(*config.Config) []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		c, err := loadConfig(*config)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(c), cobra.ShellCompDirectiveNoFileComp
	}
}

func (o *testOptions) run(c *cobra.Command, args []string) error {
	if o.format != "text" && o.format != "json" {
		return usageError{fmt.Errorf("meterlog: --format %q: use text or json", o.format)}
	}
	config, err := loadConfig(*o.config)
	if err != nil {
		return err
	}
	if o.source != "" && config.Source(o.source) == nil {
		return unknownSource(config, o.source)
	}
	if config, err = chosenRules(config, o.rules); err != nil {
		return err
	}
	note := func(format string, args ...any) {
		fmt.Fprintf(c.ErrOrStderr(), "meterlog: %s\n", screen.Visible(fmt.Sprintf(format, args...)))
	}
	since, err := parseTime("--since", o.since, time.Now())
	if err != nil {
		return err
	}
	inputs, missing, err := findInputs(c.Context(), config, o.source, args, since, o.follow, note)
	if err != nil {
		return err
	}
	t := &trial{
		options: o, matcher: rules.NewMatcher(&config.Set), tally: newTrialTally(config),
		print: newMatchPrinter(c.OutOrStdout(), o), stdin: c.InOrStdin(), note: note,
	}
	if o.format == "text" && (o.time || t.print.screen.Width > 0) {
		t.matcher.Measure()
		t.tally.effort = t.matcher.Effort
	}
	if o.follow && len(args) == 0 {
		t.newInputs = func(known []*input) []*input { return newInputs(config, o.source, known) }
	}
	t.print.bar = newProgress(screen.Unguarded(c.ErrOrStderr()), inputs)
	if o.format == "text" {
		t.near = newNearMisses(config, t.tally)
	}
	failed := t.run(c.Context(), inputs)
	if err := t.report(config); err != nil {
		return err
	}
	if !o.follow && c.Context().Err() != nil {
		return errors.New("meterlog: interrupted: what was read until then is counted")
	}
	if failed || missing {
		return errReported
	}
	return nil
}

// trial is one run of `meterlog test`. It is owned by one goroutine.
type trial struct {
	options *testOptions
	matcher *rules.Matcher
	tally   *trialTally
	near    *nearMisses // nil if they are not shown
	print   *matchPrinter

	newInputs func(known []*input) []*input // finds files that appear later; nil where files were named
	stdin     io.Reader
	note      func(format string, args ...any)
}

// run reads the inputs, and follows them with --follow. It reports whether one could
// not be read.
func (t *trial) run(ctx context.Context, inputs []*input) (failed bool) {
	for _, in := range inputs {
		if ctx.Err() != nil {
			return failed
		}
		err := t.read(ctx, in)
		if err == nil || ctx.Err() != nil {
			continue
		}
		t.print.bar.clear()
		t.print.flush()
		if t.options.follow && errors.Is(err, os.ErrNotExist) {
			t.note("%v: waiting for it", err)
			continue
		}
		t.note("%v", err)
		failed, in.done = true, true
	}
	t.print.bar.finish()
	if t.options.follow {
		failed = t.follow(ctx, inputs) || failed
	}
	return failed
}

// read applies the rules to an input up to its end.
func (t *trial) read(ctx context.Context, in *input) error {
	lines, err := in.open(ctx, t)
	if err != nil {
		return err
	}
	defer lines.close()
	t.begin(in)
	for ctx.Err() == nil {
		data, skipped, err := lines.next()
		switch {
		case err == io.EOF:
			in.offset = lines.consumed + lines.blanks.Skipped
			t.compareTimes(in)
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", in.name, pathless(err))
		case skipped > 0:
			t.skip(in, skipped)
		default:
			t.block(in, lines.at, data)
		}
		if in.isStdin() {
			t.print.flush() // who writes there may pause
		}
	}
	return ctx.Err()
}

// begin counts an input once something of it was read.
func (t *trial) begin(in *input) {
	if !in.begun {
		in.begun = true
		t.tally.files++
	}
}

// block applies the rules to whole lines.
func (t *trial) block(in *input, start int64, data []byte) {
	if len(data) == 0 {
		return
	}
	cursor := lineCursor{data: data, number: in.lines + 1}
	seen := t.tally.matched
	t.matcher.Unparsed = func(u rules.Unparsed) {
		t.tally.addUnparsed(u, func() string { return in.place(cursor.at(int(u.Start - start))) })
	}
	now := time.Now()
	t.matcher.Each(in.block(start, data, now), func(h rules.Hit) {
		hidden := t.tally.add(h, func() string { return in.place(cursor.at(int(h.Start - start))) })
		if h.Peak != nil { // closePeaks shows it, or else who watches sees each that is larger
			hidden = !t.tally.peaks.add(h, in, cursor.at(int(h.Start-start))) || !t.options.follow
		}
		if h.Time.After(in.newest) {
			in.newest = h.Time
		}
		if !t.options.summary && !hidden {
			t.print.hit(in, cursor.at(int(h.Start-start)), h, t.matcher.Highlights)
		}
	})
	if !in.tailed {
		in.last = t.matcher.LastTime(in.sources, data, now)
	}
	t.near.look(in.sources, data)
	read := cursor.at(len(data)) - in.lines - 1
	if data[len(data)-1] != '\n' {
		read++
	}
	in.lines += read
	t.tally.lines += read
	t.tally.bytes += int64(len(data))
	if t.tally.matched != seen {
		t.print.flushScreen()
	}
}

// compareTimes compares the own times in a file with its last write. A time that
// is ahead of it cannot be right; a last line that is always written hours
// behind it was read in a wrong zone.
func (t *trial) compareTimes(in *input) {
	if in.isStdin() || in.compressed {
		return
	}
	info, err := os.Stat(in.path)
	if err != nil {
		return
	}
	if off := timesText(in.newest, in.last, info.ModTime()); off != "" {
		t.tally.offTimes = append(t.tally.offTimes, in.name+": "+off)
	}
}

const (
	offBy     = 10 * time.Minute
	nearZone  = 2 * time.Minute // so near to a multiple of half an hour, a difference is one of zones
	widestOff = 14 * time.Hour
)

// timesText returns what is wrong with the own times in a file, or "".
func timesText(newest, last, written time.Time) string {
	if ahead := newest.Sub(written); !newest.IsZero() && ahead >= offBy {
		return "the newest line is " + roughly(ahead) + " ahead of the file's last write: is `location` right?"
	}
	behind := written.Sub(last)
	zones := behind.Round(30 * time.Minute)
	if !last.IsZero() && behind >= offBy && zones > 0 && behind <= widestOff && (behind-zones).Abs() <= nearZone {
		return "the last line is " + roughly(behind) + " behind the file's last write: is `location` right?"
	}
	return ""
}

// roughly is a duration for people.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d.Round(24*time.Hour)/(24*time.Hour))
	case d.Round(time.Minute)%time.Hour == 0:
		return fmt.Sprintf("%d h", d.Round(time.Minute)/time.Hour)
	}
	return screen.Brief(d.Round(time.Minute))
}

// skip notes a line that is too long to be read.
func (t *trial) skip(in *input, size int64) {
	in.lines++
	t.tally.lines++
	t.tally.bytes += size
	t.tally.tooLong.add("too long", func() string {
		return fmt.Sprintf("%s: a line of %d bytes; the longest that is read has %d", in.place(in.lines), size, meter.MaxLine)
	})
}

// report prints what all came to.
func (t *trial) report(config *config.Config) error {
	t.print.bar.finish()
	t.closePeaks()
	if t.options.format == "json" {
		for _, off := range t.tally.offTimes {
			t.note("%s", off)
		}
		return t.print.end(t.tally.json(config))
	}
	text := t.tally.text(config, t.near, t.print.screen)
	if t.tally.matched > 0 && !t.options.summary {
		text = "\n" + text
	}
	return t.print.end(text)
}

// chosenRules returns the configuration with these rules only. Without names it has all
// rules.
func chosenRules(config *config.Config, names []string) (*config.Config, error) {
	for _, name := range names {
		if config.Rule(name) == nil {
			return nil, usageError{fmt.Errorf("meterlog: --rule %q: there is no such rule in %s; use one of %s",
				name, config.Path, strings.Join(ruleNames(config), ", "))}
		}
	}
	if len(names) == 0 {
		return config, nil
	}
	return config.Only(names), nil
}

func ruleNames(config *config.Config) []string {
	var names []string
	for _, r := range config.Rules {
		names = append(names, r.Name)
	}
	return names
}
