package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/tailer"
)

// hostileFile writes a log of whole lines as broken machines and strangers leave
// them.
func hostileFile(random *rand.Rand) []byte {
	pieces := []string{
		`{"event":"sent","n":1}`, `{"event":"sent","n":20}`, "\x00", "\x00\x00", strings.Repeat("\x00", 700), "\ufeff", "\r", " ", "\xff\xfe", "{",
		`pod F {"event":"sent","n":300}`, "\n", "\n", "\n\n", "\r\n", "\x1b[31m", "x\x00\x00y", `{"event":"sent","n":4000}{"event":"sent","n":4000}`,
	}
	var text bytes.Buffer
	for range random.IntN(30) {
		switch random.IntN(60) {
		case 0:
			text.WriteString(strings.Repeat("long", meter.MaxLine/4-20+random.IntN(12)))
		case 1:
			text.WriteString(strings.Repeat("\x00", 300<<10))
		default:
			text.WriteString(pieces[random.IntN(len(pieces))])
		}
	}
	text.WriteString("\n")
	return text.Bytes()
}

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
	sources := []tailer.Source{{Name: c.Sources[0].Name, Paths: c.Sources[0].Paths}}
	follow := tailer.New(tailer.Config{Sources: sources, NoWatch: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
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
			explained.use(m, meter.Block{Path: g.Path, Sources: []string{c.Sources[0].Name}, Start: offset, Data: line, ReadAt: time.Now()})
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
	trial := &trial{options: &testOptions{summary: true}, matcher: m, tally: newTrialTally(c), print: newMatchPrinter(io.Discard, &testOptions{})}
	in := &input{name: path, path: path, sources: []string{c.Sources[0].Name}}
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
		random := rand.New(rand.NewPCG(seed, 3))
		dir := t.TempDir()
		path := filepath.Join(dir, "app.log")
		text := hostileFile(random)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		source := []string{"format: json", "format: json, prefix: 'pod [FP] '", "format: text", `format: regexp, pattern: '^\{"event":"(?P<event>\w+)","n":(?P<n>\d+)\}$'`}[seed%4]
		c, err := config.Parse("rules.yaml", fmt.Appendf(nil, `
product_id: p
sources: [{name: app, path: %s/*.log, %s}]
rules:
  - {name: n, sku_id: s, when: 'line contains "sent"'%s}
  - {name: all, sku_id: s, when: 'line startsWith "{" or line == "x"'}
`, dir, source, map[bool]string{true: ", quantity: fields.n", false: ""}[seed%4 != 2]))
		if err != nil {
			t.Fatal(err)
		}
		run, explained := byRun(t, c, path)
		tested := byTest(t, c, path)
		if !slices.Equal(run, tested) || !slices.Equal(run, explained) {
			t.Fatalf("seed %d, %s, %.300q:\nrun       %.600q\ntest      %.600q\nexplained %.600q", seed, source, text, run, tested, explained)
		}
	}
}
