package rules_test

import (
	"math/rand/v2"
	"strings"
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

// A line without its prefix and without a rule's text is not reported.
func TestWithoutSearchAndPrefix(t *testing.T) {
	c := parse(t, `
product_id: p
sources: [{name: s, path: /s, format: json, prefix: '^> '}]
rules: [{name: a, when: fields.n > 0, sku_id: s}]
`)
	m := rules.NewMatcher(&c.Set)
	m.SearchNever()
	var tally meter.Tally
	data := "> {\"n\":1}\nno prefix\nno prefix n=1\n"
	m.Match(meter.Block{Generation: 1, Sources: []string{"s"}, Data: []byte(data), ReadAt: readAt}, &tally)
	a := tally.Anomalies[meter.AnomalyKey{Kind: meter.NotParsed, Subject: "s"}]
	if len(tally.Counts) != 1 || a == nil || a.Count != 1 {
		t.Errorf("want one count and one line not parsed: %s", tallyText(&tally))
	}
}

// A matcher whose search finds most lines for most rules does without it, and
// tries it again later.
func TestSearchThatFindsMostLines(t *testing.T) {
	c := parse(t, `
product_id: p
sources: [{name: s, path: /s, format: json}]
rules:
  - {name: a, when: fields.n > 0, sku_id: s}
  - {name: b, when: fields.m > 0, sku_id: s}
`)
	m := rules.NewMatcher(&c.Set)
	read := func(line string) (direct bool) {
		var tally meter.Tally
		m.Match(meter.Block{Generation: 1, Sources: []string{"s"}, Data: []byte(strings.Repeat(line+"\n", 100)), ReadAt: readAt}, &tally)
		return m.Direct("s") > 0
	}
	for _, line := range []string{`{"k":1}`, `{"n":1}`, `{"m":1}`} { // for no rule, or for one of two
		if read(line) {
			t.Errorf("after %s the next block is read without the search", line)
		}
	}
	if !read(`{"n":1,"m":1}`) {
		t.Error("after lines for both rules the next block is still searched")
	}
	blocks := 1
	for read(`{"k":1}`) {
		if blocks++; blocks > 100 {
			t.Fatal("the search is never tried again")
		}
	}
}
