package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/check"
	"github.com/meterlog/meterlog/internal/sender"
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
takes no longer than delivery.timeout for each 1000 SKUs, and may be called in
ExecStartPre=.

With -v it also shows which texts are searched for to find the lines on which a
rule is evaluated, or why it is evaluated on every line. For each regular
expression it says whether it is fast, or why it is slow.

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
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "show how the lines of each rule are found")
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
	return check.Run(c.Context(), conf, err, check.Options{
		Path: *o.config, Verbose: o.verbose, Online: o.online, JSON: o.format == "json", State: stateDir("", conf), Version: versionText(), Tokens: tokens,
		Stdout: c.OutOrStdout(), Stderr: c.ErrOrStderr(),
	})
}
