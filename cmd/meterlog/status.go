package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/report"
)

func newStatusCommand() *cobra.Command {
	var format string
	var check bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Is it billing, how much, how far behind, and what is wrong",
		Long: `status shows the files that are followed and how far they were read, the usage
that was counted and what became of it, and what is wrong, with what to do about
each. It works whether or not the agent runs, and changes nothing.

--check prints only what is wrong, a line each, and exits with 1 if there is
anything: for monitoring, and for the product itself.`,
		Args: cobra.NoArgs,
	}
	configPath, state := configFlag(c), stateFlag(c)
	c.Flags().BoolVar(&check, "check", false, "print only what is wrong; exit with 0 if nothing is")
	c.Flags().StringVar(&format, "format", "text", "text or json")
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		if format != "text" && format != "json" {
			return usageError{fmt.Errorf("meterlog: --format %q: use text or json", format)}
		}
		conf, err := loadConfig(*configPath)
		if errors.Is(err, errConfig) && c.Flags().Changed("config") {
			return err // the file is missing; mistakes in it are a problem like any other
		}
		dir := *state
		if conf == nil && dir == "" {
			dir = config.StateOf(*configPath)
		}
		subject := monitor.Subject{Version: versionText(), Dir: stateDir(dir, conf), Config: conf, ConfigErr: err}
		if err != nil {
			subject.Salvaged = config.Salvage(*configPath)
		}
		st, err := subject.Status(c.Context(), time.Now())
		if err != nil {
			return err
		}
		switch {
		case format == "json":
			err = json.NewEncoder(c.OutOrStdout()).Encode(st)
		case check:
			report.Reasons(c.OutOrStdout(), st)
		default:
			report.Status(c.OutOrStdout(), st)
		}
		if err == nil && check && len(st.Problems) > 0 {
			err = errReported
		}
		return err
	}
	return c
}
