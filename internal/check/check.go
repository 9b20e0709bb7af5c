package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/condition"
	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/screen"
	"github.com/meterlog/meterlog/internal/selftest"
	"github.com/meterlog/meterlog/internal/sender"
	"github.com/meterlog/meterlog/internal/trial"
)

// Options says what is checked and how it is shown.
type Options struct {
	Path    string // of the configuration, as it was named
	Verbose bool   // tell how the lines of each rule are found
	Online  bool   // ask the API
	JSON    bool   // print one object for programs

	State   string // the folder of the ledger
	Version string // of meterlog
	Tokens  Tokens

	Stdout, Stderr io.Writer
}

// Tokens makes the source of tokens that a configuration names.
type Tokens func(*config.Config, *slog.Logger) (sender.TokenSource, error)

// ErrFailed is returned when a check failed. What failed was shown.
var ErrFailed = errors.New("")

// errConfig is wrapped by errors of a configuration that cannot be used.
var errConfig = config.ErrInvalid

// Run checks a configuration, or shows err, which kept it from being read.
func Run(ctx context.Context, conf *config.Config, err error, o Options) error {
	if o.JSON {
		return o.json(ctx, conf, err)
	}
	if err != nil {
		return err
	}
	describe(o.Stdout, conf, o.State)
	if o.Verbose {
		describeSearch(o.Stdout, conf)
	}
	unreadable := journalProblem(ctx, conf)
	if unreadable != "" {
		fmt.Fprintf(o.Stdout, "\nerror: %s\n", unreadable)
	}
	warnings := append(Warnings(conf, o.Tokens), journalWarnings(ctx, conf)...)
	for _, warning := range warnings {
		fmt.Fprintf(o.Stdout, "\nwarning: %s\n", warning)
	}
	ok := reportTests(o.Stdout, conf, selftest.Run(conf), len(warnings)) && unreadable == ""
	if o.Online {
		accepted, err := o.checkOnline(ctx, o.Stdout, conf)
		if err != nil {
			return err
		}
		ok = ok && accepted
	}
	if !ok {
		return ErrFailed
	}
	return nil
}

// describe says what is in a configuration.
func describe(w io.Writer, conf *config.Config, state string) {
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
	describeHistory(w, conf, state)
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
func describeHistory(w io.Writer, conf *config.Config, state string) {
	var known []meter.Generation
	var globs map[string]time.Time
	if reader, err := ledger.OpenReader(state); err == nil {
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

func searchText(literals []condition.Literal, why string) string {
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

// Warnings returns what is likely a mistake, in the configuration and in the
// key file that it names.
func Warnings(conf *config.Config, tokens Tokens) config.Problems {
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
