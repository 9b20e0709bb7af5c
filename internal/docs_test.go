package internal_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]") // of a heading, in its anchor
	place   = regexp.MustCompile("`((?:internal|cmd|test|docs|packaging|tools|examples|\\.ci|\\.github)/[\\w./-]+)`")
)

// TestLinks checks that each link between the pages leads to a file and, if it
// names one, to a heading. The packages keep the pages in the same places.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			to, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(to, "://") {
				continue
			}
			target := filepath.Join(filepath.Dir(page), to)
			if to == "" {
				target = page
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", page, match[1])
				continue
			}
			if anchor != "" && !anchors(t, target)[anchor] {
				t.Errorf("%s: %s has no heading #%s", page, to, anchor)
			}
		}
	}
}

// pages returns the names of all pages.
func pages(t *testing.T) []string {
	root, err := filepath.Glob("../*.md")
	docs, err2 := filepath.Glob("../docs/*.md")
	if err != nil || err2 != nil || len(root) < 4 || len(docs) < 8 {
		t.Fatal(root, docs, err, err2)
	}
	return append(root, docs...)
}

// TestPlaces checks that each file and folder of the sources that a page names
// is there.
func TestPlaces(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range place.FindAllStringSubmatch(string(text), -1) {
			found++
			if _, err := os.Stat(filepath.Join("..", match[1])); err != nil {
				t.Errorf("%s: there is no %s", page, match[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d places were found", found)
	}
}

var designRow = regexp.MustCompile("(?m)^\\| `((?:internal|cmd)/[\\w/]+)` \\| .+ \\| (.+) \\|$")

// TestPackagesOfTheDesign checks that the table of the design has every package of
// the layers, with what it may import: the packages named, and what they import.
func TestPackagesOfTheDesign(t *testing.T) {
	design, err := os.ReadFile("../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	for _, row := range designRow.FindAllStringSubmatch(string(design), -1) {
		rows[row[1]] = row[2]
	}
	for name, allowed := range layers {
		text, listed := rows[name]
		switch {
		case !listed && strings.Count(name, "/") == 1:
			t.Errorf("docs/design.md does not list %s", name)
		case listed:
			named := make(map[string]bool)
			for _, word := range regexp.MustCompile(`\w+`).FindAllString(text, -1) {
				if below := "internal/" + word; layers[below] != nil {
					named[below] = true
					for _, further := range layers[below] {
						named[further] = true
					}
				}
			}
			got := slices.Sorted(maps.Keys(named))
			want := slices.Sorted(slices.Values(allowed))
			if !slices.Equal(got, want) {
				t.Errorf("docs/design.md says that %s may import %q, which is %q; the layers say %q", name, text, got, want)
			}
		}
	}
}

// TestIndex checks that the index names every page.
func TestIndex(t *testing.T) {
	index, err := os.ReadFile("../docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages(t) {
		name := filepath.Base(page)
		if name == "CHANGELOG.md" || name == "README.md" {
			continue
		}
		if !strings.Contains(string(index), "["+name+"](") {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}
}

var (
	code    = regexp.MustCompile(`(?m)(?:Code:\s*|\.problem\(|^const \w+ = |^\t\w+\s+= )"([a-z]+(?:_[a-z]+)+)"|(?:AnomalyKind|State) += "([a-z_]+)"`)
	noCodes = map[string]string{
		"key_secret": "the ledger's name of a value",
		"repeated":   "a count of `status`, and no problem",
		"open":       "a record that waits for its window",
		"sealed":     "a record that waits for its answer",
		"accepted":   "a record that is billed",
	}
)

// TestProblemCodes checks that the page of operations has a row for each problem
// code of the sources, and for no other, with its meaning and what to do.
func TestProblemCodes(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, problems, _ := strings.Cut(string(text), "\n## Problems\n")
	problems, _, _ = strings.Cut(problems, "\n## ")
	rows := make(map[string]bool)
	for line := range strings.Lines(problems) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cells) != 3 || len(strings.TrimSpace(cells[1])) < 20 || len(strings.TrimSpace(cells[2])) < 10 {
			t.Errorf("docs/operations.md does not say what a code means and what to do: %s", line)
		}
		rows[strings.Trim(cells[0], " `")] = true
	}
	codes := make(map[string]bool)
	for _, folder := range []string{"meter", "tailer", "agent", "monitor", "silence", "ledger", "../cmd/meterlog"} {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || file == "meter/generation.go" { // the states of files
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range code.FindAllStringSubmatch(string(source), -1) {
				name := match[1] + match[2]
				if noCodes[name] == "" {
					codes[name] = true
				}
				if noCodes[name] == "" && !rows[name] {
					t.Errorf("docs/operations.md has no row for %s, of %s", name, file)
				}
			}
		}
	}
	for row := range rows {
		if !codes[row] {
			t.Errorf("docs/operations.md has a row for %s, which no source names", row)
		}
	}
}

// TestKeys checks that the page of rules, or that of the journal, has a row for each
// key of the configuration.
func TestKeys(t *testing.T) {
	text, err := os.ReadFile("../docs/rules.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, name := range []string{"../docs/rules.md", "../docs/journal.md"} {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(page)) {
			if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) > 2 {
				rows = append(rows, cells[1])
			}
		}
	}
	keys := make(map[string]bool)
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			properties, _ := node["properties"].(map[string]any)
			for key := range properties {
				keys[key] = true
			}
			for _, below := range node {
				walk(below)
			}
		case []any:
			for _, below := range node {
				walk(below)
			}
		}
	}
	walk(schema)
	if len(keys) < 50 {
		t.Errorf("only %d keys were found", len(keys))
	}
	for key := range keys {
		if key == "by" || key == "map" || key == "else" { // in the row of sku_id
			continue
		}
		if !slices.ContainsFunc(rows, func(cell string) bool { return strings.Contains(cell, "`"+key+"`") }) {
			t.Errorf("no row of docs/rules.md is for %s", key)
		}
	}
}

// TestHealthCodes checks that the page of operations names the problems that
// /healthz answers 503 for. Without an agent or a configuration it answers nothing.
func TestHealthCodes(t *testing.T) {
	source, err := os.ReadFile("monitor/serve.go")
	text, err2 := os.ReadFile("../docs/operations.md")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	list := regexp.MustCompile(`var healthCodes = \[\]string\{(.*)\}`).FindSubmatch(source)
	_, section, found := strings.Cut(string(text), "\n### Nothing is counted or delivered\n")
	if list == nil || !found {
		t.Fatal("the list of codes or its section is gone")
	}
	section, _, _ = strings.Cut(section, "\n### ")
	want := strings.Split(strings.ReplaceAll(string(list[1]), `"`, ""), ", ")
	var got []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(section, -1) {
		if row[1] != "not_running" && row[1] != "config_invalid" {
			got = append(got, row[1])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the page has %q, /healthz %q", got, want)
	}
}

// anchors returns the anchors of a page's headings.
func anchors(t *testing.T, page string) map[string]bool {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, match := range heading.FindAllStringSubmatch(string(text), -1) {
		name := dropped.ReplaceAllString(strings.ToLower(match[1]), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}
