package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/sandbox"
)

// settle waits until the API has all that was written, and says what differs
// when it has stopped coming nearer.
func settle(ctx context.Context, model *sandbox.Sandbox, writers []*writer) error {
	want := map[string]int64{}
	for _, w := range writers {
		want["sku-"+w.name] += w.events
		want["sku-bytes"] += w.bytes
	}
	want["sku-bytes"] /= perUnit
	deadline := time.Now().Add(*patience)
	for {
		got := map[string]int64{}
		for _, t := range model.Totals() {
			got[t.SKU] = t.Quantity
		}
		difference := ""
		for sku, n := range want {
			if got[sku] != n {
				difference += fmt.Sprintf("\n  %s: wrote %d, accepted %d (%+d)", sku, n, got[sku], got[sku]-n)
			}
		}
		over := false
		for sku, n := range got {
			over = over || n > want[sku]
		}
		if problems := append(model.Conflicts(), model.Violations()...); len(problems) > 0 {
			return errors.New("the API was misused:\n  " + strings.Join(problems, "\n  "))
		}
		if difference == "" {
			return nil
		}
		if over || time.Now().After(deadline) || ctx.Err() != nil {
			return errors.New("the sums differ:" + difference)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
