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

// The worked examples of docs/rules.md and docs/journal.md are configurations but for the product,
// and their tests hold.
func TestWorkedExamples(t *testing.T) {
	var text []byte
	for _, page := range []string{"rules", "journal"} {
		part, err := os.ReadFile("../../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, '\n'), part...)
	}
	found := 0
	for _, part := range strings.Split(string(text), "\n```yaml\n")[1:] {
		example, _, _ := strings.Cut(part, "\n```\n")
		if !strings.HasPrefix(example, "sources:") {
			continue
		}
		found++
		conf, err := config.Parse("rules.yaml", []byte("product_id: p\n"+example+"\n"))
		if err != nil {
			t.Errorf("%v\n%s", err, example)
			continue
		}
		if len(conf.Warnings()) > 0 {
			t.Errorf("%v\n%s", conf.Warnings(), example)
		}
		if len(conf.Tests) == 0 {
			t.Errorf("no tests in\n%s", example)
		}
		for _, result := range Run(conf) {
			if !result.OK() {
				t.Errorf("%+v %q\n%s", result.Counts, result.Failures, example)
			}
		}
	}
	if found < 11 {
		t.Errorf("only %d worked examples were found", found)
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
