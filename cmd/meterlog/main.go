// Command meterlog follows an application's log files and turns its events
// into billing metrics. `meterlog help` describes it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // zones of timestamps, on systems without them

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/remedy"
	"github.com/meterlog/meterlog/internal/screen"
	"github.com/meterlog/meterlog/internal/trial"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // something asked for failed or was not accepted
	exitUsage  = 2 // the command line or the configuration is wrong
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out, errs := screen.NewGuard(stdout, screen.PriorityInfo), screen.NewGuard(stderr, screen.PriorityError)
	defer errs.End()
	defer out.End()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(errs, text)
	}
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		fmt.Fprintln(errs, "try it as root, or as the service's user: sudo -u meterlog")
	}
	return exitCode(err)
}

// usageError is a mistake on the command line.
type usageError struct{ error }

// errReported ends a command that has said itself what is wrong.
var errReported = errors.New("")

func exitCode(err error) int {
	var usage usageError
	var problems config.Problems
	var misuse trial.Misuse
	if errors.As(err, &usage) || errors.As(err, &misuse) || errors.As(err, &problems) || errors.Is(err, errConfig) {
		return exitUsage
	}
	return exitFailed
}

// errConfig is wrapped by errors of reading the configuration.
var errConfig = config.ErrInvalid

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "meterlog",
		Short: "Turn events in log files into billing metrics, exactly once",
		Long: `meterlog follows an application's log files, counts the events that its rules
describe, sums them per SKU and minute, and submits usage records to the
Marketplace Metering API. Positions in the files and counts are committed
together, so that restarts neither lose nor count twice.

  meterlog check          is the configuration right?
  meterlog test FILE...   which lines match, and what would be billed?
  meterlog run            the agent
  meterlog records        what was billed`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              cobra.NoArgs,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", screen.PageWidth)))
	root.Version = versionLine()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return mistaken(c, err, meantFlag(c, err))
	})
	root.AddCommand(
		newRunCommand(),
		newCheckCommand(),
		newTestCommand(),
		newStatusCommand(),
		newRecordsCommand(),
		newTotalsCommand(),
		newExplainCommand(),
		newRetryCommand(),
		newResetCommand(),
		newSandboxCommand(),
		newSchemaCommand(),
		newVersionCommand(),
	)
	for _, c := range root.Commands() {
		c.Args = asUsage(c.Args)
	}
	root.Args = asUsage(func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return fmt.Errorf("unknown command %q", args[0])
	})
	root.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return root
}

// commandNames returns the names of a command's commands.
func commandNames(c *cobra.Command) (names []string) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}

// meantFlag returns a hint which flag of the command was meant, or "".
func meantFlag(c *cobra.Command, err error) string {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return ""
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	return remedy.DidYouMean("--"+name, names)
}

// meantCommand returns a hint which of a command's commands was meant, or "".
func meantCommand(c *cobra.Command, args []string) string {
	if !c.HasAvailableSubCommands() || len(args) == 0 {
		return ""
	}
	return remedy.DidYouMean(args[0], commandNames(c))
}

// mistaken returns the error for a mistake on the command line.
func mistaken(c *cobra.Command, err error, hint string) error {
	if hint != "" {
		return usageError{fmt.Errorf("meterlog: %w; %s See `%s --help`", err, hint, c.CommandPath())}
	}
	return usageError{fmt.Errorf("meterlog: %w: see `%s --help`", err, c.CommandPath())}
}

// asUsage makes usage errors of the errors of an argument check.
func asUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.ArbitraryArgs
	}
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return mistaken(c, err, meantCommand(c, args))
		}
		return nil
	}
}
