package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/meterlog/meterlog/internal/rules"
)

// Warnings returns what the configuration allows and is likely a mistake. It
// costs more than to read it.
func (c *Config) Warnings() Problems {
	l := &loader{document: document{name: c.Path, lines: c.lines}, config: c}
	l.warn()
	return append(slices.Clone(c.warnings), l.warnings...).sorted()
}

// warn compares the rules with one another, and tries them on lines.
func (l *loader) warn() {
	m := rules.NewMatcher(&l.config.Set)
	var seen []*rules.Rule
	conjuncts := map[*rules.Rule]rules.Conjuncts{}
	for _, r := range l.config.Rules {
		conjuncts[r] = r.Conjuncts()
		l.warnOfEmptyLines(m, r)
		for _, other := range seen {
			if !share(r.Sources, other.Sources) {
				continue
			}
			if sku := commonSKU(r, other); sku != "" && (conjuncts[r].Include(conjuncts[other]) || conjuncts[other].Include(conjuncts[r])) {
				l.warnOfDouble(r, other, sku)
				break
			}
		}
		seen = append(seen, r)
	}
	l.warnOfTestedDoubles(m)
}

// commonSKU returns a SKU of one product that both rules bill, or "".
func commonSKU(a, b *rules.Rule) string {
	if a.ProductID != b.ProductID {
		return ""
	}
	if a.Table == nil && b.Table == nil && a.SKU != b.SKU {
		return ""
	}
	billed := make(map[string]bool)
	for _, one := range a.Bills() {
		billed[one.SKU] = true
	}
	for _, one := range b.Bills() {
		if billed[one.SKU] {
			return one.SKU
		}
	}
	return ""
}

func share(a, b []string) bool {
	for _, name := range a {
		for _, other := range b {
			if name == other {
				return true
			}
		}
	}
	return false
}

// warnOfEmptyLines warns of a condition that asks for nothing.
func (l *loader) warnOfEmptyLines(m *rules.Matcher, r *rules.Rule) {
	for _, name := range r.Sources {
		line, what := "", "an empty line"
		if l.config.Source(name).Every > 0 {
			continue // it has no such lines
		}
		switch l.config.Source(name).Format {
		case "json":
			line, what = "{}", "a line without fields"
		case "logfmt", "regexp":
			what = "a line without fields"
		}
		if m.TrueOf(r, name, []byte(line)) {
			l.warnAt(r.Pos.Line, r.Pos.Column, askForMore(r, what), "rule %q: in %s, the condition is true of %s", r.Name, name, what)
			return
		}
	}
}

// askForMore returns a hint how to make a condition false of a line that holds
// nothing.
func askForMore(r *rules.Rule, what string) string {
	must := `line != ""`
	if what != "an empty line" {
		if must = r.When.FirstField(); must == "" {
			return "ask for a field that every line to bill has: fields.event != nil"
		}
		must += " != nil"
	}
	switch {
	case strings.Contains(r.WhenText, "== nil"):
		return "ask for a field that every line to bill has: fields.event != nil"
	case strings.Contains(r.WhenText, "\n"):
		return "ask for something that every line to bill has: " + must
	case strings.TrimSpace(r.WhenText) == "true":
		return "write when: '" + must + "'"
	}
	return fmt.Sprintf("write when: '%s and (%s)'", must, strings.ReplaceAll(strings.TrimSpace(r.WhenText), "'", "''"))
}

func (l *loader) warnOfDouble(r, other *rules.Rule, sku string) {
	l.warnAt(r.Pos.Line, r.Pos.Column, "leave the lines of one out of the other with and not (…), or keep one of the two",
		"rules %q and %q bill the same lines for the SKU %s", other.Name, r.Name, sku)
}

// warnOfTestedDoubles finds such rules by the lines of the tests.
func (l *loader) warnOfTestedDoubles(m *rules.Matcher) {
	for _, t := range l.config.Tests {
		var hits []rules.Hit // of one line
		m.Each(t.Block(t.Clock(m)), func(h rules.Hit) {
			if h.Err != nil {
				return
			}
			if len(hits) > 0 && hits[0].Start != h.Start {
				hits = hits[:0]
			}
			for _, other := range hits {
				if other.Rule != h.Rule && other.Bills.SKU == h.Bills.SKU && other.Bills.ProductID == h.Bills.ProductID {
					l.warnOfDouble(h.Rule, other.Rule, h.Bills.SKU)
				}
			}
			hits = append(hits, rules.Hit{Rule: h.Rule, Bills: h.Bills, Start: h.Start})
		})
	}
}

var (
	shellVariable = regexp.MustCompile(`\$\{[^}]*\}|^\$[A-Za-z_]\w*|/\$[A-Za-z_]\w*`)
	regexpPath    = regexp.MustCompile(`\.\*|\\\.|\.\+|\\d|^\^|\$$`)
)

// warnOfShell warns of what a shell would replace, in a value that is taken as
// it is.
func (l *loader) warnOfShell(node *yaml.Node) {
	for _, node := range flat(resolve(node)) {
		switch part := shellVariable.FindString(node.Value); {
		case node.Kind != yaml.ScalarNode:
		case part != "":
			l.warnAt(node.Line, node.Column, "write the value itself", "%s is taken literally: no variables are replaced here", strings.TrimPrefix(part, "/"))
		case strings.HasPrefix(node.Value, "~"):
			l.warnAt(node.Line, node.Column, "write the whole path, such as /home/NAME"+strings.TrimPrefix(node.Value, "~"), "~ is taken literally: no home is put in its place")
		}
	}
}

// warnOfPath warns of a URL or a regular expression in the place of a glob.
func (l *loader) warnOfPath(node *yaml.Node) {
	for _, node := range flat(resolve(node)) {
		switch {
		case node.Kind != yaml.ScalarNode:
		case strings.HasPrefix(node.Value, "file://"):
			l.warnAt(node.Line, node.Column, "write "+strings.TrimPrefix(node.Value, "file://"), "a path is no URL")
		case regexpPath.MatchString(node.Value):
			l.warnAt(node.Line, node.Column, "write a glob, such as "+regexpPath.ReplaceAllStringFunc(node.Value, globOf), "this looks like a regular expression, and a path is a glob")
		}
	}
}

// globOf returns what a part of a regular expression is in a glob.
func globOf(part string) string {
	switch part {
	case ".*", ".+":
		return "*"
	case `\.`:
		return "."
	case `\d`:
		return "[0-9]"
	}
	return ""
}

// plainKeys are the keys whose values people often write for a shell. meterlog takes
// them as they are.
var plainKeys = []string{"product_id", "sku_id", "path", "exclude", "endpoint", "iam_endpoint", "ca_file", "key_file", "token_file", "state", "listen", "file"}

// warnOfPlainHTTP warns of a URL that leaves this machine without encryption.
func (l *loader) warnOfPlainHTTP(node *yaml.Node, key string, u *url.URL) {
	if host := u.Hostname(); host == "localhost" || net.ParseIP(host).IsLoopback() {
		return
	}
	l.warnAt(node.Line, node.Column, "write https://"+u.Host, "%q sends tokens to another machine where everybody on the way can read them: %s", key, u)
}

// warnOfOpenListener warns of a status that other machines can read.
func (l *loader) warnOfOpenListener(node *yaml.Node, listen string) {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip.IsUnspecified()) {
		l.warnAt(node.Line, node.Column, "write listen: 127.0.0.1:"+port+", or keep other machines out with a firewall",
			"\"listen\" shows the status on all addresses of this machine: %q", listen)
	}
}

// warnOfPlain warns of shell words in the values of an object.
func (l *loader) warnOfPlain(o *object) {
	for _, key := range plainKeys {
		if node := o.values[key]; node != nil {
			l.warnOfShell(node)
		}
	}
	if node := o.values["path"]; node != nil {
		l.warnOfPath(node)
	}
}
