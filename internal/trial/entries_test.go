package trial

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
)

// A message of the journal may take several times its size in what journalctl prints.
// Its own size decides whether it counts.
func TestLongEntries(t *testing.T) {
	entry := func(message string) string {
		return fmt.Sprintf(`{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1700000000000000","MESSAGE":%s}`+"\n", message)
	}
	binary := func(size int) string {
		return entry("[" + strings.TrimSuffix(strings.Repeat("115,101,110,116,200,", size/5), ",") + "]")
	}
	text := entry(`"sent"`) + binary(800_000) + entry(`"`+strings.Repeat("sent ", meter.MaxLine/5+1)+`"`) + binary(meter.MaxLine) +
		binary(meter.MaxLine+10) + entry(`"sent"`) + entry(`"`+strings.Repeat("sent ", 4<<20)+`"`) + entry(`"sent"`)
	path := filepath.Join(t.TempDir(), "entries")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("rules.yaml", []byte(`
product_id: p
sources: [{name: app, journal: {unit: app.service}}]
rules: [{name: sent, source: app, when: 'line contains "sent"', sku_id: s}]
`))
	if err != nil {
		t.Fatal(err)
	}
	var out, notes bytes.Buffer
	if err := Run(t.Context(), c, Options{Files: []string{path}, Source: "app", JSON: true, Summary: true, Stdout: &out, Stderr: &notes}); err != nil {
		t.Fatal(err, notes.String())
	}
	for _, want := range []string{`"lines":5,"quantity":5`, `{"rule":"","count":3,`} {
		if !strings.Contains(out.String()+notes.String(), want) {
			t.Errorf("no %s in:\n%s%s", want, out.String(), notes.String())
		}
	}
}
