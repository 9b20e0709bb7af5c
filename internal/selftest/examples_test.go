package selftest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/config"
)

// The tests of every example must hold.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		conf, err := config.Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(conf.Warnings()) > 0 {
			t.Errorf("%s: %v", file, conf.Warnings())
		}
		if len(conf.Tests) == 0 {
			t.Errorf("%s has no tests", file)
		}
		for _, result := range Run(conf) {
			if !result.OK() {
				t.Errorf("%s:%d: %s: %+v %q", file, result.Pos.Line, result.Name, result.Counts, result.Failures)
			}
		}
	}
}

// Every block of YAML in docs/recipes.md is a configuration except for the product, and its tests
// hold. So are the blocks in the other pages that begin with sources.
func TestRecipes(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range pages {
		for _, block := range yamlBlocks(t, page) {
			switch {
			case strings.HasPrefix(block, "sources:"):
				block = "product_id: p\n" + block
			case strings.HasPrefix(block, "product_id:") && strings.Contains(block, "\ntests:"):
			case filepath.Base(page) == "recipes.md":
				t.Errorf("%s: a block begins neither with sources nor with product_id\n%s", page, block)
				continue
			default:
				continue
			}
			found++
			checkRecipe(t, page, block)
		}
	}
	if found < 22 {
		t.Errorf("only %d recipes were found", found)
	}
}

// yamlBlocks returns the blocks of YAML of a page.
func yamlBlocks(t *testing.T, page string) (blocks []string) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "\n```yaml\n")[1:] {
		block, _, closed := strings.Cut(part, "\n```\n")
		if !closed {
			t.Errorf("%s: a block has no end", page)
		}
		blocks = append(blocks, block+"\n")
	}
	return blocks
}

// checkRecipe checks that a recipe has tests that hold, and no warnings.
func checkRecipe(t *testing.T, page, recipe string) {
	conf, err := config.Parse(filepath.Base(page), []byte(recipe))
	if err != nil {
		t.Errorf("%v\n%s", err, recipe)
		return
	}
	if len(conf.Warnings()) > 0 {
		t.Errorf("%s: %v\n%s", page, conf.Warnings(), recipe)
	}
	if len(conf.Tests) == 0 {
		t.Errorf("%s: no tests in\n%s", page, recipe)
	}
	for _, result := range Run(conf) {
		if !result.OK() {
			t.Errorf("%s: %+v %q\n%s", page, result.Counts, result.Failures, recipe)
		}
	}
}

// Whatever a configuration holds, its tests can be run.
func FuzzRun(f *testing.F) {
	files, _ := filepath.Glob("../../examples/*.yaml")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if conf, err := config.Parse("rules.yaml", []byte(text)); err == nil {
			Run(conf)
		}
	})
}
