// Package sandbox is a model of the Metering API.
package sandbox

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Config says what a Sandbox knows and how it behaves. The zero value accepts
// any product and SKU and commits no faults.
type Config struct {
	Products map[string][]string // product → SKUs; nil: any
	Now      func() time.Time    // nil: time.Now
	Faults   Faults
	Accepted func(Stored) // called for each record stored, one call at a time
	Log      *slog.Logger // nil: discards
}

// Faults says what goes wrong.
type Faults struct{}

// Stored is a record that the model accepted.
type Stored struct {
	UUID      string    `json:"uuid"`
	ProductID string    `json:"product_id"`
	SKU       string    `json:"sku_id"`
	Quantity  int64     `json:"quantity"`
	Timestamp time.Time `json:"timestamp"`
	At        time.Time `json:"accepted_at"`
}

// Total is what was accepted for one SKU.
type Total struct {
	ProductID string `json:"product_id"`
	SKU       string `json:"sku_id"`
	Records   int    `json:"records"`
	Quantity  int64  `json:"quantity"`
}

// Sandbox is one model of the API with what it has accepted. Its methods may
// be called concurrently.
type Sandbox struct{ cfg Config }

// New returns an empty model.
func New(cfg Config) *Sandbox { return &Sandbox{cfg: cfg} }

// Handler serves the model's endpoints over HTTP, REST and gRPC alike.
func (s *Sandbox) Handler() http.Handler { return http.NotFoundHandler() }

// Transport carries requests to the model within the process, without a network.
func (s *Sandbox) Transport() http.RoundTripper { return nil }

// Serve serves the model on ln until ctx ends.
func (s *Sandbox) Serve(ctx context.Context, ln net.Listener) error { return nil }

// Start serves the model on a free port of 127.0.0.1 until ctx ends. It
// returns the base URL; wait returns when serving has ended, and why.
func (s *Sandbox) Start(ctx context.Context) (url string, wait func() error, err error) {
	return "", nil, nil
}

// Records lists what was accepted, in order of arrival.
func (s *Sandbox) Records() []Stored { return nil }

// Totals sums what was accepted by product and SKU, sorted by these.
func (s *Sandbox) Totals() []Total { return nil }
