package main

import (
	"crypto/rsa"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/report"
	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/internal/screen"
)

// sandboxOptions are the flags of `meterlog sandbox`.
type sandboxOptions struct {
	config   string
	listen   string
	faults   []string
	variants []string
	keyFiles []string
	tls      bool
	certFile string
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
REST and gRPC, in its present and its deprecated package; the exchange of keys
and OAuth tokens for IAM tokens; the addresses of services that SDKs request;
gRPC reflection; and the metadata service. With --config it knows the product
and SKUs of that configuration. Without, it takes any.

It prints each accepted record, and the totals at the end. Meanwhile / is a page
for people; /totals, /records, /rejected and /problems are for programs.

Let meterlog deliver to it with delivery.endpoint: http://ADDRESS and the
variable YC_METADATA_ADDR=ADDRESS. With auth.method: key, set auth.iam_endpoint:
http://ADDRESS as well.

--tls serves https:// on the same port as well. It makes a certificate at the
start and writes it to --tls-cert: name that file in delivery.ca_file, or give
it to curl and grpcurl with --cacert. The certificate holds the API's host
names, so the documentation's commands work with curl's --connect-to. A --token
never expires.

A --fault is its kind, then conditions: sku=SKU and on=write or on=validate say
which requests; every=N of them, p=PROBABILITY, times=N at most, after=DURATION
and for=DURATION from the start. retry-after=DURATION is what a status asks for.
Kinds:
  ` + faultHelp() + `
Those up to huge replace the answer, those from partial to date change it. token
is a status of the metadata service and the key exchange. Some take a value:
  status, status-after, token   a status from 300 to 599: status=503
  poison                        an SKU whose requests fail with 400
  reset-before, reset-after     an HTTP/2 error: reset-after=refused-stream
  date                          an offset, epoch, nonsense or none: date=-2h

A --variant is how the API behaves where no document decides:
  duplicate-last        a record with several faults is called DUPLICATE last
  burn-rejected         a uuid is registered before the timestamp is looked at
  malformed-fails-all   one malformed record fails its request with 400
  refuse-unknown-names  an unknown field fails its request with 400`,
		Example: `  meterlog sandbox --listen 127.0.0.1:8080 --fault drop-after,every=3
  meterlog sandbox --fault status=503,after=1m,for=50m
  meterlog sandbox --fault status=502,times=1 --fault date=epoch,times=1
  meterlog sandbox --tls --token secret --variant burn-rejected --ahead 1m
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
	f.StringArrayVar(&o.model.Tokens, "token", nil, "a `token` that is good for ever; may be repeated")
	f.BoolVar(&o.tls, "tls", false, "serve https:// as well, with a certificate made at the start")
	f.StringVar(&o.certFile, "tls-cert", "meterlog-sandbox.pem", "the `file` that --tls writes its certificate to")
	f.DurationVar(&o.model.Ahead, "ahead", 0, "how far in the future usage may be")
	f.DurationVar(&o.model.MaxAge, "hour", time.Hour, "how old usage may be")
	f.DurationVar(&o.model.Skew, "skew", 0, "how far the API's clock is ahead")
	f.DurationVar(&o.model.Latency, "latency", 0, "how long each answer takes")
	f.DurationVar(&o.model.TokenLife, "token-life", 12*time.Hour, "how long tokens live")
	f.Uint64Var(&o.model.Seed, "seed", 1, "of the faults' chance")
	o.add(c)
	c.MarkFlagFilename("config", "yaml", "yml")
	c.MarkFlagFilename("key", "json")
	c.MarkFlagFilename("tls-cert", "pem")
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
	o.model.Log, o.model.AnyClient = log, true
	o.model.Accepted = func(r sandbox.Stored) {
		fmt.Fprintf(out, "%s  %s  %s  quantity %d\n", r.Timestamp.Format(time.RFC3339), screen.Visible(r.UUID), screen.Visible(r.SKU), r.Quantity)
	}
	if err := o.configure(); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	scheme := "http"
	if o.tls {
		scheme = "https"
		if err := o.makeCertificate(ln.Addr()); err != nil {
			ln.Close()
			return err
		}
	}
	fmt.Fprintf(out, "the model of the Metering API is at %s://%s\n", scheme, ln.Addr())
	if o.tls {
		fmt.Fprintf(out, "its certificate is in %s; plain http:// is served as well\n", o.certFile)
	}
	model := sandbox.New(o.model)
	if err := model.Serve(c.Context(), ln); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return report.SandboxTotals(out, model)
}

// makeCertificate has the model speak TLS, and writes its certificate.
func (o *sandboxOptions) makeCertificate(address net.Addr) error {
	var names []string
	if host, _, err := net.SplitHostPort(address.String()); err == nil {
		names = append(names, host)
	}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	server, certificate, err := sandbox.Certificate(time.Now(), names...)
	if err != nil {
		return err
	}
	if o.certFile, err = filepath.Abs(o.certFile); err != nil {
		return fmt.Errorf("sandbox: --tls-cert: %w", err)
	}
	if err := os.WriteFile(o.certFile, certificate, 0o644); err != nil {
		return fmt.Errorf("sandbox: --tls-cert: %w", err)
	}
	o.model.TLS = server
	return nil
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
