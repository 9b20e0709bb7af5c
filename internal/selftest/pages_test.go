package selftest

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/meterlog/meterlog/internal/config"
)

// TestYAMLOfPages checks that each block of YAML on the pages is right: a
// configuration, or a part of one. What a part leaves out comes from others.
func TestYAMLOfPages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "../../README.md", "../../SECURITY.md", "../../CONTRIBUTING.md", "../../CHANGELOG.md")
	found := 0
	for _, page := range pages {
		for _, block := range yamlBlocks(t, page) {
			text := completed(t, block)
			if text == "" {
				continue
			}
			found++
			conf, err := config.Parse(filepath.Base(page), []byte(text))
			if err != nil {
				t.Errorf("%v\n%s\ncompleted:\n%s", err, block, text)
				continue
			}
			for _, result := range Run(conf) {
				if !result.OK() {
					t.Errorf("%s: %+v %q\n%s", page, result.Counts, result.Failures, block)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d blocks were found", found)
	}
}

// others is a configuration that parts of others are put into.
const others = `
product_id: f2e4tmlj4qqciunhr7e6
sources:
  - {name: mailer, path: /var/log/mailer/*.log}
  - {name: exporter, path: /var/log/exporter/*.log, format: json, timestamp: {field: time, layout: rfc3339}}
  - {name: courier, journal: {unit: courier.service}}
rules:
  - {name: emails, source: mailer, when: line contains "email sent", sku_id: dn272e8979uvek5cnuhk}
  - {name: exported-gib, source: exporter, when: fields.event == "export.finished", quantity: fields.bytes, per: 1073741824, sku_id: dn2xxxxxxxxxxxxxxxxx}
`

// completed returns the configuration that the block is, or is a part of; "" if
// it holds nothing.
func completed(t *testing.T, block string) string {
	decode := func(text string, into any) {
		if err := yaml.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%v in\n%s", err, block)
		}
	}
	if strings.HasPrefix(block, "#cloud-config\n") {
		var file struct {
			Files []struct{ Content string } `yaml:"write_files"`
		}
		if decode(block, &file); len(file.Files) != 1 {
			t.Fatalf("%d files in\n%s", len(file.Files), block)
		}
		return file.Files[0].Content
	}
	var conf, part map[string]any
	var rules []map[string]any
	decode(others, &conf)
	if yaml.Unmarshal([]byte(block), &rules) != nil { // it is no list of rules
		decode(block, &part)
		switch {
		case part == nil:
			return ""
		case part["sources"] != nil: // a whole one, but perhaps for the product
			if part["product_id"] == nil {
				block = "product_id: p\n" + block
			}
			return block
		case !slices.ContainsFunc([]string{"product_id", "rules", "delivery", "auth", "tests"}, func(key string) bool { return part[key] != nil }):
			rules, part = append(rules, part), nil // it is a part of a rule
		}
	}
	for key, value := range part {
		if key != "rules" {
			conf[key] = value
			continue
		}
		for _, rule := range value.([]any) {
			rules = append(rules, rule.(map[string]any))
		}
	}
	all := conf["rules"].([]any)
	for _, rule := range rules {
		all = slices.DeleteFunc(all, func(r any) bool { return r.(map[string]any)["name"] == rule["name"] })
		all = append(all, withDefaults(rule))
	}
	conf["rules"] = all
	text, err := yaml.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withDefaults returns a rule with what it leaves out.
func withDefaults(rule map[string]any) map[string]any {
	text, _ := yaml.Marshal(rule)
	whole := map[string]any{"name": "part", "source": "mailer", "when": `line contains "email sent"`, "sku_id": "dn272e8979uvek5cnuhk"}
	switch {
	case strings.Contains(string(text), "fields."):
		whole["source"], whole["when"] = "exporter", "fields.event != nil"
	case strings.Contains(string(text), "entry."):
		whole["source"] = "courier"
	}
	maps.Copy(whole, rule)
	return whole
}
