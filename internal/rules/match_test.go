package rules_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

var update = flag.Bool("update", false, "write the golden files")

// readAt is when the logs of testdata/match are read.
var readAt = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)

// Every case of testdata/match is rules, a log, and what they come to. In the
// log, « and » frame a Go escape: «\r».
func TestMatch(t *testing.T) {
	files, err := filepath.Glob("testdata/match/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text := sections(t, file)
			c, err := config.Parse("rules.yaml", []byte(text["rules.yaml"]))
			if err != nil {
				t.Fatal(err)
			}
			block := meter.Block{Generation: 1, Path: "/var/log/app.log", Start: 1000, Data: unframe([]byte(text["log"])), ReadAt: readAt}
			for _, s := range c.Sources {
				block.Sources = append(block.Sources, s.Name)
			}
			var tally meter.Tally
			rules.NewMatcher(&c.Set).Match(block, &tally)
			countWaiting(c, &tally)
			got := tallyText(&tally)
			if *update {
				head, _, _ := strings.Cut(text["all"], "-- tally --\n")
				if err := os.WriteFile(file, []byte(head+"-- tally --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := text["tally"]; got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if hits := hitsTally(c, block); tallyText(hits) != got {
				t.Errorf("Each comes to:\n%s\nand Match to:\n%s", tallyText(hits), got)
			}
		})
	}
}

// sections are the parts of a txtar file by name, and the whole under "all".
func sections(t *testing.T, file string) map[string]string {
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{"all": string(all)}
	name := "comment"
	for line := range strings.Lines(string(all)) {
		if marker, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(marker, " --\n") {
			name = strings.TrimSuffix(marker, " --\n")
			parts[name] = ""
			continue
		}
		parts[name] += line
	}
	return parts
}

// hitsTally is the tally that Each comes to.
func hitsTally(c *config.Config, block meter.Block) *meter.Tally {
	var tally meter.Tally
	m := rules.NewMatcher(&c.Set)
	m.Unparsed = func(u rules.Unparsed) { rules.CountUnparsed(&tally, u) }
	m.Each(block, func(h rules.Hit) {
		if !bytes.Equal(h.Line, rules.TrimLineEnd(block.Data[h.Start-block.Start:h.End-block.Start])) {
			panic(fmt.Sprintf("hit %+v is not its line", h))
		}
		rules.Count(&tally, block.Generation, &h)
	})
	countWaiting(c, &tally)
	return &tally
}

// countWaiting counts what waits for the ledger: first lines of keys, and the largest lines
// of stretches.
func countWaiting(c *config.Config, tally *meter.Tally) {
	tally.ResolveWith(new(meter.Keys))
	tally.ClosePeaks(c.Interval)
}

func unframe(log []byte) []byte {
	var out []byte
	for {
		before, rest, found := bytes.Cut(log, []byte("«"))
		out = append(out, before...)
		if !found {
			return out
		}
		framed, after, _ := bytes.Cut(rest, []byte("»"))
		for len(framed) > 0 {
			switch {
			case framed[0] == '\n': // joins lines of the case
				framed = framed[1:]
			case bytes.HasPrefix(framed, []byte(`\r`)):
				out, framed = append(out, '\r'), framed[2:]
			case bytes.HasPrefix(framed, []byte(`\0`)):
				out, framed = append(out, 0), framed[2:]
			case bytes.HasPrefix(framed, []byte(`\xff`)):
				out, framed = append(out, 0xff), framed[4:]
			default:
				panic("unknown escape " + string(framed))
			}
		}
		log = after
	}
}

// tallyText shows a tally, one count or anomaly a line.
func tallyText(t *meter.Tally) string {
	var lines []string
	for key, c := range t.Counts {
		name := key.Rule.Name
		if key.Rule.Values != nil {
			name += " of " + key.Rule.SKU
		}
		lines = append(lines, fmt.Sprintf("%s %s: %d in %d lines at %d-%d\n", name,
			key.Window.StartTime().Format("2006-01-02T15:04:05"), c.Amount, c.Lines, c.Start, c.End))
	}
	for key, a := range t.Anomalies {
		lines = append(lines, fmt.Sprintf("%s %s: %d, %d bytes: %s\n", key.Kind, key.Subject, a.Count, a.Bytes, a.Example))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
