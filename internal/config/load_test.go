package config

import (
	"errors"
	"flag"
	"fmt"
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

// A file of mistakes alone is told of within reason.
func TestManyMistakes(t *testing.T) {
	text := "product_id: p\n"
	for i := range 5000 {
		text += fmt.Sprintf("key%d: 1\n", i)
	}
	_, err := Parse("rules.yaml", []byte(text))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != maxProblems+1 {
		t.Fatalf("%d problems", len(problems))
	}
	if last := problems[maxProblems].String(); last != "rules.yaml: and 4802 more mistakes" {
		t.Error(last)
	}
}
