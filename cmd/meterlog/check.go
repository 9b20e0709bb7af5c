package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/screen"
	"github.com/meterlog/meterlog/internal/selftest"
	"github.com/meterlog/meterlog/internal/sender"
	"github.com/meterlog/meterlog/internal/trial"
)

func newCheckCommand() *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and run its tests",
		Long: `check reads the configuration, says what is in it and how many files its sources
match now, and runs its tests. All mistakes are reported at once, each with its
place. What is allowed but likely a mistake is a warning. It changes nothing and
asks nobody.

--online asks the API, too, with validate_only: whether the token, the service
account's role, the product and every SKU are accepted. Nothing is billed. It
takes no longer than delivery.timeout for each 1000 SKUs, and may stand in
ExecStartPre=.

With -v it also tells which texts are searched for to find the lines on which a
rule is evaluated, or why it is evaluated on every line. For each regular
expression it tells whether it is fast, or why it is slow.

With --format json it prints one object, for a build pipeline:
  {"config","ok",
   "errors":[{"file","line","column","message","hint"}],"warnings":[as errors],
   "sources":[{"name","format","files","unreadable":[text]}],
   "rules":[{"name","sku_id","per","sources","product_id","decimals","max"}],
   "tests":[{"name","line","column","ok","failures":[text],
     "counts":[{"rule","sku_id","units","amount","windows"}],
     "errors":[{"kind","subject","count","example"}]}],
   "untested":[rule],"online":{"ok","lines":[text]}}
"untested" names the rules that no test makes count. "online" is null without
--online.

It exits with 0 when all is well or there are only warnings, 1 when a test
failed or something was not accepted, 2 when the configuration is wrong.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	o.config = configFlag(c)
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "tell how the lines of each rule are found")
	c.Flags().BoolVar(&o.online, "online", false, "ask the API whether it would accept what the rules bill")
	c.Flags().StringVar(&o.format, "format", "text", "text or json")
	c.MarkFlagFilename("config", "yaml", "yml")
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// checkOptions are the flags of `meterlog check`.
type checkOptions struct {
	config          *string
	verbose, online bool
	format          string
}

func (o *checkOptions) run(c *cobra.Command) error {
	if o.format != "text" && o.format != "json" {
		return usageError{fmt.Errorf("meterlog: --format %q: use text or json", o.format)}
	}
	conf, err := loadConfig(*o.config)
	if err == nil {
		if e := sender.CheckCAFile(conf.Delivery.CAFile); e != nil {
			err = fmt.Errorf("%w: %s: delivery: %w", errConfig, conf.Path, e)
		}
	}
	if o.format == "json" {
		return o.json(c, conf, err)
	}
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	describe(out, conf)
	if o.verbose {
		describeSearch(out, conf)
	}
	unreadable := journalProblem(c.Context(), conf)
	if unreadable != "" {
		fmt.Fprintf(out, "\nerror: %s\n", unreadable)
	}
	warnings := append(warningsOf(conf), journalWarnings(c.Context(), conf)...)
	for _, warning := range warnings {
		fmt.Fprintf(out, "\nwarning: %s\n", warning)
	}
	ok := reportTests(out, conf, selftest.Run(conf), len(warnings)) && unreadable == ""
	if o.online {
		accepted, err := checkOnline(c.Context(), out, c.ErrOrStderr(), conf)
		if err != nil {
			return err
		}
		ok = ok && accepted
	}
	if !ok {
		return errReported
	}
	return nil
}

// describe says what is in a configuration.
func describe(w io.Writer, conf *config.Config) {
	screen.WriteWrapped(w, "", "  ", fmt.Sprintf("%s: product %s, summed over %s, delivered to %s (%s)",
		conf.Path, conf.ProductID, screen.Brief(conf.Interval), conf.Delivery.Endpoint, conf.Delivery.Transport))
	fmt.Fprintln(w)
	rows := [][]string{{"SOURCE", "FORMAT", "FILES NOW", "PATH"}}
	var unreadable []string
	for _, s := range conf.Sources {
		if s.Every > 0 {
			rows = append(rows, []string{s.Name, s.Format, "", "every " + screen.Brief(s.Every) + ", by the clock"})
			continue
		}
		if s.Journal != nil {
			rows = append(rows, []string{s.Name, s.Format, "", journalText(s.Journal)})
			continue
		}
		files, problems := trial.FilesOf(s)
		rows = append(rows, []string{s.Name, s.Format, fmt.Sprint(len(files)), strings.Join(s.Paths, ", ")})
		unreadable = append(unreadable, problems...)
	}
	screen.WriteColumns(w, rows, len(rows[0]))
	for _, problem := range unreadable {
		fmt.Fprintf(w, "not readable for you: %s\n", problem)
	}
	describeHistory(w, conf)
	fmt.Fprintln(w)
	rows = [][]string{{"RULE", "SKU", "QUANTITY", "SOURCES"}}
	for _, r := range conf.Rules {
		quantity := screen.Clip(strings.Join(strings.Fields(r.QuantityText), " "), 40)
		if r.Decimals > 0 {
			quantity += " to " + meter.Plural(int64(r.Decimals), "decimal")
		}
		if r.Per != meter.One(r.Decimals) {
			quantity += " per " + r.Text(r.Per)
		}
		if r.Max != 0 {
			quantity += ", max " + r.Text(r.Max)
		}
		rows = append(rows, []string{r.Name, screen.Clip(r.SKUText(), 40), quantity, strings.Join(r.Sources, ", ")})
	}
	if conf.SeveralProducts() {
		rows[0] = append(rows[0], "PRODUCT")
		for i, r := range conf.Rules {
			rows[i+1] = append(rows[i+1], r.ProductID)
		}
	}
	screen.WriteColumns(w, rows, len(rows[0]))
}

// describeHistory says what the first scan of a source will find. Where the
// ledger cannot be read, every scan is taken for the first.
func describeHistory(w io.Writer, conf *config.Config) {
	var known []meter.Generation
	var globs map[string]time.Time
	if reader, err := ledger.OpenReader(stateDir("", conf)); err == nil {
		defer reader.Close()
		known, _ = reader.Generations(context.Background())
		globs, _ = reader.Globs(context.Background())
	}
	for _, h := range monitor.FindHistory(conf, known, globs) {
		files, are := meter.Plural(int64(h.Files), "file"), "are"
		if h.Files == 1 {
			are = "is"
		}
		screen.WriteWrapped(w, "", "  ", fmt.Sprintf("history: source %s has %s with %s that %s there before its first scan; the lines are %s", h.Source.Name, files, screen.SizeText(h.Bytes), are, h.Fate()))
	}
}

// describeSearch says how the lines of each rule are found, and how each pattern
// is searched for.
func describeSearch(w io.Writer, conf *config.Config) {
	fmt.Fprintln(w)
	for _, r := range conf.Rules {
		for _, name := range r.Sources {
			literals, why := conf.Prefilter(r, conf.Source(name))
			fmt.Fprintf(w, "%s in %s: %s\n", r.Name, name, searchText(literals, why))
		}
	}
	for _, s := range conf.Sources {
		if s.Pattern != nil {
			fmt.Fprintf(w, "pattern of %s: %s\n", s.Name, patternText(s.Pattern))
		}
		if s.Timestamp != nil && s.Timestamp.Pattern != nil {
			fmt.Fprintf(w, "timestamp pattern of %s: %s\n", s.Name, patternText(s.Timestamp.Pattern))
		}
	}
	for _, r := range conf.Rules {
		for _, p := range r.Patterns() {
			fmt.Fprintf(w, "pattern `%s` in %s: %s\n", p, r.Name, patternText(p))
		}
	}
}

func patternText(p *fields.Pattern) string {
	if why := p.Slow(); why != "" {
		return "slow, by regexp: " + why
	}
	return "fast, step by step"
}

func searchText(literals []rules.Literal, why string) string {
	switch {
	case literals == nil:
		return "evaluated on every line: " + why
	case len(literals) == 0:
		return "evaluated on no line: it can never be true"
	}
	quoted := make([]string, len(literals))
	for i, literal := range literals {
		quoted[i] = "`" + literal.Text + "`"
		if literal.AnyCase {
			quoted[i] += " in any case"
		}
	}
	return "evaluated on lines with " + strings.Join(quoted, " or ")
}

// warningsOf returns what is likely a mistake, in the configuration and in the
// key file that it names.
func warningsOf(conf *config.Config) config.Problems {
	warnings := append(conf.Warnings(), folderWarnings(conf)...)
	if conf.Auth.Method == "key" {
		if _, err := tokens(conf, nil); err != nil {
			warnings = append(warnings, config.Problem{File: conf.Path, Message: "`meterlog run` will refuse the key: " + err.Error()})
		}
	}
	return warnings
}

// folderWarnings names paths that lead to a folder: a source follows files.
func folderWarnings(conf *config.Config) (warnings config.Problems) {
	for _, s := range conf.Sources {
		for _, path := range s.Paths {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				warnings = append(warnings, config.Problem{File: conf.Path, Line: s.Pos.Line, Column: s.Pos.Column,
					Message: fmt.Sprintf("source %s: %s is a folder, and a path names files", s.Name, path), Hint: "write path: " + filepath.Join(path, "*.log")})
			}
		}
	}
	return warnings
}

// reportTests prints what the tests came to and reports whether all passed.
func reportTests(w io.Writer, conf *config.Config, results []selftest.Result, warnings int) bool {
	if len(results) == 0 {
		fmt.Fprintf(w, "\nok%s, without tests: add lines that matter under tests:, and check will count them\n", warningCount(warnings))
		return true
	}
	fmt.Fprintln(w)
	failed := 0
	for _, r := range results {
		if r.OK() {
			fmt.Fprintf(w, "%s: ok\n", r.Name)
			continue
		}
		failed++
		fmt.Fprintf(w, "%s:%d:%d: %s: failed\n", conf.Path, r.Pos.Line, r.Pos.Column, r.Name)
		for _, failure := range r.Failures {
			fmt.Fprintf(w, "  %s\n", failure)
		}
	}
	if rules := untested(conf, results); len(rules) > 0 {
		screen.WriteWrapped(w, "", "  ", "no test makes these rules count: "+strings.Join(rules, ", "))
	}
	if failed > 0 {
		fmt.Fprintf(w, "%d of %s failed\n", failed, meter.Plural(int64(len(results)), "test"))
		return false
	}
	fmt.Fprintf(w, "ok%s, %s passed\n", warningCount(warnings), meter.Plural(int64(len(results)), "test"))
	return true
}

func warningCount(n int) string {
	if n == 0 {
		return ""
	}
	return " with " + meter.Plural(int64(n), "warning")
}

// untested names the rules that no test makes count.
func untested(conf *config.Config, results []selftest.Result) (names []string) {
	counts := map[string]bool{}
	for _, r := range results {
		for _, c := range r.Counts {
			counts[c.Rule] = counts[c.Rule] || c.Amount > 0
		}
	}
	for _, r := range conf.Rules {
		if !counts[r.Name] {
			names = append(names, r.Name)
		}
	}
	return names
}
