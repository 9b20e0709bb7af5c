package main

import (
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/sandbox"
)

func newSandboxCommand() *cobra.Command {
	var listen string
	var faults []string
	var tokenLife time.Duration
	var skew time.Duration
	var seed uint64
	var flags logFlags
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a model of the Metering API for local tests",
		Long: `sandbox serves a model of the Metering API on one port: the write method over
REST and gRPC, the exchange of keys for tokens, and the metadata service. With
--config it knows the product and SKUs of that configuration; without, it takes
any. Each accepted record is printed; the totals come at the end, and at / for
people and /totals, /records and /problems for programs meanwhile.

Let meterlog deliver to it with delivery.endpoint: http://ADDRESS and the
variable YC_METADATA_ADDR=ADDRESS.`,
		Example: `  meterlog sandbox --listen 127.0.0.1:8080 --fault drop-after,every=3
  meterlog sandbox --fault status=503,after=1m,for=50m`,
		Args: cobra.NoArgs,
	}
	configPath := c.Flags().StringP("config", "c", "", "a configuration `file` whose product and SKUs are the known ones")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "the `address` to serve on")
	c.Flags().StringArrayVar(&faults, "fault", nil, "a fault to commit, as KIND[=VALUE][,CONDITION...]; may be repeated")
	c.Flags().DurationVar(&tokenLife, "token-life", 12*time.Hour, "how long tokens live")
	c.Flags().DurationVar(&skew, "skew", 0, "how far the API's clock is ahead")
	c.Flags().Uint64Var(&seed, "seed", 1, "of the faults' chance")
	flags.add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, err := flags.logger(c)
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		cfg := sandbox.Config{TokenLife: tokenLife, Skew: skew, Seed: seed, Log: log, Accepted: func(r sandbox.Stored) {
			fmt.Fprintf(out, "%s  %s  %s  quantity %d\n", r.Timestamp.Format(time.RFC3339), r.UUID, r.SKU, r.Quantity)
		}}
		if *configPath != "" {
			config, err := loadConfig(*configPath)
			if err != nil {
				return err
			}
			cfg.Products = products(config)
		}
		for _, text := range faults {
			fault, err := sandbox.ParseFault(text)
			if err != nil {
				return usageError{fmt.Errorf("meterlog: --fault %s: %w", text, err)}
			}
			cfg.Faults = append(cfg.Faults, fault)
		}
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			return fmt.Errorf("sandbox: %w", err)
		}
		fmt.Fprintf(out, "the model of the Metering API is at http://%s\n", ln.Addr())
		model := sandbox.New(cfg)
		if err := model.Serve(c.Context(), ln); err != nil {
			return fmt.Errorf("sandbox: %w", err)
		}
		return printTotals(out, model)
	}
	return c
}
