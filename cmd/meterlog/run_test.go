package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

const leastConfig = `product_id: f2e4tmlj4qqciunhr7e6
sources: [{path: /nowhere/*.log}]
rules: [{name: a, when: "true", sku_id: dn272e8979uvek5cnuhk}]
`

// An agent that gets a signal while it opens its ledger ends in order, as at
// any other time; --once has not done what it was asked to do.
func TestStopBeforeTheBeginning(t *testing.T) {
	config := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(config, []byte(leastConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	run := func(flags ...string) error {
		root := newRoot()
		root.SetArgs(append([]string{"run", "--config", config, "--state", t.TempDir()}, flags...))
		return root.ExecuteContext(stopped)
	}
	if err := run(); err != nil {
		t.Error(err)
	}
	if err := run("--once"); !errors.Is(err, context.Canceled) {
		t.Errorf("--once: %v", err)
	}
}
