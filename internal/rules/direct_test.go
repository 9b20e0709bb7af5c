package rules_test

import (
	"math/rand/v2"
	"testing"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// Lines count the same with the search and without it, the lines that are not of
// their format too.
func TestWithoutSearch(t *testing.T) {
	alien := 0
	for seed := range uint64(1000) {
		c := chance{rand.New(rand.NewPCG(seed, 3))}
		text := c.config()
		parsed, err := config.Parse("rules.yaml", []byte(text))
		if err != nil {
			continue
		}
		searching, direct := rules.NewMatcher(&parsed.Set), rules.NewMatcher(&parsed.Set)
		direct.SearchNever()
		var want, got meter.Tally
		for range 3 { // blocks
			block := meter.Block{Generation: 1, Path: "/s", Sources: []string{"s"}, Data: c.log(parsed.Sources[0].Format), ReadAt: readAt}
			searching.Match(block, &want)
			direct.Match(block, &got)
			if tallyText(&got) != tallyText(&want) {
				t.Fatalf("seed %d\n%s\n%s\nwithout search:\n%s\nwith it:\n%s", seed, text, block.Data, tallyText(&got), tallyText(&want))
			}
		}
		if a := want.Anomalies[meter.AnomalyKey{Kind: meter.NotParsed, Subject: "s"}]; a != nil {
			alien += int(a.Count)
		}
	}
	if alien < 100 {
		t.Errorf("only %d lines were not of their format: the cases prove little", alien)
	}
}

// A matcher whose search finds most lines does without it, for a while.
func TestSearchThatFindsMostLines(t *testing.T) {
	c := parse(t, `
product_id: p
sources: [{name: s, path: /s, format: json}]
rules: [{name: a, when: fields.n > 0, sku_id: s}]
`)
	m := rules.NewMatcher(&c.Set)
	for i, some := range []struct {
		line   string
		direct bool // whether the next block is read without a search
	}{{`{"m":1}`, false}, {`{"n":1}`, true}, {`{"m":1}`, true}} {
		var tally meter.Tally
		data := ""
		for range 100 {
			data += some.line + "\n"
		}
		m.Match(meter.Block{Generation: 1, Sources: []string{"s"}, Data: []byte(data), ReadAt: readAt}, &tally)
		if got := m.Direct("s") > 0; got != some.direct {
			t.Errorf("after block %d: without search %v, want %v", i, got, some.direct)
		}
	}
}
