package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/tailer"
)

// latency measures the time from before the write of a line until the matcher has
// counted it. Nobody outside sees that count, so this process runs the agent's own
// tailer and matcher, woken by the system's notifications.
func latency(r *report) error {
	const lines = 400
	dir, err := os.MkdirTemp("", "meterlog-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app.log")
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	config, err := config.Parse("rules.yaml", []byte(configuration(path, "format: text", []rule{{when: `line contains "email sent"`, sku: "sku-mail"}})))
	if err != nil {
		return err
	}
	t := tailer.New(tailer.Config{Sources: []tailer.Source{{Name: "log", Paths: []string{path}}}})
	defer t.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	counted := make(chan time.Time)
	go func() {
		matcher := rules.NewMatcher(&config.Set)
		var tally meter.Tally
		for ctx.Err() == nil {
			for block, ok := t.Next(time.Now()); ok; block, ok = t.Next(time.Now()) {
				matcher.Match(block, &tally)
				if len(tally.Counts) > 0 {
					tally.Reset()
					counted <- time.Now()
				}
			}
			t.Wait(ctx, time.Now().Add(time.Second))
		}
		close(counted)
	}()
	time.Sleep(time.Second)
	var took []time.Duration
	for range lines {
		began := time.Now()
		if _, err := log.WriteString("email sent\n"); err != nil {
			return err
		}
		took = append(took, (<-counted).Sub(began))
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	for range counted { // until it has ended
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	fmt.Fprintf(r, "## From append to counted\n\n%d lines, one every 50 ms, measured in one process with the agent's tailer and\nmatcher: from before the write until the line is counted in memory. The commit\nfollows within a second.\n\n| median ms | 95 %% ms | longest ms |\n|---|---|---|\n| %.2f | %.2f | %.2f |\n\n",
		lines, ms(took[lines/2]), ms(took[lines*95/100]), ms(took[lines-1]))
	r.aimed("append to counted, median", ms(took[lines/2]), 5, false, " ms")
	return nil
}
