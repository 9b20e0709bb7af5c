package trial

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/tailer"
	"github.com/meterlog/meterlog/test/hostile"
)

// counted notes what rules count, and which lines are not of their format.
type counted []string

func (c *counted) use(m *rules.Matcher, b meter.Block) {
	m.Unparsed = func(u rules.Unparsed) { *c = append(*c, fmt.Sprintf("unparsed %s %q", u.Source, u.Line)) }
	m.Each(b, func(h rules.Hit) {
		*c = append(*c, fmt.Sprintf("%s %d %q %v", h.Rule.Name, h.Quantity, h.Line, h.Err))
	})
}

// byRun reads a file as `meterlog run` does, and, from what it read, as
// `meterlog explain` does.
func byRun(t *testing.T, c *config.Config, path string) (run, explained counted) {
	t.Helper()
	follow := tailer.New(tailer.Config{Sources: monitor.Sources(c), NoWatch: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	defer follow.Close()
	m := rules.NewMatcher(&c.Set)
	for {
		block, ok := follow.Next(time.Now())
		if !ok {
			break
		}
		run.use(m, block)
	}
	generations, _, _ := follow.Take(new(meter.Tally))
	for _, g := range generations {
		content, err := logfile.OS.Find(g)
		if err != nil {
			t.Fatal(err)
		}
		err = content.Lines(0, g.Offset, func(offset int64, line []byte) error {
			explained.use(m, meter.Block{Path: g.Path, Sources: c.SourcesOf(g.Path), Start: offset, Data: line, ReadAt: time.Now()})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		content.Close()
	}
	return run, explained
}

// byTest reads a file as `meterlog test` does.
func byTest(t *testing.T, c *config.Config, path string) (tested counted) {
	t.Helper()
	m := rules.NewMatcher(&c.Set)
	trial := &trial{options: &Options{Summary: true}, matcher: m, tally: newTrialTally(c), print: newMatchPrinter(io.Discard, false)}
	in := &input{name: path, path: path, sources: c.SourcesOf(path)}
	lines, err := in.open(t.Context(), trial)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.close()
	for {
		data, skipped, err := lines.next()
		switch {
		case err == io.EOF:
			return tested
		case err != nil:
			t.Fatal(err)
		case skipped == 0:
			tested.use(m, in.block(lines.at, data, time.Now()))
		}
	}
}

// What `meterlog test` and `meterlog explain` read of a file is what `meterlog
// run` reads, line for line.
func TestTestReadsAsRunDoes(t *testing.T) {
	for seed := range uint64(400) {
		h := hostile.New(seed)
		dir := t.TempDir()
		path := filepath.Join(dir, "app.log")
		text := append(h.Log(time.Now()), '\n')
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		configuration := fmt.Appendf(nil, "product_id: p\nsources: [%s]\nrules:\n%s", h.Sources(dir+"/*.log"), h.Rules())
		c, err := config.Parse("rules.yaml", configuration)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, configuration)
		}
		run, explained := byRun(t, c, path)
		tested := byTest(t, c, path)
		if !slices.Equal(run, tested) || !slices.Equal(run, explained) {
			t.Fatalf("seed %d, %s, %.300q:\nrun       %.600q\ntest      %.600q\nexplained %.600q", seed, configuration, text, run, tested, explained)
		}
	}
}
