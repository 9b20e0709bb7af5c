package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/screen"
	"github.com/meterlog/meterlog/internal/sender"
)

// onlineCheck asks the API whether it would take what the rules bill. It never
// sends a request without validate_only.
type onlineCheck struct {
	config *config.Config
	out    io.Writer
	tokens sender.TokenSource
	sender *sender.Sender
	failed bool // something was not accepted

	products []productSKUs
	rules    map[productSKU][]*rules.Rule // that bill a SKU
}

type productSKU struct{ product, sku string }

// productSKUs is a product with the SKUs that the rules bill of it.
type productSKUs struct {
	product string
	skus    []string
}

// skusInTime is how many SKUs are checked within delivery.timeout. More
// of them get more time.
const skusInTime = 1000

// checkOnline prints one line for each thing that must be right, with what to
// do where it is not, and reports whether all are. It takes no longer than one
// delivery may, for each thousand SKUs. An error is one of the configuration.
func (asked Options) checkOnline(ctx context.Context, out io.Writer, config *config.Config) (ok bool, err error) {
	log := slog.New(slog.NewTextHandler(asked.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := &onlineCheck{config: config, out: out}
	if o.tokens, err = asked.Tokens(config, log); err != nil {
		return false, fmt.Errorf("%w: auth: %w", errConfig, err)
	}
	o.sender, err = sender.New(sender.Config{
		Endpoint: config.Delivery.Endpoint, Transport: config.Delivery.Transport, Timeout: config.Delivery.Timeout,
		ValidateOnly: true, CAFile: config.Delivery.CAFile, UserAgent: "meterlog/" + asked.Version, Tokens: o.tokens, Log: log,
	})
	if err != nil {
		return false, fmt.Errorf("%w: delivery: %w", errConfig, err)
	}
	defer o.sender.Close()
	o.findSKUs()
	limit := config.Delivery.Timeout * time.Duration(1+len(o.rules)/skusInTime)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	fmt.Fprintln(out, "\nonline, with validate_only: nothing is billed")
	o.run(ctx)
	return !o.failed, nil
}

// say prints a line about one thing.
func (o *onlineCheck) say(what, format string, args ...any) {
	fmt.Fprintf(o.out, "  %-8s  %s\n", what, screen.Visible(fmt.Sprintf(format, args...)))
}

// wrong says what is not accepted, and what to do.
func (o *onlineCheck) wrong(what, format string, args ...any) {
	o.failed = true
	o.say(what, "NOT accepted: "+format, args...)
}

func (o *onlineCheck) run(ctx context.Context) {
	if _, err := o.tokens.Token(ctx); err != nil {
		o.failed = true
		o.say("token", "none: %v%s", err, o.tokenAdvice(err))
		return
	}
	o.say("token", "ok, by auth.method: %s", o.config.Auth.Method)
	answers := o.ask(ctx, 0)
	if skew := o.sender.Skew(); skew != 0 && slices.ContainsFunc(answers, func(a answer) bool { return a.err == nil && slices.ContainsFunc(a.skus, ofTime) }) {
		answers = o.ask(ctx, skew)
	}
	o.sayClock()
	if slices.ContainsFunc(answers, func(a answer) bool { return a.err == nil }) {
		o.say("API", "ok: %s over %s", o.config.Delivery.Endpoint, o.config.Delivery.Transport)
		o.say("role", "ok")
	}
	for _, a := range answers {
		if a.err != nil {
			o.explain(a)
			continue
		}
		o.sayProduct(a)
		o.saySKUs(a)
	}
}

// answer is what the API says of a product and its SKUs.
type answer struct {
	product string
	skus    []asked
	err     error // why a request with the product failed
}

// asked is an SKU with what the API says of it.
type asked struct {
	sku string
	meter.Result
}

// ofTime reports whether a record was refused for its timestamp.
func ofTime(a asked) bool {
	return a.Reason == "INVALID_TIMESTAMP" || a.State == meter.Expired
}

// ask validates a unit of each SKU of each product, in the minute before by the
// API's clock as far as it is known. After a request that fails for another
// cause than its product, it asks nothing more.
func (o *onlineCheck) ask(ctx context.Context, skew time.Duration) (answers []answer) {
	window := meter.WindowAt(time.Now().Add(skew-time.Minute), time.Minute)
	for _, p := range o.products {
		a := answer{product: p.product}
		for batch := range slices.Chunk(p.skus, meter.MaxRecords) {
			var records []meter.Record
			for _, sku := range batch {
				records = append(records, meter.Record{UUID: uuid.NewString(), ProductID: p.product, SKU: sku, Quantity: 1, Window: window, Timestamp: window.StartTime(), State: meter.Sealed})
			}
			results, err := o.sender.Validate(ctx, records)
			for i, r := range results {
				a.skus = append(a.skus, asked{batch[i], r})
			}
			if a.err = err; err != nil {
				break
			}
		}
		answers = append(answers, a)
		if a.err != nil && !ofRequest(a.err) {
			break
		}
	}
	return answers
}

// ofRequest reports whether the API may take requests with another product.
func ofRequest(err error) bool {
	var refusal *sender.Error
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}

// findSKUs notes what the rules bill, in their order.
func (o *onlineCheck) findSKUs() {
	o.rules = make(map[productSKU][]*rules.Rule)
	at := make(map[string]int)
	for _, r := range o.config.Rules {
		for _, b := range r.Bills() {
			key := productSKU{b.ProductID, b.SKU}
			if o.rules[key] == nil {
				i, ok := at[b.ProductID]
				if !ok {
					i = len(o.products)
					at[b.ProductID] = i
					o.products = append(o.products, productSKUs{product: b.ProductID})
				}
				o.products[i].skus = append(o.products[i].skus, b.SKU)
			}
			o.rules[key] = append(o.rules[key], r)
		}
	}
}

func (o *onlineCheck) sayClock() {
	if skew := o.sender.Skew().Round(time.Second); skew > 0 {
		o.say("clock", "%v behind the API's: set it, or see why its synchronisation fails (timedatectl)", skew)
	} else if skew < 0 {
		o.say("clock", "%v ahead of the API's: set it, or see why its synchronisation fails (timedatectl)", -skew)
	}
}

// explain says why a request failed.
func (o *onlineCheck) explain(a answer) {
	var refusal *sender.Error
	err, of := a.err, ""
	if a.product != o.config.ProductID {
		of = " of product " + a.product
	}
	if !errors.As(err, &refusal) {
		o.wrong("API", "%v", err)
		return
	}
	switch cause := refusal.Err; {
	case errors.Is(err, sender.ErrNoToken):
		o.wrong("token", "%v%s", cause, o.tokenAdvice(cause))
	case refusal.Status == 0:
		o.failed = true
		o.say("API", "NOT reached: %v: %s", cause, sender.ReachHint(cause, o.config.Delivery.Endpoint))
	case refusal.Status == http.StatusUnauthorized:
		o.wrong("token", "%v%s", cause, o.tokenAdvice(cause))
	case refusal.Status == http.StatusForbidden:
		o.wrong("role"+of, "%v", cause)
	case refusal.Status == http.StatusBadRequest:
		o.wrong("request"+of, "%v: compare product_id and every sku_id with the partner portal, and see delivery.endpoint", cause)
	case refusal.Kind == sender.NeedsOperator:
		o.wrong("API", "%v: see delivery.endpoint and delivery.transport", cause)
	default:
		o.failed = true
		o.say("API", "has trouble of its own: %v: try again later", cause)
	}
}

func (o *onlineCheck) tokenAdvice(err error) string {
	switch method := o.config.Auth.Method; {
	case sender.Untrusted(err):
		return ": " + sender.TrustHint
	case method == "key":
		return ": see whether the key still exists (yc iam key list) and this machine reaches auth.iam_endpoint"
	case method == "token":
		return ": the token lives 12 hours at most; make a new one (yc iam create-token)"
	}
	return ": see that the VM has a service account and its metadata service is on"
}

func (o *onlineCheck) sayProduct(a answer) {
	if slices.ContainsFunc(a.skus, func(s asked) bool { return strings.Contains(s.Reason, "INVALID_PRODUCT_ID") }) {
		o.wrong("product", "%s: INVALID_PRODUCT_ID: compare product_id with the one of the marketplace's partner portal", a.product)
		return
	}
	o.say("product", "ok: %s", a.product)
}

// saySKUs says what the API answers to each SKU. Those that it takes of a long
// table are one line.
func (o *onlineCheck) saySKUs(a answer) {
	const most = 10
	taken := make(map[*rules.Rule][]string) // by the rule whose table they are of
	for _, s := range a.skus {
		by := o.rules[productSKU{a.product, s.sku}]
		if s.State == meter.Accepted && by[0].Table != nil && len(by[0].Bills()) > most {
			taken[by[0]] = append(taken[by[0]], s.sku)
			continue
		}
		o.saySKU(s, by)
	}
	for _, r := range o.config.Rules {
		if skus := taken[r]; skus != nil {
			o.say("SKU", "ok: %s of rule %s: %s, …", meter.Plural(int64(len(skus)), "SKU"), r.Name, strings.Join(skus[:min(3, len(skus))], ", "))
		}
	}
}

func (o *onlineCheck) saySKU(a asked, by []*rules.Rule) {
	names := make([]string, len(by))
	for i, r := range by {
		names[i] = r.Name
	}
	of := a.sku + " of rule " + strings.Join(names, ", ")
	switch {
	case a.State == meter.Accepted:
		o.say("SKU", "ok: %s", of)
	case strings.Contains(a.Reason, "INVALID_PRODUCT_ID"): // said of the product
	default:
		o.wrong("SKU", "%s: %s%s", of, a.Reason, skuAdvice(a))
	}
}

func skuAdvice(a asked) string {
	switch {
	case strings.Contains(a.Reason, "INVALID_SKU_ID"):
		return ": the product has no such SKU; compare sku_id with the product's SKUs in the partner portal"
	case ofTime(a):
		return ": the clocks differ; see timedatectl"
	case a.State == meter.Sealed:
		return ": try again, and see sku_id and product_id"
	}
	return ""
}
