package main

import (
	"crypto/rsa"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/sandbox"
)

// sandboxOptions are the flags of `meterlog sandbox`.
type sandboxOptions struct {
	config   string
	listen   string
	faults   []string
	variants []string
	keyFiles []string
	model    sandbox.Config
	logFlags
}

// variants are the ways of the API that no document settles, by their names for
// --variant.
var variants = map[string]func(*sandbox.Config){
	"duplicate-last":       func(c *sandbox.Config) { c.DuplicateLast = true },
	"burn-rejected":        func(c *sandbox.Config) { c.BurnRejected = true },
	"malformed-fails-all":  func(c *sandbox.Config) { c.MalformedFailsAll = true },
	"refuse-unknown-names": func(c *sandbox.Config) { c.RefuseUnknownNames = true },
}

func newSandboxCommand() *cobra.Command {
	var o sandboxOptions
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a model of the Metering API for local tests",
		Long: `sandbox serves a model of the Metering API on one port: the write method over
REST and gRPC, the exchange of keys for tokens, and the metadata service. With
--config it knows the product and SKUs of that configuration; without, it takes
any. Each accepted record is printed; the totals come at the end, and at / for
people and /totals, /records and /problems for programs meanwhile.

Let meterlog deliver to it with delivery.endpoint: http://ADDRESS and the
variable YC_METADATA_ADDR=ADDRESS; with auth.method: key, auth.iam_endpoint:
http://ADDRESS, too.

A --fault is its kind, then conditions: every=N requests, p=PROBABILITY, times=N
at most, after=DURATION and for=DURATION from the start; retry-after=DURATION is
what a status asks for. Of the kinds
  ` + faultHelp() + `
those up to huge stand in place of the answer, those from partial to extra
change it, and token is of the metadata service and the key exchange.

A --variant is how the API behaves where no document tells:
  duplicate-last        a record with several faults is called DUPLICATE last
  burn-rejected         the uuid of a rejected record is taken
  malformed-fails-all   one malformed record fails its request with 400
  refuse-unknown-names  an unknown field fails its request with 400`,
		Example: `  meterlog sandbox --listen 127.0.0.1:8080 --fault drop-after,every=3
  meterlog sandbox --fault status=503,after=1m,for=50m
  meterlog sandbox --token-life 20s --skew -90s --hour 5m --latency 200ms`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.StringVarP(&o.config, "config", "c", "", "a configuration `file` whose product and SKUs are the known ones")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "the `address` to serve on")
	f.StringArrayVar(&o.faults, "fault", nil, "a fault to commit, as `KIND[=VALUE][,CONDITION...]`; may be repeated")
	f.StringSliceVar(&o.variants, "variant", nil, "a `way` in which the API may behave; may be repeated")
	f.StringSliceVar(&o.keyFiles, "key", nil, "an authorized key's `file`: only JWTs that such a key has signed are taken")
	f.DurationVar(&o.model.MaxAge, "hour", time.Hour, "how old usage may be")
	f.DurationVar(&o.model.Skew, "skew", 0, "how far the API's clock is ahead")
	f.DurationVar(&o.model.Latency, "latency", 0, "how long each answer takes")
	f.DurationVar(&o.model.TokenLife, "token-life", 12*time.Hour, "how long tokens live")
	f.Uint64Var(&o.model.Seed, "seed", 1, "of the faults' chance")
	o.add(c)
	c.MarkFlagFilename("config", "yaml", "yml")
	c.MarkFlagFilename("key", "json")
	c.RegisterFlagCompletionFunc("variant", cobra.FixedCompletions(variantNames(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func variantNames() []string { return slices.Sorted(maps.Keys(variants)) }

// faultHelp lists the kinds of faults in lines that fit a terminal.
func faultHelp() string {
	var b strings.Builder
	width := 0
	for i, kind := range sandbox.FaultKinds() {
		if i > 0 {
			b.WriteString(",")
			if width += 2; width+len(kind) > 76 {
				b.WriteString("\n  ")
				width = 0
			} else {
				b.WriteString(" ")
			}
		}
		b.WriteString(string(kind))
		width += len(kind)
	}
	return b.String()
}

func (o *sandboxOptions) run(c *cobra.Command) error {
	log, err := o.logger(c)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	o.model.Log = log
	o.model.Accepted = func(r sandbox.Stored) {
		fmt.Fprintf(out, "%s  %s  %s  quantity %d\n", r.Timestamp.Format(time.RFC3339), visible(r.UUID), visible(r.SKU), r.Quantity)
	}
	if err := o.configure(); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	fmt.Fprintf(out, "the model of the Metering API is at http://%s\n", ln.Addr())
	model := sandbox.New(o.model)
	if err := model.Serve(c.Context(), ln); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return printTotals(out, model)
}

// configure makes the model what the flags ask for.
func (o *sandboxOptions) configure() error {
	if o.config != "" {
		config, err := loadConfig(o.config)
		if err != nil {
			return err
		}
		o.model.Products = products(config)
	}
	for _, text := range o.faults {
		fault, err := sandbox.ParseFault(text)
		if err != nil {
			return usageError{fmt.Errorf("meterlog: --fault %s: %w", text, err)}
		}
		o.model.Faults = append(o.model.Faults, fault)
	}
	for _, name := range o.variants {
		set, ok := variants[name]
		if !ok {
			return usageError{fmt.Errorf("meterlog: --variant %q: use %s", name, strings.Join(variantNames(), ", "))}
		}
		set(&o.model)
	}
	for _, path := range o.keyFiles {
		id, key, err := sandbox.ReadKey(path)
		if err != nil {
			return usageError{fmt.Errorf("meterlog: --key %s: %w", path, err)}
		}
		if o.model.Keys == nil {
			o.model.Keys = make(map[string]*rsa.PublicKey)
		}
		o.model.Keys[id] = key
	}
	for name, d := range map[string]time.Duration{"hour": o.model.MaxAge, "token-life": o.model.TokenLife, "latency": o.model.Latency + 1} {
		if d <= 0 {
			return usageError{fmt.Errorf("meterlog: --%s must be above 0", name)}
		}
	}
	return nil
}
