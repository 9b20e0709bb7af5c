package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/report"
)

func newResetCommand() *cobra.Command {
	var image bool
	c := &cobra.Command{
		Use:   "reset --image",
		Short: "Forget all state before an image of this machine is taken",
		Long: `reset --image removes the ledger: positions in log files, and usage records with
their history. It is for the machine that an image is built on, as the last step
before the image is taken, with the agent stopped; while it runs, reset refuses.

It asks nothing, so that image builders can call it. Usage that was not
delivered is the builder's own and is forgotten with the rest; how much it was
is printed. Log files that remain in the image are counted from their beginning
on every machine made of it, unless their source says start_at: end.

Never use it on a machine that goes on billing: its logs would be counted again.
A copy of such a machine's disk needs no reset. It notices where it is and sets
the usage of the other machine aside.`,
		Args: cobra.NoArgs,
	}
	configPath, state := configFlag(c), stateFlag(c)
	c.Flags().BoolVar(&image, "image", false, "yes: an image is to be taken, and the ledger is to be forgotten")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !image {
			return usageError{errors.New("meterlog: reset forgets all that was counted and billed: say --image if an image is to be taken of this machine: see `meterlog reset --help`")}
		}
		dir, err := readableState(*state, *configPath, c.Flags().Changed("config"))
		if err != nil {
			return err
		}
		if err := ledger.ActAsOwner(dir); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
		removed, err := ledger.Remove(c.Context(), dir)
		if err != nil {
			return fmt.Errorf("reset: %w", err)
		}
		out := c.OutOrStdout()
		if len(removed.Files) == 0 {
			fmt.Fprintf(out, "there is no ledger in %s: nothing to forget\n", dir)
			return nil
		}
		fmt.Fprintf(out, "removed from %s: %s\n", dir, strings.Join(removed.Files, ", "))
		switch {
		case removed.Unsettled < 0:
			fmt.Fprintln(out, "it could not be read: whether usage was waiting for delivery is not known")
		case removed.Unsettled > 0:
			fmt.Fprintf(out, "%s with %d units had not been delivered, and never will be\n", report.CountRecords(removed.Unsettled), removed.Units)
		}
		if removed.Peaks > 0 {
			fmt.Fprintf(out, "%s of stretches that were not over had not counted, and never will\n", meter.Plural(removed.Peaks, "peak"))
		}
		fmt.Fprintln(out, "log files that stay in the image will be counted from their beginning: remove them, or set start_at: end")
		return nil
	}
	return c
}
