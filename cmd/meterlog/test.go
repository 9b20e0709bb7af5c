package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/trial"
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

On a terminal, and with --time, the table shows on how many lines each rule was
evaluated, and for how long: the rules for which no text can be searched stand
out. The part of a line that matched is shown in bold where it is known.

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
Every rule is in it. The error with the rule "" is for lines that are too long.

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
	c.Flags().BoolVar(&o.time, "time", false, "show how long each rule took, even without a terminal")
	c.Flags().BoolVar(&o.summary, "summary", false, "leave the matches out")
	c.Flags().BoolVar(&o.follow, "follow", false, "go on watching until Ctrl-C")
	c.MarkFlagFilename("config", "yaml", "yml")
	c.RegisterFlagCompletionFunc("source", completeNames(o.config, trial.SourceNames))
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
		return trial.UnknownSource(config, o.source)
	}
	if config, err = chosenRules(config, o.rules); err != nil {
		return err
	}
	since, err := parseTime("--since", o.since, time.Now())
	if err != nil {
		return err
	}
	return trial.Run(c.Context(), config, trial.Options{
		Files: args, Source: o.source, Since: since, Follow: o.follow, JSON: o.format == "json", Summary: o.summary, Cost: o.time,
		Stdin: c.InOrStdin(), Stdout: c.OutOrStdout(), Stderr: c.ErrOrStderr(),
	})
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
