package rules

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// Every file of testdata/invalid holds a mistake. What must be said of it
// stands beside it.
func TestInvalid(t *testing.T) {
	t.Setenv(TokenVariable, "")
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil || len(files) < 35 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse("rules.yaml", text)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Errorf("%s: got %v, want problems", file, err)
			continue
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" || strings.Contains(p.Message+p.Hint, "\n") {
				t.Errorf("%s: bad problem %+v", file, p)
			}
		}
		golden := strings.TrimSuffix(file, ".yaml") + ".txt"
		got := problems.Error() + "\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\ngot:\n%s\nwant:\n%s", file, got, want)
		}
	}
}

// The tests of every example must hold.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		config, err := Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(config.Tests) == 0 {
			t.Errorf("%s has no tests", file)
		}
		for _, result := range config.RunTests() {
			if !result.OK || len(result.Errors) > 0 {
				t.Errorf("%s:%d: %s: %+v %q", file, result.Pos.Line, result.Name, result.Counts, result.Errors)
			}
		}
	}
}
