package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/agent"
	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/report"
	"github.com/meterlog/meterlog/internal/sandbox"
	"github.com/meterlog/meterlog/internal/screen"
	"github.com/meterlog/meterlog/internal/sender"
)

// runOptions are the flags of `meterlog run`.
type runOptions struct {
	config, state         *string
	dryRun, once, sandbox bool
	endpoint              string
	cpuProfile            string
	logFlags

	counted  agent.Summary    // records that were settled, if the ledger is thrown away
	model    *sandbox.Sandbox // with sandbox: the API
	modelURL string
}

func newRunCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run",
		Short: "Follow the logs, count, and deliver usage records",
		Long: `run is the agent. It follows the files of every source, counts what the rules
match, and delivers usage records until it is stopped (SIGTERM, Ctrl-C).
On SIGHUP it reads its configuration again and goes on at the same positions. It
refuses a wrong configuration and keeps the old one.

--dry-run does all of it with validate_only on every request, on a ledger that
is thrown away: the real one is neither read, changed nor locked, so it may run
beside the service. Every record and the API's answer is printed.

--once reads every source to its end, delivers, prints a summary and exits: 0
when all was accepted, 1 when something was not, or could not be read.

--sandbox delivers to a model of the API within the process. Unless --state-dir
names a folder for it, its ledger is thrown away, too.

--endpoint delivers to another API than the configuration's. One on this
machine, such as http://127.0.0.1:8080, is taken for ` + "`meterlog sandbox`" + `: tokens
come from it as well, and the ledger is thrown away, unless --state-dir names a
folder.

When a run with such a ledger is stopped, it delivers what it has counted,
and prints what that was.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	o.config, o.state = configFlag(c), stateFlag(c)
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "ask the API only whether it would accept; change nothing")
	c.Flags().BoolVar(&o.once, "once", false, "read to the end, deliver, and exit")
	c.Flags().BoolVar(&o.sandbox, "sandbox", false, "deliver to an embedded model of the API")
	c.Flags().StringVar(&o.endpoint, "endpoint", "", "deliver to the API at this `URL`, whatever the configuration says")
	c.Flags().StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile to `file`")
	c.Flags().MarkHidden("cpuprofile")
	o.logFlags.add(c)
	return c
}

func (o *runOptions) run(c *cobra.Command) error {
	log, err := o.logger(c)
	if err != nil {
		return err
	}
	if err := o.checkEndpoint(); err != nil {
		return err
	}
	config, err := loadConfig(*o.config)
	if err != nil {
		return err
	}
	if o.cpuProfile != "" {
		stop, err := profile(o.cpuProfile)
		if err != nil {
			return err
		}
		defer stop()
	}
	dir, discard, err := o.ledgerDir(config)
	if err != nil {
		return err
	}
	defer discard()
	// The sandbox outlives the agent's last words to it.
	sandboxContext, endSandbox := context.WithCancel(context.WithoutCancel(c.Context()))
	defer endSandbox()
	if err := o.startSandbox(sandboxContext, config, log); err != nil {
		return err
	}
	deliver, err := o.newSender(config, log)
	if err != nil {
		return err
	}
	book, err := ledger.Open(c.Context(), dir)
	if err != nil {
		deliver.Close()
		return o.unlessStopped(err)
	}
	defer book.Close()
	if o.once {
		logWarnings(log, config)
		err = o.runOnce(c, o.agentConfig(c, config, deliver, book, log))
		deliver.Close()
	} else {
		s := service{options: o, command: c, dir: dir, book: book, health: monitor.NewHealth(), log: log}
		err = o.unlessStopped(s.run(c.Context(), config, deliver))
	}
	if o.model != nil {
		err = errors.Join(err, report.SandboxTotals(c.OutOrStdout(), o.model))
	}
	return err
}

// unlessStopped returns no error if somebody only stopped the agent before it
// began: that is an orderly end, too. With --once the work is not done.
func (o *runOptions) unlessStopped(err error) error {
	if !o.once && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// agentConfig returns what an agent of this configuration works with.
func (o *runOptions) agentConfig(c *cobra.Command, config *config.Config, deliver *sender.Sender, book *ledger.Ledger, log *slog.Logger) agent.Config {
	spareMemory(config)
	cfg := agent.Config{Rules: config, Ledger: book, Sender: deliver, Log: log}
	answer := func(meter.Record, meter.Result) {}
	if o.dryRun {
		answer = report.Answer(c.OutOrStdout(), config.ProductID)
	}
	if o.throwAway() {
		cfg.Settled = func(record meter.Record, result meter.Result) {
			answer(record, result)
			if result.State != meter.Sealed {
				o.counted.Add(record, result)
			}
		}
	} else {
		cfg.Spread = true
		cfg.MachineIDFile = machineIDFile()
		if config.Auth.Method == "metadata" && !o.rehearses() {
			cfg.InstanceID = (&sender.Metadata{Log: log}).InstanceID
		}
	}
	return cfg
}

// machineIDVariable names another file than /etc/machine-id.
const machineIDVariable = "METERLOG_MACHINE_ID_FILE"

func machineIDFile() string {
	if path := os.Getenv(machineIDVariable); path != "" {
		return path
	}
	return "/etc/machine-id"
}

// checkEndpoint checks --endpoint.
func (o *runOptions) checkEndpoint() (err error) {
	switch {
	case o.endpoint == "":
		return nil
	case o.sandbox:
		return usageError{errors.New("meterlog: --sandbox and --endpoint name two APIs: use one of them")}
	}
	if o.endpoint, err = config.CheckEndpoint(o.endpoint); err != nil {
		return usageError{fmt.Errorf("meterlog: --endpoint: %w", err)}
	}
	return nil
}

// rehearses reports whether the API is a model of it: the sandbox, or what
// --endpoint names on this machine.
func (o *runOptions) rehearses() bool {
	if o.sandbox || o.endpoint == "" {
		return o.sandbox
	}
	u, err := url.Parse(o.endpoint)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// throwAway reports whether the ledger is one to throw away: a dry run, and a
// rehearsal that names no folder, must never touch the real one.
func (o *runOptions) throwAway() bool { return o.dryRun || o.rehearses() && *o.state == "" }

// ledgerDir returns the folder of the ledger, and a function that cleans up.
func (o *runOptions) ledgerDir(config *config.Config) (dir string, discard func(), err error) {
	if !o.throwAway() {
		return stateDir(*o.state, config), func() {}, nil
	}
	dir, err = os.MkdirTemp("", "meterlog-")
	if err != nil {
		return "", nil, fmt.Errorf("make a ledger to throw away: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// startSandbox starts the model of the API for --sandbox. It lives until ctx ends.
func (o *runOptions) startSandbox(ctx context.Context, config *config.Config, log *slog.Logger) (err error) {
	if !o.sandbox {
		return nil
	}
	o.model = sandbox.New(sandbox.Config{Products: products(config), Log: log})
	if o.modelURL, _, err = o.model.Start(ctx); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}

// newSender connects to the API, or to the model of it where there is one.
func (o *runOptions) newSender(config *config.Config, log *slog.Logger) (*sender.Sender, error) {
	cfg := sender.Config{
		Endpoint:     config.Delivery.Endpoint,
		Transport:    config.Delivery.Transport,
		Timeout:      config.Delivery.Timeout,
		ValidateOnly: o.dryRun,
		CAFile:       config.Delivery.CAFile,
		UserAgent:    "meterlog/" + versionText(),
		Log:          log,
	}
	if o.endpoint != "" {
		cfg.Endpoint = o.endpoint
	}
	if o.model != nil {
		cfg.Endpoint = o.modelURL
	}
	// A model gives its tokens on the same port, without TLS alone.
	if host, plain := strings.CutPrefix(cfg.Endpoint, "http://"); plain && o.rehearses() {
		cfg.Tokens = (&sender.Metadata{Addr: host, Log: log}).Tokens()
	} else {
		var err error
		if cfg.Tokens, err = tokens(config, log); err != nil {
			return nil, fmt.Errorf("%w: auth: %w", errConfig, err)
		}
	}
	s, err := sender.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: delivery: %w", errConfig, err)
	}
	return s, nil
}

const (
	keyPath = "/etc/meterlog/key.json"
	keyCopy = "/run/credentials/meterlog.service/key.json" // see LoadCredential= in the unit
)

// keyFile returns the file that holds the authorized key. systemd's copy exists
// only while the service runs. Without an original it says "none".
func keyFile(path string) string {
	if path != keyCopy {
		return path
	}
	if text, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(text)) == "none" {
		return keyPath
	}
	return path
}

func tokens(config *config.Config, log *slog.Logger) (sender.TokenSource, error) {
	switch auth := config.Auth; auth.Method {
	case "key":
		return sender.KeyTokens(sender.KeyConfig{File: keyFile(auth.KeyFile), Endpoint: auth.IAMEndpoint, CAFile: config.Delivery.CAFile, Log: log})
	case "token":
		return sender.StaticTokens(auth.TokenFile)
	}
	return (&sender.Metadata{Log: log}).Tokens(), nil
}

// products returns the product and SKUs that the rules bill.
func products(config *config.Config) map[string][]string {
	known := make(map[string][]string)
	for _, r := range config.Rules {
		for _, b := range r.Bills() {
			known[b.ProductID] = append(known[b.ProductID], b.SKU)
		}
	}
	return known
}

// leastPatience is how long --once goes on without success, however short a
// request's timeout is: an API that has just failed gets its next request after
// seconds.
const leastPatience = 10 * time.Second

func (o *runOptions) runOnce(c *cobra.Command, cfg agent.Config) error {
	a, err := agent.New(c.Context(), cfg)
	if err != nil {
		return err
	}
	summary, err := a.Once(c.Context(), max(cfg.Rules.Delivery.Timeout, leastPatience))
	if err != nil {
		return err
	}
	return o.sum(c, summary)
}

// restPatience is how long the end of a rehearsal waits for the API.
const restPatience = 5 * time.Second

// rest ends a run whose ledger is thrown away: it reads what was written since,
// delivers it, and prints what the whole run came to.
func (o *runOptions) rest(ctx context.Context, c *cobra.Command, a *agent.Agent) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*restPatience)
	defer cancel()
	last, err := a.Once(ctx, restPatience)
	if err != nil {
		return err
	}
	last.Settled = o.counted.Settled
	if err := o.sum(c, last); errors.Is(err, errReported) && len(last.Unread) == 0 {
		return nil // the summary names what is left
	} else {
		return err
	}
}

// sum prints what a run came to. Its error is that something was not accepted, or
// could not be read.
func (o *runOptions) sum(c *cobra.Command, summary agent.Summary) error {
	report.Summary(c.OutOrStdout(), summary, o.dryRun, o.throwAway())
	for _, name := range summary.Unread {
		fmt.Fprintf(c.ErrOrStderr(), "meterlog: not read: %s\n", screen.Visible(name))
	}
	if !summary.AllAccepted() || len(summary.Unread) > 0 {
		return errReported
	}
	return nil
}

func profile(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}
