package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// output runs the command and returns what it prints. It must succeed, and say
// nothing else.
func output(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, strings.NewReader(""), &stdout, &stderr); code != exitDone || stderr.Len() > 0 {
		t.Fatalf("meterlog %s: exit code %d\n%s%s", strings.Join(args, " "), code, &stdout, &stderr)
	}
	return stdout.String()
}

// docs/rules.schema.json is what `meterlog schema` prints.
func TestSchema(t *testing.T) {
	want, err := os.ReadFile("../../docs/rules.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, "schema"); got != string(want) {
		t.Errorf("meterlog schema prints:\n%s", got)
	}
}

// `meterlog check` finds every example right, and its tests with it.
func TestCheckExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if text := output(t, "check", "-c", file); !strings.Contains(text, " passed\n") {
			t.Errorf("%s: no tests passed:\n%s", file, text)
		}
	}
}
