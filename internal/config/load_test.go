package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files")

// mistake is a case of testdata/invalid: a configuration, and the problems that
// Parse must report.
type mistake struct {
	archive, name, text string
	want                *txtar.File
}

// mistakes returns the cases of testdata/invalid. Each archive holds pairs of
// name.yaml and name.txt. save writes the archives with what want holds now.
func mistakes(t testing.TB) (all []mistake, save func()) {
	files, err := filepath.Glob("testdata/invalid/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	archives := make(map[string]*txtar.Archive)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archives[file] = archive
		for i := 0; i < len(archive.Files); i += 2 {
			name, ok := strings.CutSuffix(archive.Files[i].Name, ".yaml")
			if !ok || i+1 == len(archive.Files) || archive.Files[i+1].Name != name+".txt" {
				t.Fatalf("%s: %s is not followed by what is reported", file, archive.Files[i].Name)
			}
			all = append(all, mistake{file, name, string(archive.Files[i].Data), &archive.Files[i+1]})
		}
	}
	if len(all) < 120 {
		t.Fatalf("only %d mistakes", len(all))
	}
	return all, func() {
		for file, archive := range archives {
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestInvalid checks what Parse reports of each mistake. With -update it writes
// that into the archives.
func TestInvalid(t *testing.T) {
	t.Setenv(TokenVariable, "")
	all, save := mistakes(t)
	for _, m := range all {
		_, err := Parse("rules.yaml", []byte(m.text))
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Errorf("%s: %s: got %v, want problems", m.archive, m.name, err)
			continue
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" || strings.Contains(p.Message+p.Hint, "\n") {
				t.Errorf("%s: %s: bad problem %+v", m.archive, m.name, p)
			}
		}
		got := problems.Error() + "\n"
		if *update {
			m.want.Data = []byte(got)
		} else if got != string(m.want.Data) {
			t.Errorf("%s: %s: got:\n%s\nwant:\n%s", m.archive, m.name, got, m.want.Data)
		}
	}
	if *update {
		save()
	}
}

// A file of mistakes alone gives a list of reasonable length.
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
