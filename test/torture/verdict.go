package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/sandbox"
)

// settle waits until the API has everything that was written, and returns what
// differs when the patience is over. The sums must stay right for a while:
// what is billed twice may come late.
func settle(ctx context.Context, model *sandbox.Sandbox, writers []*writer) error {
	want := map[string]int64{}
	for _, w := range writers {
		want["sku-"+w.name] += w.events
		want["sku-bytes"] += w.bytes
	}
	want["sku-bytes"] /= perUnit
	deadline := time.Now().Add(*patience)
	var rightSince time.Time
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
		switch {
		case difference != "":
			rightSince = time.Time{}
		case rightSince.IsZero():
			rightSince = time.Now()
		case time.Since(rightSince) > *calm:
			return nil
		}
		if over || difference != "" && time.Now().After(deadline) || ctx.Err() != nil {
			return errors.New("the sums differ:" + difference)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
