// Package sandbox is a model of the Metering API: what is publicly documented
// of it, over REST and gRPC on one port, with the metadata service and the key
// exchange that issue its tokens, and with faults on request. It serves tests,
// `meterlog sandbox` and `meterlog run --sandbox`.
//
// # Promises
//
// It stores a record exactly where the documentation says the API would, and
// never one of a validate_only request. It keeps account of what a client does
// wrong ([Sandbox.Conflicts], [Sandbox.Violations]), not only of what it
// stores. Faults happen as configured, and, where chance is in them, as the
// seed has it.
//
// # What no document settles
//
// The order of the checks, what becomes of the uuid of a rejected record and
// whether one malformed record fails its whole request are fields of Config:
// a client must do right under each.
//
// # Ownership and concurrency
//
// A Sandbox owns what it has stored, in memory only. Its methods and its
// handler may be called concurrently. New starts nothing.
package sandbox

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Config says what a Sandbox knows and how it behaves. The zero value accepts
// any product and SKU and commits no faults.
type Config struct {
	Products map[string][]string // product → SKUs; nil: any
	Now      func() time.Time    // nil: time.Now
	Skew     time.Duration       // how far the API's clock is ahead of Now
	MaxAge   time.Duration       // how old usage may be; 0: an hour
	Latency  time.Duration       // how long every answer of the write method takes
	Ahead    time.Duration       // how far in the future usage may be

	TokenLife  time.Duration             // 0: 12 hours
	AnyToken   bool                      // tokens that were not issued here are good as well
	Tokens     []string                  // these are good, and never expire
	Keys       map[string]*rsa.PublicKey // key id → key, for the exchange; nil: any well-formed JWT
	InstanceID string                    // what the metadata service says; "": "sandbox"

	TLS *tls.Config // clients of Serve may speak TLS as well as plain text, as Certificate has it; nil: plain text

	// What no document settles.
	DuplicateLast      bool // a record that fails several checks is called DUPLICATE last, not first
	BurnRejected       bool // a uuid is registered before the timestamp is looked at, and then is DUPLICATE
	MalformedFailsAll  bool // a malformed uuid or quantity fails the request with 400, not the record alone
	RefuseUnknownNames bool // unknown request fields are answered 400, not dropped silently

	// AnyClient accepts a client that leaves out what the documentation leaves
	// out: x-client-request-id and a validate_only of false.
	// meterlog itself never does.
	AnyClient bool

	Faults   []Fault
	Seed     uint64       // of the faults' chance
	Accepted func(Stored) // called for each record stored, one call at a time
	Log      *slog.Logger // nil: discards
}

// Stored is a record that the model accepted.
type Stored struct {
	UUID      string    `json:"uuid"`
	ProductID string    `json:"product_id"`
	SKU       string    `json:"sku_id"`
	Quantity  int64     `json:"quantity"`
	Timestamp time.Time `json:"timestamp"`
	At        time.Time `json:"accepted_at"` // by the API's clock
}

// Rejected is a record that the model did not accept.
type Rejected struct {
	UUID         string    `json:"uuid"`
	ProductID    string    `json:"product_id"`
	SKU          string    `json:"sku_id"`
	Quantity     int64     `json:"quantity"`
	Timestamp    time.Time `json:"timestamp"`
	At           time.Time `json:"rejected_at"` // by the API's clock
	Reason       string    `json:"reason"`
	ValidateOnly bool      `json:"validate_only"`
}

// Failure is a request that failed as a whole, with how often that happened.
type Failure struct {
	Status  int       `json:"status"`
	Message string    `json:"message"`
	Count   int       `json:"count"`
	Last    time.Time `json:"last"`
}

// kept is how many rejections and kinds of failures are kept: the latest.
const kept = 1000

// Total is what was accepted for one SKU.
type Total struct {
	ProductID string `json:"product_id"`
	SKU       string `json:"sku_id"`
	Records   int    `json:"records"`
	Quantity  int64  `json:"quantity"`
}

// Stats counts requests to the write method.
type Stats struct {
	Requests     int `json:"requests"`      // all of them
	Writes       int `json:"writes"`        // that were read and were not validate_only
	ValidateOnly int `json:"validate_only"` // that were read and were
	Unauthorized int `json:"unauthorized"`  // without a valid token
	LargestBatch int `json:"largest_batch"` // records of one request
	Faults       int `json:"faults"`        // faults committed
	AtATime      int `json:"at_a_time"`     // the most requests at the same time
}

// Sandbox is one model of the API with what it has accepted. Its methods may
// be called concurrently.
type Sandbox struct {
	cfg     Config
	started time.Time

	mu         sync.Mutex
	chance     *rand.Rand
	faults     []faultState
	stored     []Stored
	rejected   []Rejected
	failures   []Failure          // in the order of their first time
	seen       map[string]content // by uuid in lower case: the content of the first request
	taken      map[string]bool    // uuids that are DUPLICATE from now on
	requestIDs map[string]bool    // x-client-request-id seen
	repeats    bool               // a fault has made transports send requests again
	tokens     map[string]time.Time
	metadata   string // the token that the metadata service hands out now
	conflicts  []string
	violations []string
	stats      Stats
	present    int // requests to the write method that are under way
}

// content is what must not change under one uuid.
type content struct {
	productID, sku string
	quantity       int64
	timestamp      time.Time
}

// New returns an empty model.
func New(cfg Config) *Sandbox {
	cfg.Now = orFunc(cfg.Now)
	cfg.MaxAge = cmp.Or(cfg.MaxAge, time.Hour)
	cfg.TokenLife = cmp.Or(cfg.TokenLife, 12*time.Hour)
	cfg.InstanceID = cmp.Or(cfg.InstanceID, "sandbox")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s := &Sandbox{
		cfg: cfg, started: cfg.Now(), chance: rand.New(rand.NewPCG(cfg.Seed, 0)),
		seen: map[string]content{}, taken: map[string]bool{}, requestIDs: map[string]bool{}, tokens: map[string]time.Time{},
	}
	s.SetFaults(cfg.Faults...)
	return s
}

func orFunc(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// AddProducts makes more products and SKUs known, unless any are.
func (s *Sandbox) AddProducts(products map[string][]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Products == nil {
		return
	}
	known := maps.Clone(s.cfg.Products)
	for id, skus := range products {
		known[id] = append(slices.Clip(known[id]), skus...)
	}
	s.cfg.Products = known
}

// now returns the time by the API's clock.
func (s *Sandbox) now() time.Time { return s.cfg.Now().Add(s.cfg.Skew) }

// Records lists what was accepted, in order of arrival.
func (s *Sandbox) Records() []Stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stored)
}

// Rejected lists the latest records that were not accepted, in order of arrival.
func (s *Sandbox) Rejected() []Rejected {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rejected)
}

// Failures lists the requests that failed as a whole, by status and message.
func (s *Sandbox) Failures() []Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.failures)
}

// failed notes a request that failed as a whole.
func (s *Sandbox) failed(err *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.failures, func(f Failure) bool { return f.Status == err.status && f.Message == err.message })
	if i < 0 {
		i = len(s.failures)
		s.failures = append(s.failures, Failure{Status: err.status, Message: err.message})
	}
	s.failures[i].Count++
	s.failures[i].Last = s.now().UTC()
	if len(s.failures) > kept {
		s.failures = slices.Delete(s.failures, 0, 1)
	}
}

// Totals sums what was accepted by product and SKU, sorted by these.
func (s *Sandbox) Totals() []Total {
	s.mu.Lock()
	defer s.mu.Unlock()
	type key struct{ product, sku string }
	sums := map[key]*Total{}
	for _, r := range s.stored {
		k := key{r.ProductID, r.SKU}
		if sums[k] == nil {
			sums[k] = &Total{ProductID: r.ProductID, SKU: r.SKU}
		}
		sums[k].Records++
		sums[k].Quantity += r.Quantity
	}
	totals := make([]Total, 0, len(sums))
	for _, t := range sums {
		totals = append(totals, *t)
	}
	slices.SortFunc(totals, func(a, b Total) int {
		return cmp.Or(cmp.Compare(a.ProductID, b.ProductID), cmp.Compare(a.SKU, b.SKU))
	})
	return totals
}

// Conflicts returns every uuid that came again with another content, in any request.
// A client that never changes a record causes none of them.
func (s *Sandbox) Conflicts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.conflicts)
}

// Violations returns what else in the requests was wrong, such as too large a batch,
// an unknown field or a missing validate_only. An expired token does not count; see
// Stats for their number.
func (s *Sandbox) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// Stats returns the numbers of requests.
func (s *Sandbox) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Revoke makes every earlier token invalid.
func (s *Sandbox) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
	s.metadata = ""
}

// violation notes one. s.mu is held.
func (s *Sandbox) violation(text string) {
	if len(s.violations) < 1000 {
		s.violations = append(s.violations, text)
	}
	s.cfg.Log.LogAttrs(context.Background(), slog.LevelWarn, "a client did wrong", slog.String("what", text))
}
