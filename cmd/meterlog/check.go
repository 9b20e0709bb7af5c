package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/sender"
)

func newCheckCommand() *cobra.Command {
	var verbose, online bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and run its tests",
		Long: `check reads the configuration, says what is in it and how many files its sources
match now, and runs its tests. All mistakes are reported at once, each with its
place. It changes nothing and asks nobody.

--online asks the API, too, with validate_only: whether the token, the service
account's role, the product and every SKU are accepted. Nothing is billed. It
takes no longer than delivery.timeout, and may stand in ExecStartPre=.

With -v it tells, too, which texts are searched for to find the lines on which a
rule is evaluated, or why it is evaluated on every line.

It exits with 0 when all is well, 1 when a test failed or something was not
accepted, 2 when the configuration is wrong.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	configPath := configFlag(c)
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "tell how the lines of each rule are found")
	c.Flags().BoolVar(&online, "online", false, "ask the API whether it would accept what the rules bill")
	c.MarkFlagFilename("config", "yaml", "yml")
	c.RunE = func(c *cobra.Command, _ []string) error {
		config, err := loadConfig(*configPath)
		if err != nil {
			return err
		}
		if err := sender.CheckCAFile(config.Delivery.CAFile); err != nil {
			return fmt.Errorf("%w: %s: delivery: %w", errConfig, config.Path, err)
		}
		out := c.OutOrStdout()
		describe(out, config)
		if verbose {
			describeSearch(out, config)
		}
		ok := reportTests(out, config)
		if online {
			accepted, err := checkOnline(c.Context(), out, c.ErrOrStderr(), config)
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
	return c
}

// describe says what is in a configuration.
func describe(w io.Writer, config *config.Config) {
	fmt.Fprintf(w, "%s: product %s, summed over %s, delivered to %s (%s)\n\n",
		config.Path, config.ProductID, brief(config.Interval), config.Delivery.Endpoint, config.Delivery.Transport)
	rows := [][]string{{"SOURCE", "FORMAT", "FILES NOW", "PATH"}}
	for _, s := range config.Sources {
		files, _ := s.Files()
		rows = append(rows, []string{s.Name, s.Format, fmt.Sprint(len(files)), strings.Join(s.Paths, ", ")})
	}
	writeColumns(w, rows, len(rows[0]))
	fmt.Fprintln(w)
	rows = [][]string{{"RULE", "SKU", "QUANTITY", "SOURCES"}}
	for _, r := range config.Rules {
		quantity := clip(strings.Join(strings.Fields(r.QuantityText), " "), 40)
		if r.Per != 1 {
			quantity += fmt.Sprintf(" per %d", r.Per)
		}
		rows = append(rows, []string{r.Name, r.SKU, quantity, strings.Join(r.Sources, ", ")})
	}
	writeColumns(w, rows, len(rows[0]))
}

// describeSearch tells how the lines of each rule are found.
func describeSearch(w io.Writer, config *config.Config) {
	fmt.Fprintln(w)
	for _, r := range config.Rules {
		for _, name := range r.Sources {
			literals, why := config.Prefilter(r, config.Source(name))
			fmt.Fprintf(w, "%s in %s: %s\n", r.Name, name, searchText(literals, why))
		}
	}
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

// reportTests runs the configuration's tests and reports whether all were
// right.
func reportTests(w io.Writer, config *config.Config) bool {
	results := config.RunTests()
	if len(results) > 0 {
		fmt.Fprintln(w)
	}
	failed := 0
	for _, r := range results {
		if r.OK {
			fmt.Fprintf(w, "%s: ok\n", r.Name)
		} else {
			failed++
			fmt.Fprintf(w, "%s:%d:%d: %s: failed\n", config.Path, r.Pos.Line, r.Pos.Column, r.Name)
		}
		for _, c := range r.Counts {
			if c.Got != c.Want {
				fmt.Fprintf(w, "  %s counted %d, expected %d\n", c.Rule, c.Got, c.Want)
			}
		}
		for _, e := range r.Errors {
			fmt.Fprintf(w, "  error, which counts nothing: %s\n", e)
		}
	}
	switch {
	case len(results) == 0:
		fmt.Fprintln(w, "\nok, without tests: add lines that matter under tests:, and check will count them")
	case failed > 0:
		fmt.Fprintf(w, "%d of %s failed\n", failed, meter.Plural(int64(len(results)), "test"))
	default:
		fmt.Fprintf(w, "ok, %s passed\n", meter.Plural(int64(len(results)), "test"))
	}
	return failed == 0
}
