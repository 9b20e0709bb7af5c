package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Each file of testdata/mistakes holds cases of three parts, with --- between
// them: what somebody wrote, the message about it, and the same with what the
// message says to write. The last must be without mistakes and warnings: a
// message leads to success when it is followed to the letter.
func TestMistakes(t *testing.T) {
	t.Setenv(TokenVariable, "")
	files, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	cases := 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range archive.Files {
			cases++
			parts := strings.Split(string(f.Data), "---\n")
			if len(parts) != 3 {
				t.Fatalf("%s: %s: %d parts", file, f.Name, len(parts))
			}
			got := said(file, parts[0])
			if got == "" {
				t.Errorf("%s: %s: there is no message", file, f.Name)
			}
			if corrected := said(file, parts[2]); corrected != "" {
				t.Errorf("%s: %s: what the message says to write is not right:\n%s", file, f.Name, corrected)
			}
			if *update {
				archive.Files[i].Data = []byte(parts[0] + "---\n" + got + "---\n" + parts[2])
			} else if got != parts[1] {
				t.Errorf("%s: %s: got\n%swant\n%s", file, f.Name, got, parts[1])
			}
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if cases < 100 {
		t.Errorf("only %d cases", cases)
	}
}

// said returns the message about a part: a whole configuration, which begins with
// its product or is in files.txtar, or else the keys of a rule. Places are counted from the part's beginning.
func said(file, part string) string {
	text, first := part, 1
	if base := filepath.Base(file); base != "files.txtar" && !strings.HasPrefix(part, "product_id:") {
		head := "product_id: p\nsources: [{name: app, path: /log/app.log, format: " + strings.TrimSuffix(base, ".txtar") + "}]\nrules:\n  - name: r\n    sku_id: s\n"
		if !strings.Contains(part, "when:") {
			head += "    when: fields.event == \"sent\"\n"
		}
		first = strings.Count(head, "\n") + 1
		for line := range strings.Lines(part) {
			head += "    " + line
		}
		text = head
	}
	conf, err := Parse("", []byte(text))
	var problems Problems
	if err == nil {
		problems = conf.Warnings()
	} else if !errors.As(err, &problems) {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, p := range problems {
		if p.Line >= first && first > 1 {
			p.Line, p.Column = p.Line-first+1, p.Column-4
		}
		p.Excerpt = ""
		if err == nil {
			b.WriteString("warning ")
		}
		b.WriteString(strings.TrimPrefix(p.String(), ":") + "\n")
	}
	return b.String()
}
