package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/report"
	"github.com/meterlog/meterlog/internal/rules"
)

// retryOptions are the flags of `meterlog retry`.
type retryOptions struct {
	config  *string
	state   func(c *cobra.Command) (string, error)
	reason  string
	sku     string
	product string
}

func newRetryCommand() *cobra.Command {
	var o retryOptions
	c := &cobra.Command{
		Use:   "retry [UUID...]",
		Short: "Queue refused records again, under new uuids",
		Long: `retry queues the usage of refused records for another delivery, once you have
fixed what they were refused for. Name records by uuid, or by its first eight
characters or more, or take all that were refused for one reason.

Each record gets the SKU and product that its rule has now, in the
configuration, and a new uuid; --sku and --product override that. A record of
several rules that differ now is split by the share of each rule. Windows,
timestamps and quantities stay. The refused records stay in the ledger. A record
is queued again once; later its successor can be.

It works whether or not the agent runs, which delivers them within seconds. The
API takes no usage that is over an hour old: such records come back as expired.

The API may have stored a record that it calls DUPLICATE, and one whose earlier
delivery was never answered: to send its usage again would bill it twice. These
are left out of --reason, and only queued when they are named by uuid.

It exits with 1 when nothing was found, or a record cannot be queued again.`,
		Example: `  meterlog retry --reason INVALID_SKU_ID
  meterlog retry 6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69
  meterlog retry --reason INVALID_SKU_ID --sku dn272e8979uvek5cnuhk`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, args) },
	}
	o.config, o.state = configFlag(c), stateFlags(c)
	c.Flags().StringVar(&o.sku, "sku", "", "queue them as usage of this `SKU`, whatever the rules say")
	c.Flags().StringVar(&o.product, "product", "", "queue them as usage of this `product`, whatever the rules say")
	c.Flags().StringVar(&o.reason, "reason", "", "all records that were refused for this `reason`")
	c.RegisterFlagCompletionFunc("reason", func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		reasons, _ := o.reasons(c)
		return reasons, cobra.ShellCompDirectiveNoFileComp
	})
	c.ValidArgsFunction = func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		refused, _ := o.refused(c)
		uuids := make([]string, len(refused))
		for i, r := range refused {
			uuids[i] = r.UUID
		}
		return uuids, cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

func (o *retryOptions) run(c *cobra.Command, args []string) error {
	named := c.Flags().Changed("reason")
	if named == (len(args) > 0) {
		hint := ""
		if reasons, err := o.reasons(c); err == nil && len(reasons) > 0 {
			hint = "; there are records refused for " + strings.Join(reasons, ", ")
		}
		return usageError{errors.New("meterlog: name the records by uuid, or all of one reason with --reason" + hint)}
	}
	dir, err := o.state(c)
	if err != nil {
		return err
	}
	assign, err := o.assign(c)
	if err != nil {
		return err
	}
	var uuids []string
	var lacking bool
	if named {
		uuids, lacking, err = o.ofReason(c)
	} else {
		uuids, lacking, err = o.ofUUIDs(c, dir, args)
	}
	if err != nil {
		return err
	}
	queued := 0
	if len(uuids) > 0 {
		if err := ledger.ActAsOwner(dir); err != nil {
			return fmt.Errorf("retry: %w", err)
		}
		retries, err := ledger.Requeue(c.Context(), dir, uuids, assign, time.Now())
		if err != nil {
			return err
		}
		queued = report.Retries(c.OutOrStdout(), c.ErrOrStderr(), retries, dir)
		lacking = lacking || queued < len(retries)
	}
	if lacking || queued == 0 {
		return errReported
	}
	return nil
}

// assign returns the product and SKU for each rule's share. The command line decides
// first, then the rule's present SKU. If the rule is gone, its old SKU stays.
func (o *retryOptions) assign(c *cobra.Command) (ledger.Assign, error) {
	loaded, err := loadConfig(*o.config)
	_, missing := os.Stat(*o.config)
	if err != nil && (c.Flags().Changed("config") || !errors.Is(missing, fs.ErrNotExist)) && (o.sku == "" || o.product == "") {
		return nil, err
	}
	if err != nil && o.sku == "" {
		fmt.Fprintln(c.ErrOrStderr(), "meterlog: there is no configuration: the records keep their SKUs")
	}
	named := make(map[string]*rules.Rule)
	if err == nil {
		for _, r := range loaded.Rules {
			named[r.Name] = r
		}
	}
	return func(r meter.Record, rule string, values []string) (productID, sku string) {
		productID, sku = r.ProductID, r.SKU
		now := named[rule]
		switch {
		case now == nil:
		case now.Table == nil:
			productID, sku = now.ProductID, now.SKU
		default:
			productID = now.ProductID
			if skus := skusNow(now.Table, values); len(skus) == 1 && skus[0] != "" {
				sku = skus[0]
			} else if o.sku == "" {
				fmt.Fprintf(c.ErrOrStderr(), "meterlog: %s: the table of %s does not tell which SKU it has now: it keeps %s; --sku names another\n", r.UUID, rule, sku)
			}
		}
		return cmp.Or(o.product, productID), cmp.Or(o.sku, sku)
	}, nil
}

// skusNow returns the SKUs that a table has now for values that it had once: ""
// for a value without one.
func skusNow(table *rules.Table, values []string) (skus []string) {
	for _, value := range values {
		if sku := table.SKUOf(value); !slices.Contains(skus, sku) {
			skus = append(skus, sku)
		}
	}
	return skus
}

// ofReason chooses what was refused for the reason and may be queued again
// without asking twice. lacking is whether something was left out.
func (o *retryOptions) ofReason(c *cobra.Command) (uuids []string, lacking bool, err error) {
	refused, err := o.refused(c)
	if err != nil {
		return nil, false, err
	}
	var risky []string
	for _, r := range refused {
		switch {
		case !strings.EqualFold(r.Reason, o.reason):
		case doubtful(r):
			risky = append(risky, r.UUID)
		default:
			uuids = append(uuids, r.UUID)
		}
	}
	if len(risky) > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "meterlog: %s left out, as the API may have it and would bill it twice; name it by uuid if it has not, such as %s\n",
			report.CountRecords(len(risky)), risky[0])
	}
	if len(uuids)+len(risky) == 0 {
		reasons, _ := o.reasons(c)
		hint := "nothing that was refused is left"
		if len(reasons) > 0 {
			hint = "there are " + strings.Join(reasons, ", ")
		}
		return nil, false, fmt.Errorf("meterlog: no record that was refused for %q is left to queue again: %s", o.reason, hint)
	}
	return uuids, len(risky) > 0, nil
}

// ofUUIDs finds the records of whole or shortened uuids.
func (o *retryOptions) ofUUIDs(c *cobra.Command, dir string, args []string) (uuids []string, lacking bool, err error) {
	reader, err := ledger.OpenReader(dir)
	if err != nil {
		return nil, false, err
	}
	defer reader.Close()
	for _, arg := range args {
		r, err := findRecord(c.Context(), reader, arg)
		if usage := (usageError{}); errors.As(err, &usage) {
			return nil, false, err
		} else if err != nil {
			fmt.Fprintln(c.ErrOrStderr(), err)
			lacking = true
			continue
		}
		if slices.Contains(uuids, r.UUID) {
			continue
		}
		uuids = append(uuids, r.UUID)
		if r.State == meter.Refused && doubtful(r) {
			fmt.Fprintf(c.ErrOrStderr(), "meterlog: %s: the API may have it already: then it is billed twice\n", r.UUID)
		}
	}
	return uuids, lacking, nil
}

// doubtful reports whether the API may have stored a refused record anyway.
func doubtful(r meter.Record) bool {
	return r.MaybeStored || strings.EqualFold(r.Reason, "DUPLICATE")
}

// refused returns the refused records that were not queued again.
func (o *retryOptions) refused(c *cobra.Command) (refused []meter.Record, err error) {
	reader, err := openBook(c, o.state)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	err = reader.Records(c.Context(), ledger.Filter{State: []meter.State{meter.Refused}, NotReissued: true}, func(r meter.Record) error {
		refused = append(refused, r)
		return nil
	})
	return refused, err
}

// reasons returns why records were refused that were not queued again.
func (o *retryOptions) reasons(c *cobra.Command) (reasons []string, err error) {
	refused, err := o.refused(c)
	for _, r := range refused {
		if !slices.Contains(reasons, r.Reason) {
			reasons = append(reasons, r.Reason)
		}
	}
	slices.Sort(reasons)
	return reasons, err
}

// shortUUID is the fewest characters of a uuid that name a record.
const shortUUID = 8

// findRecord finds the record of a uuid, or of its beginning.
func findRecord(ctx context.Context, reader *ledger.Reader, uuid string) (meter.Record, error) {
	prefix := strings.ToLower(strings.TrimSpace(uuid))
	if len(prefix) < shortUUID {
		return meter.Record{}, usageError{fmt.Errorf("meterlog: %q: give at least %d characters of the uuid, as `meterlog records` shows it", uuid, shortUUID)}
	}
	var found []meter.Record
	err := reader.Records(ctx, ledger.Filter{UUID: prefix}, func(r meter.Record) error {
		found = append(found, r)
		return nil
	})
	switch {
	case err != nil:
		return meter.Record{}, err
	case len(found) == 0:
		return meter.Record{}, fmt.Errorf("meterlog: %s: no such record in the ledger; `meterlog records` lists them", uuid)
	case len(found) > 1:
		return meter.Record{}, fmt.Errorf("meterlog: %s: %d records begin so; give more of the uuid", uuid, len(found))
	}
	return found[0], nil
}
