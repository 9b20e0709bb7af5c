package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/recount"
	"github.com/meterlog/meterlog/internal/report"
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

A recount is "equal", "different", "unknown" where nobody can know, as after
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
   "verdict"}
"ancestors" are the refused records that it replaces, "heirs" those that replace
it.`,
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
	reader, err := openBook(c, state)
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
	reader, err := openBook(c, o.state)
	if err != nil {
		return err
	}
	defer reader.Close()
	record, err := findRecord(c.Context(), reader, uuid)
	if err != nil {
		return err
	}
	e, err := report.Explain(c.Context(), reader, record.UUID, config, configErr, o.lines)
	if err != nil {
		return err
	}
	if o.format == "json" {
		encoder := json.NewEncoder(c.OutOrStdout())
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(e.Publish())
	} else {
		e.Print(c.OutOrStdout())
	}
	if err == nil && e.Outcome == recount.Different {
		err = errReported
	}
	return err
}
