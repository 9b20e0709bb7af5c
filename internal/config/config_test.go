package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := parse(t, `
product_id: p
sources: [{path: /var/log/mailer/*.log}]
rules: [{name: r, when: true, sku_id: s}]
`)
	if c.Path != "rules.yaml" || c.ProductID != "p" || c.Interval != time.Minute || c.Retention != 2160*time.Hour || c.State != "" || c.Listen != "" {
		t.Errorf("%+v", c)
	}
	if want := (Delivery{"https://marketplace.api.cloud.yandex.net", "rest", 30 * time.Second, ""}); c.Delivery != want {
		t.Errorf("%+v", c.Delivery)
	}
	if want := (Auth{"metadata", "", "", "https://iam.api.cloud.yandex.net"}); c.Auth != want {
		t.Errorf("%+v", c.Auth)
	}
	if s := c.Sources[0]; s.Name != "mailer" || s.Format != "text" || s.StartAt != "beginning" || !slices.Equal(s.Paths, []string{"/var/log/mailer/*.log"}) {
		t.Errorf("%+v", s)
	}
	r := c.Rules[0]
	if r.Name != "r" || r.SKU != "s" || r.ProductID != "p" || r.Per != 1 || r.WhenText != "true" || r.QuantityText != "1" || !slices.Equal(r.Sources, []string{"mailer"}) {
		t.Errorf("%+v", r)
	}
}

func TestEverything(t *testing.T) {
	t.Setenv(TokenVariable, "")
	c := parse(t, `
product_id: "123"
sources:
  - name: a
    path: [/a/*.log, "/b/**/x-{1,2}.log"]
    exclude: ["*.gz", /a/private.log]
    format: json
    start_at: end
    timestamp: {field: meta.ts, layout: unix_ms}
  - &plain
    name: b
    path: /c
  - <<: *plain
    name: c
rules:
  - {name: one, source: [b, a], when: line contains "x", sku_id: s, quantity: "2", per: 10}
  - {name: two, source: c, when: line contains "x", sku_id: s, quantity: 0x10}
interval: 5m
delivery: {endpoint: "http://localhost:8080/", transport: grpc, timeout: 5s, ca_file: /etc/ca.pem}
auth: {method: token, token_file: /run/token, iam_endpoint: "https://iam.example"}
state: /var/lib/other
listen: ":9273"
retention: 24h
tests:
  - {name: t, source: b, lines: x, expect: {one: 0}}
  - {source: c, lines: "x\nx\n", expect: {two: 32}}
`)
	if c.Interval != 5*time.Minute || c.Delivery.Endpoint != "http://localhost:8080" || c.Delivery.Transport != "grpc" || c.Delivery.CAFile != "/etc/ca.pem" || c.Auth.TokenFile != "/run/token" ||
		c.State != "/var/lib/other" || c.Listen != ":9273" || c.Retention != 24*time.Hour || c.Source("c").Paths[0] != "/c" {
		t.Errorf("%+v", c)
	}
	for path, want := range map[string]string{
		"/a/x.log": "a", "/a/private.log": "", "/a/x.gz": "", "/b/1/2/x-2.log": "a", "/b/x-3.log": "", "/c": "b c", "/a/b/x.log": "", "c": "",
	} {
		if got := strings.Join(c.SourcesOf(path), " "); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestDerivedNames(t *testing.T) {
	for path, want := range map[string]string{
		"/var/log/nginx/access.log":   "access",
		"/var/log/mailer/*.log":       "mailer",
		"/var/log/app/app-*.log":      "app",
		"/var/log/**/*.log":           "log",
		"/*":                          "logs",
		"/srv/My App/*.log":           "my-app",
		"/srv/журнал.log":             "srv",
		"/var/log/{a,b}.log":          "log",
		"/var/log/postgresql-16-main": "postgresql-16-main",
	} {
		if got := DerivedName([]string{path}); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	c := parse(t, `
product_id: p
sources: [{path: /a/x.log}, {path: /b/x.log}, {name: x-2, path: /c}, {path: /d/x.log}]
rules: [{name: r, when: true, sku_id: s}]
`)
	var got []string
	for _, s := range c.Sources {
		got = append(got, s.Name)
	}
	if want := []string{"x", "x-3", "x-2", "x-4"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRelativePaths(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	c := parse(t, `
product_id: p
sources: [{path: logs/*.log, exclude: [logs/old.log, "*.tmp.log"]}]
rules: [{name: r, when: true, sku_id: s}]
`)
	for name, want := range map[string]int{"logs/a.log": 1, "logs/old.log": 0, "logs/a.tmp.log": 0, "a.log": 0} {
		if got := len(c.SourcesOf(filepath.Join(folder, name))); got != want {
			t.Errorf("%s: %d sources, want %d", name, got, want)
		}
	}
}

func TestLoadOfNoFile(t *testing.T) {
	folder := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(folder, "none.yaml"): ": no such file; name the configuration with --config",
		folder:                             ": it is a folder; name the file in it",
	} {
		if _, err := Load(path); err == nil || err.Error() != path+want {
			t.Errorf("%v, want %s", err, path+want)
		}
	}
	path := filepath.Join(folder, "rules.yaml")
	if err := os.WriteFile(path, []byte("\xef\xbb\xbfproduct_id: p\r\nsources: [{path: /a}]\r\nrules: [{name: r, when: 'true', sku_id: s}]\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Errorf("a byte order mark and CRLF: %v", err)
	}
}
