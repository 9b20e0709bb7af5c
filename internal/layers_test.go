package internal_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/meterlog/meterlog/"

// layers says which packages of meterlog each may import, itself or through
// others. What is not in it may not be there.
var layers = map[string][]string{
	"internal/meter":               {},
	"internal/fields":              {"internal/meter", "internal/search"},
	"internal/search":              {},
	"internal/glob":                {},
	"internal/remedy":              {},
	"internal/program":             {"internal/fields", "internal/meter", "internal/remedy", "internal/search"},
	"internal/condition":           {"internal/fields", "internal/meter", "internal/program", "internal/remedy", "internal/search"},
	"internal/rules":               {"internal/condition", "internal/fields", "internal/glob", "internal/meter", "internal/program", "internal/remedy", "internal/search"},
	"internal/config":              {"internal/condition", "internal/fields", "internal/glob", "internal/meter", "internal/program", "internal/remedy", "internal/rules", "internal/search"},
	"internal/selftest":            {"internal/condition", "internal/config", "internal/fields", "internal/glob", "internal/meter", "internal/program", "internal/remedy", "internal/rules", "internal/search"},
	"internal/journalctl":          {},
	"internal/journal":             {"internal/fields", "internal/journalctl", "internal/meter", "internal/search"},
	"internal/journal/journaltest": {"internal/journalctl"},
	"internal/logfile":             {"internal/meter"},
	"internal/tailer":              {"internal/glob", "internal/logfile", "internal/meter"},
	"internal/store":               {},
	"internal/page":                {},
	"internal/ledger":              {"internal/meter", "internal/store"},
	"internal/sender":              {"internal/meter"},
	"internal/sandbox":             {"internal/meter", "internal/page"},
	"internal/silence":             {"internal/meter"},
	"internal/pace":                {"internal/meter"},
	"internal/screen":              {},
	"internal/recount": {"internal/condition", "internal/config", "internal/fields", "internal/glob", "internal/journal", "internal/journalctl", "internal/ledger", "internal/logfile", "internal/meter", "internal/program", "internal/remedy", "internal/rules",
		"internal/search", "internal/store", "internal/tailer"},
	"internal/monitor": {"internal/condition", "internal/config", "internal/fields", "internal/glob", "internal/journal", "internal/journalctl", "internal/ledger", "internal/logfile", "internal/meter", "internal/page", "internal/program", "internal/remedy", "internal/rules",
		"internal/search", "internal/silence", "internal/store", "internal/tailer"},
	"internal/trial": {"internal/condition", "internal/config", "internal/fields", "internal/glob", "internal/journal", "internal/journalctl", "internal/logfile", "internal/meter", "internal/program", "internal/remedy", "internal/rules", "internal/screen", "internal/search"},
	"internal/agent": {"internal/condition", "internal/config", "internal/fields", "internal/glob", "internal/journal", "internal/journalctl", "internal/ledger", "internal/logfile", "internal/meter", "internal/monitor", "internal/page",
		"internal/pace", "internal/program", "internal/remedy", "internal/rules", "internal/search", "internal/sender", "internal/silence", "internal/store", "internal/tailer"},
	"internal/check": {"internal/condition", "internal/config", "internal/fields", "internal/glob", "internal/journal", "internal/journalctl", "internal/ledger", "internal/logfile", "internal/meter", "internal/monitor", "internal/page",
		"internal/program", "internal/remedy", "internal/rules", "internal/screen", "internal/search", "internal/selftest", "internal/sender", "internal/silence", "internal/store", "internal/tailer", "internal/trial"},
	"internal/report": {"internal/agent", "internal/condition", "internal/config", "internal/fields", "internal/glob", "internal/journal", "internal/journalctl", "internal/ledger", "internal/logfile", "internal/meter", "internal/monitor", "internal/pace", "internal/page", "internal/recount", "internal/program", "internal/remedy", "internal/rules", "internal/sandbox",
		"internal/screen", "internal/search", "internal/sender", "internal/silence", "internal/store", "internal/tailer"},
	"cmd/meterlog": {"internal/agent", "internal/check", "internal/condition", "internal/config", "internal/fields", "internal/glob", "internal/journal", "internal/journalctl", "internal/ledger", "internal/logfile", "internal/meter",
		"internal/monitor", "internal/pace", "internal/page", "internal/recount", "internal/report", "internal/program", "internal/remedy", "internal/rules", "internal/sandbox", "internal/screen", "internal/search", "internal/selftest", "internal/sender", "internal/silence",
		"internal/store", "internal/tailer", "internal/trial"},
}

// maxLines is how many lines a package may have, without its tests. More is
// more than one room.
const maxLines = 2600

// larger packages have yet to be parted.
var larger = map[string]bool{"internal/tailer": true, "internal/ledger": true}

// forbidden imports, each of a package itself or of what it imports.
var forbidden = []struct {
	what    string   // an import path, with what is below it
	in      []string // packages; a prefix where it ends with /
	but     []string
	through bool // what it imports counts, too
	why     string
}{
	{what: "net", in: []string{"internal/meter", "internal/fields", "internal/search", "internal/glob", "internal/logfile", "internal/tailer"}, but: nil, why: "only what is delivered leaves the machine"},
	{what: "net/http", in: []string{"internal/meter", "internal/rules", "internal/config", "internal/tailer", "internal/ledger"}, through: true,
		why: "counting must work without a network; only the sender speaks to one"},
	{what: "google.golang.org/grpc", in: []string{"internal/meter", "internal/rules", "internal/config", "internal/tailer", "internal/ledger", "internal/agent", "cmd/"},
		why: "the sender hides the transports"},
	{what: "database/sql", in: []string{"internal/", "cmd/"}, but: []string{"internal/ledger", "internal/store"},
		why: "the ledger alone is durable, and alone knows its tables"},
	{what: "modernc.org/sqlite", in: []string{"internal/", "cmd/"}, but: []string{"internal/ledger", "internal/store"}, why: "the same"},
	{what: "github.com/expr-lang/expr", in: []string{"internal/", "cmd/"}, but: []string{"internal/rules", "internal/program", "internal/remedy", "internal/condition"},
		why: "expressions can fail in ways that rules turns into anomalies"},
	{what: "gopkg.in/yaml.v3", in: []string{"internal/", "cmd/"}, but: []string{"internal/config"}, why: "there is one configuration, read in one place"},
	{what: "github.com/fsnotify/fsnotify", in: []string{"internal/", "cmd/"}, but: []string{"internal/tailer"},
		why: "notifications are hints, and the tailer knows which"},
	{what: "github.com/nxadm/tail", in: []string{"internal/"}, but: []string{"internal/trial"}, why: "it loses lines at rotation: never where something is billed"},
	{what: "github.com/spf13/cobra", in: []string{"internal/"}, why: "flags are the command's"},
	{what: "github.com/spf13/pflag", in: []string{"internal/"}, why: "flags are the command's"},
	{what: "flag", in: []string{"internal/", "cmd/"}, why: "flags are the command's, which takes them with cobra"},
	{what: "os/exec", in: []string{"internal/", "cmd/"}, but: []string{"internal/journalctl"},
		why: "an agent that reads what others write starts no programs, except journalctl"},
	{what: "os/signal", in: []string{"internal/"}, why: "the command turns signals into the end of a context"},
	{what: "plugin", in: []string{"internal/", "cmd/"}, why: "the binary is what was built"},
	{what: "log", in: []string{"internal/", "cmd/"}, but: []string{}, why: "logs go through log/slog"},
	{what: "math/rand", in: []string{"internal/meter", "internal/fields", "internal/search", "internal/rules", "internal/tailer", "internal/ledger", "internal/agent"},
		why: "a replay comes to the same; uuids are drawn from crypto/rand"},
	{what: "encoding/gob", in: []string{"internal/", "cmd/"}, why: "what is kept must be readable without meterlog"},
	{what: "testing", in: []string{"internal/", "cmd/"}, through: true, why: "tests stay out of the binary"},
}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Standard   bool
	Imports    []string
	Deps       []string
}

func list(t *testing.T) map[string]listed {
	t.Helper()
	c := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,Standard,Imports,Deps", module+"...")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	output, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	packages := make(map[string]listed)
	for d := json.NewDecoder(bufio.NewReader(bytes.NewReader(output))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

func TestLayers(t *testing.T) {
	packages := list(t)
	for path, p := range packages {
		name, ours := strings.CutPrefix(path, module)
		if !ours || !strings.HasPrefix(name, "internal/") && !strings.HasPrefix(name, "cmd/") {
			continue
		}
		allowed, known := layers[name]
		if !known {
			t.Errorf("%s has no place in the layers", name)
		}
		for _, dep := range p.Deps {
			if below, ours := strings.CutPrefix(dep, module); ours && !slices.Contains(allowed, below) {
				t.Errorf("%s imports %s, itself or through another; it may know %v alone", name, below, allowed)
			}
		}
	}
	for name := range layers {
		if _, there := packages[module+name]; !there {
			t.Errorf("%s is not there", name)
		}
	}
	for _, dep := range packages[module+"internal/meter"].Deps {
		if !packages[dep].Standard {
			t.Errorf("meter imports %s; it holds nouns, and needs the standard library alone", dep)
		}
	}
}

func TestRooms(t *testing.T) {
	for path, p := range list(t) {
		name, ours := strings.CutPrefix(path, module)
		if !ours || strings.HasPrefix(name, "test/") {
			continue
		}
		lines := 0
		for _, file := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(text, []byte{'\n'})
		}
		if lines > maxLines && !larger[name] {
			t.Errorf("%s has %d lines; part it, as no package may have more than %d", name, lines, maxLines)
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	packages := list(t)
	for _, rule := range forbidden {
		for path, p := range packages {
			name, ours := strings.CutPrefix(path, module)
			if !ours || !within(name, rule.in) || within(name, rule.but) {
				continue
			}
			imports := p.Imports
			if rule.through {
				imports = p.Deps
			}
			for _, i := range imports {
				if i == rule.what || rule.what != "net" && rule.what != "log" && strings.HasPrefix(i, rule.what+"/") {
					t.Errorf("%s imports %s: %s", name, i, rule.why)
				}
			}
		}
	}
}

func within(name string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool {
		return name == place || strings.HasSuffix(place, "/") && strings.HasPrefix(name, place)
	})
}
