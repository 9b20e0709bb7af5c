package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/screen"
)

const (
	defaultConfig = "/etc/meterlog/rules.yaml"
	defaultState  = "/var/lib/meterlog"
)

// configFlag adds --config.
func configFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", defaultConfig, "the configuration `file`")
}

// stateFlag adds --state-dir, with --state as its older name.
func stateFlag(c *cobra.Command) *string {
	dir := c.Flags().String("state-dir", "", "the state `folder` (default: state: of the configuration, $STATE_DIRECTORY, "+defaultState+")")
	c.Flags().StringVar(dir, "state", "", "the same as --state-dir")
	c.Flags().MarkHidden("state")
	c.MarkFlagDirname("state-dir")
	return dir
}

// stateFlags adds --state-dir to a command that works beside the agent. The
// function it returns names the folder.
func stateFlags(c *cobra.Command) func(c *cobra.Command) (string, error) {
	dir := stateFlag(c)
	return func(c *cobra.Command) (string, error) {
		return readableState(*dir, c.Flag("config").Value.String(), c.Flags().Changed("config"))
	}
}

// loadConfig reads the configuration. Its errors exit with 2.
func loadConfig(path string) (*config.Config, error) {
	loaded, err := config.Load(path)
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	return loaded, err
}

// stateDir returns the folder of the ledger: what the command line says, the
// configuration, systemd's StateDirectory=, or the default.
func stateDir(flag string, config *config.Config) string {
	for _, dir := range []string{flag, configured(config), os.Getenv("STATE_DIRECTORY")} {
		if dir != "" {
			return dir
		}
	}
	return defaultState
}

func configured(config *config.Config) string {
	if config == nil {
		return ""
	}
	return config.State
}

// openBook opens the ledger that a command's flags name.
func openBook(c *cobra.Command, state func(*cobra.Command) (string, error)) (*ledger.Reader, error) {
	dir, err := state(c)
	if err != nil {
		return nil, err
	}
	return ledger.OpenReader(dir)
}

// logFlags adds --log-level and --log-format.
type logFlags struct {
	level  string
	format string
}

func (f *logFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	c.Flags().StringVar(&f.format, "log-format", "text", "text or json")
}

// logFormats are the forms of a log, by their names.
var logFormats = map[string]func(io.Writer, *slog.HandlerOptions) slog.Handler{
	"text": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) },
	"json": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) },
}

// logger writes to the command's stderr.
func (f *logFlags) logger(c *cobra.Command) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, usageError{fmt.Errorf("meterlog: --log-level %q: use debug, info, warn or error", f.level)}
	}
	options := &slog.HandlerOptions{Level: level}
	build, ok := logFormats[f.format]
	switch w := c.ErrOrStderr(); {
	case ok && screen.OnJournal(w):
		return slog.New(screen.NewJournalHandler(w, options, build)), nil
	case ok:
		return slog.New(build(w, options)), nil
	}
	return nil, usageError{fmt.Errorf("meterlog: --log-format %q: use text or json", f.format)}
}
