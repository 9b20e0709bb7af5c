package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("rules.schema.json")
}

// jsonValue returns what an editor takes a YAML node for: YAML 1.2 knows no dates.
func jsonValue(node *yaml.Node) (any, error) {
	switch node = resolve(node); node.Kind {
	case yaml.DocumentNode:
		return jsonValue(node.Content[0])
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range node.Content {
			value, err := jsonValue(item)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case yaml.MappingNode:
		var d document
		o := d.object(node, "", nil)
		object := map[string]any{}
		for key, value := range o.values {
			v, err := jsonValue(value)
			if err != nil {
				return nil, err
			}
			object[key] = v
		}
		if len(d.problems) > 0 {
			return nil, d.problems
		}
		return object, nil
	}
	switch node.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		return node.Value == "true", nil
	case "!!int", "!!float":
		return json.Number(node.Value), nil
	}
	return node.Value, nil
}

// againstSchema holds a YAML text against the schema, where it is YAML.
func againstSchema(schema *jsonschema.Schema, text []byte) (isYAML bool, err error) {
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil || len(node.Content) == 0 {
		return false, nil
	}
	value, err := jsonValue(&node)
	if err != nil {
		return false, nil
	}
	return true, schema.Validate(value)
}

// beyondSchema are the mistakes of testdata/invalid that a JSON Schema cannot
// express, each with the reason.
var beyondSchema = map[string]string{
	"auth-token-file":           "the token may be in the environment",
	"exclude-glob":              "a glob",
	"line-separator":            "an expression",
	"path-glob":                 "a glob",
	"pattern-bad":               "a regular expression of Go",
	"pattern-bad-place":         "a regular expression of Go",
	"pattern-no-names":          "a regular expression of Go",
	"quantity-joined-choice":    "an expression",
	"quantity-joined-strings":   "an expression",
	"quantity-number-in-string": "an expression",
	"quantity-unknown-name":     "an expression",
	"rule-name-duplicate":       "names that must differ",
	"rule-unknown-source":       "a name from elsewhere",
	"quantity-octal":            "how a number is written",
	"rule-unknown-source-far":   "a name from elsewhere",
	"source-name-duplicate":     "names that must differ",
	"test-no-source":            "how many sources there are",
	"test-unknown-rule":         "a name from elsewhere",
	"test-unknown-source":       "a name from elsewhere",
	"timestamp-group":           "a name from elsewhere",
	"timestamp-groups":          "a regular expression of Go",
	"timestamp-layout-day":      "a layout of Go",
	"timestamp-layout-strftime": "a layout of Go",
	"timestamp-layout-typo":     "a layout of Go",
	"timestamp-location":        "the zones that there are",
	"two-documents":             "the second document",
	"when-clock":                "an expression",
	"when-double-quoted":        "an expression",
	"when-extract-group":        "an expression",
	"when-extract-regexp":       "an expression",
	"when-fields-of-text":       "an expression",
	"when-folded-block":         "an expression",
	"when-literal-block":        "an expression",
	"when-not-bool":             "an expression",
	"when-number-equals-string": "an expression",
	"when-number-in-string":     "an expression",
	"when-plain-lines":          "an expression",
	"when-regexp":               "an expression",
	"when-single-quoted":        "an expression",
	"when-syntax":               "an expression",
	"when-unknown-group":        "an expression",
	"when-unknown-name":         "an expression",
}

// The schema refuses every mistake of testdata/invalid, except mistakes of YAML
// itself and those in beyondSchema.
func TestSchemaRefusesMistakes(t *testing.T) {
	schema := compiledSchema(t)
	unused := maps.Clone(beyondSchema)
	all, _ := mistakes(t)
	for _, m := range all {
		name := m.name
		isYAML, err := againstSchema(schema, []byte(m.text))
		why := beyondSchema[name]
		delete(unused, name)
		switch {
		case !isYAML && why != "":
			t.Errorf("%s is not YAML, and is in the list of what the schema cannot express", name)
		case isYAML && err == nil && why == "":
			t.Errorf("the schema takes %s", name)
		case isYAML && err != nil && why != "":
			t.Errorf("the schema refuses %s, which should be beyond it (%s): %v", name, why, err)
		}
	}
	for name := range unused {
		t.Errorf("there is no %s in testdata/invalid", name)
	}
}

// What Parse takes the schema takes: every example, and forms that are rare.
func TestSchemaTakesWhatParseTakes(t *testing.T) {
	t.Setenv(TokenVariable, "token")
	schema := compiledSchema(t)
	texts := map[string]string{}
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	matches, err := filepath.Glob("../rules/testdata/match/*.txtar")
	if err != nil || len(matches) == 0 {
		t.Fatalf("%d files, %v", len(matches), err)
	}
	for _, file := range matches {
		archive, err := txtar.ParseFile(file)
		if err != nil || archive.Files[0].Name != "rules.yaml" {
			t.Fatalf("%s: %v", file, err)
		}
		texts[file] = string(archive.Files[0].Data)
	}
	const least = "product_id: p\nsources: [{path: a.log}]\nrules: [{name: r, when: 'true', sku_id: s}]\n"
	for _, more := range []string{
		"interval: 0.5m", "interval: 0h30m0s", "interval: 1800s", "interval: 1m30s", "interval: 1800000ms", "interval: 1000ms",
		"interval: 1000000us", "interval: +1.m", "retention: 0.001h", "retention: 10ns", "listen: ':0'", "listen: '[::1]:65535'", "listen: localhost:00080",
		"delivery: {endpoint: 'HTTP://127.0.0.1:1/', transport: grpc, timeout: 1us, ca_file: ca.pem}", "delivery: {}", "auth: {}", "auth: {method: token}",
		"auth: {method: token, token_file: t}", "auth: {method: key, key_file: k, iam_endpoint: 'https://[::1]:1'}", "auth: {method: metadata}",
		"tests: [{lines: x, expect: {}}]", "tests: [{name: n, source: a, lines: x, expect: {r: 9223372036854775807}}]", "state: 2026-01-01",
	} {
		texts[more] = least + more + "\n"
	}
	for i, rule := range []string{
		"{name: r, when: true, sku_id: s}", "{name: 'ä b', when: 'true', sku_id: 'ü x', quantity: 9223372036854775807, per: 4611686018427387904}",
		"{name: r, source: [a], when: 'true', sku_id: s, quantity: '1'}", "{name: r, source: a, when: 'true', sku_id: " + strings.Repeat("ж", 50) + ", quantity: 1}",
	} {
		texts[fmt.Sprint("rule ", i)] = "product_id: p\nsources: [{path: a.log, exclude: [b, 'c/d'], start_at: end}]\nrules: [" + rule + "]\n"
	}
	for name, text := range texts {
		if _, err := Parse(name, []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if isYAML, err := againstSchema(schema, []byte(text)); !isYAML || err != nil {
			t.Errorf("the schema refuses %s: %v", name, err)
		}
	}
}

// The schema has the keys that Parse knows, and describes each.
func TestSchemaKeys(t *testing.T) {
	var schema struct {
		Properties  map[string]json.RawMessage
		Definitions map[string]struct{ Properties map[string]json.RawMessage }
	}
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	type node struct {
		Description string
		Properties  map[string]json.RawMessage
	}
	keys := func(what string, properties map[string]json.RawMessage, known []string) {
		t.Helper()
		if got, want := slices.Sorted(maps.Keys(properties)), slices.Sorted(slices.Values(known)); !slices.Equal(got, want) {
			t.Errorf("%s: the schema has the keys %v, and Parse knows %v", what, got, want)
		}
		for key, raw := range properties {
			var n node
			if err := json.Unmarshal(raw, &n); err != nil || n.Description == "" {
				t.Errorf("%s: %s is not described: %v", what, key, err)
			}
		}
	}
	inner := func(raw json.RawMessage) map[string]json.RawMessage {
		var n node
		if err := json.Unmarshal(raw, &n); err != nil {
			t.Fatal(err)
		}
		return n.Properties
	}
	source := schema.Definitions["source"].Properties
	keys("the configuration", schema.Properties, topKeys)
	keys("a source", source, sourceKeys)
	keys("timestamp", inner(source["timestamp"]), timestampKeys)
	keys("a rule", schema.Definitions["rule"].Properties, ruleKeys)
	keys("delivery", inner(schema.Properties["delivery"]), deliveryKeys)
	keys("auth", inner(schema.Properties["auth"]), authKeys)
	keys("a test", schema.Definitions["test"].Properties, testKeys)
}

// The defaults that the schema tells are those of a configuration that leaves
// everything out.
func TestSchemaDefaults(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	at := func(path ...string) any {
		v := any(schema)
		for _, key := range path {
			v = v.(map[string]any)[key]
		}
		return v.(map[string]any)["default"]
	}
	c := parse(t, "product_id: p\nsources: [{path: a.log}]\nrules: [{name: r, when: 'true', sku_id: s}]\n")
	for _, tt := range []struct{ got, want any }{
		{at("properties", "interval"), "1m"}, {c.Interval.String(), "1m0s"},
		{at("properties", "retention"), "2160h"}, {c.Retention.String(), "2160h0m0s"},
		{at("properties", "delivery", "properties", "endpoint"), c.Delivery.Endpoint},
		{at("properties", "delivery", "properties", "transport"), c.Delivery.Transport},
		{at("properties", "delivery", "properties", "timeout"), c.Delivery.Timeout.String()},
		{at("properties", "auth", "properties", "method"), c.Auth.Method},
		{at("properties", "auth", "properties", "iam_endpoint"), c.Auth.IAMEndpoint},
		{at("definitions", "source", "properties", "format"), c.Sources[0].Format},
		{at("definitions", "source", "properties", "start_at"), c.Sources[0].StartAt},
		{at("definitions", "rule", "properties", "quantity"), float64(c.Rules[0].Constant)},
		{at("definitions", "rule", "properties", "per"), float64(c.Rules[0].Per)},
	} {
		if tt.got != tt.want {
			t.Errorf("the schema says %v, and it is %v", tt.got, tt.want)
		}
	}
}

// docs/rules.schema.json, to which the examples point, is the schema.
func TestPublishedSchema(t *testing.T) {
	published, err := os.ReadFile("../../docs/rules.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(published, Schema()) {
		t.Error("docs/rules.schema.json differs; write it with `go run ./cmd/meterlog schema > docs/rules.schema.json`")
	}
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=../docs/rules.schema.json\n") {
			t.Errorf("%s does not begin with a line for the YAML language server", file)
		}
	}
}
