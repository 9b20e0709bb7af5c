package rules

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/expr-lang/expr/ast"
	"gopkg.in/yaml.v3"
)

// Load reads and checks the configuration file at path. Where the file can be
// read, its error is [Problems].
func Load(path string) (*Config, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%s: no such file; name the configuration with --config", path)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, errors.Unwrap(err))
	case info.IsDir():
		return nil, fmt.Errorf("%s: it is a folder; name the file in it", path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s: it is too large for a configuration: %d bytes", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Unwrap(err))
	}
	return Parse(path, text)
}

// maxFile is the most bytes that a configuration may have.
const maxFile = 16 << 20

// Defaults of what a configuration may leave out.
const (
	defaultInterval    = time.Minute
	defaultEndpoint    = "https://marketplace.api.cloud.yandex.net"
	defaultIAMEndpoint = "https://iam.api.cloud.yandex.net"
	defaultTimeout     = 30 * time.Second
	defaultRetention   = 2160 * time.Hour
	maxID              = 50 // characters of product_id and sku_id that the API takes
)

var (
	topKeys       = []string{"product_id", "sources", "rules", "interval", "delivery", "auth", "state", "listen", "retention", "tests"}
	sourceKeys    = []string{"name", "path", "exclude", "format", "pattern", "timestamp", "start_at"}
	timestampKeys = []string{"field", "pattern", "layout", "location"}
	ruleKeys      = []string{"name", "source", "when", "sku_id", "quantity", "per"}
	deliveryKeys  = []string{"endpoint", "transport", "timeout"}
	authKeys      = []string{"method", "key_file", "token_file", "iam_endpoint"}
	testKeys      = []string{"name", "source", "lines", "expect"}
)

// Parse checks a configuration. Its error is [Problems], in which name stands
// as the file. Relative paths are taken from the working directory.
func Parse(name string, text []byte) (*Config, error) {
	l := &loader{
		document: document{name: name},
		config:   &Config{Path: name},
		rules:    map[string]*yaml.Node{},
	}
	if root := l.parse(text); root != nil {
		l.read(root)
	}
	if len(l.problems) > 0 {
		return nil, l.problems.sorted()
	}
	return l.config, nil
}

// loader builds a configuration from its document.
type loader struct {
	document
	config *Config
	rules  map[string]*yaml.Node // rules by name, with their names' places
}

func (l *loader) read(root *yaml.Node) {
	o := l.object(root, "the configuration", topKeys)
	if o == nil {
		return
	}
	o.require("product_id", "sources", "rules")
	c := l.config
	c.ProductID = l.id(o, "product_id")
	l.readSources(o)
	l.readRules(o)
	c.Interval = o.duration("interval", defaultInterval)
	switch {
	case c.Interval < time.Second || c.Interval > 30*time.Minute:
		l.fail(o.at("interval"), "", "\"interval\" must be from 1s to 30m: %s", o.at("interval").Value)
	case c.Interval%time.Second != 0:
		l.fail(o.at("interval"), "", "\"interval\" must be whole seconds: %s", o.at("interval").Value)
	}
	l.readDelivery(o)
	l.readAuth(o)
	c.State = o.text("state", "")
	c.Listen = o.text("listen", "")
	if c.Listen != "" {
		l.checkListen(o.at("listen"), c.Listen)
	}
	c.Retention = o.duration("retention", defaultRetention)
	if c.Retention <= 0 {
		l.fail(o.at("retention"), "", "\"retention\" must be above 0: %s", o.at("retention").Value)
	}
	l.readTests(o)
}

// id is a product's or SKU's identifier.
func (l *loader) id(o *object, key string) string {
	s := o.text(key, "")
	node := o.at(key)
	switch {
	case s == "":
	case utf8.RuneCountInString(s) > maxID:
		l.fail(node, "", "%q has %d characters, and the API takes at most %d", key, utf8.RuneCountInString(s), maxID)
	case strings.TrimSpace(s) != s || strings.ContainsAny(s, "\n\t"):
		l.fail(node, "", "%q must have no white space at its ends: %q", key, s)
	}
	return s
}

func (l *loader) readSources(top *object) {
	var unnamed []*Source
	used := map[string]*yaml.Node{}
	for _, item := range top.list("sources") {
		o := l.object(item, "a source", sourceKeys)
		if o == nil {
			continue
		}
		s := l.readSource(o)
		l.config.Sources = append(l.config.Sources, s)
		node := o.at("name")
		switch first := used[s.Name]; {
		case o.values["name"] == nil:
			unnamed = append(unnamed, s)
			continue
		case s.Name == "":
			continue
		case !sourceName.MatchString(s.Name):
			l.fail(node, "use small letters, digits, - and _", "a source cannot be named %q", s.Name)
		case first != nil:
			l.fail(node, fmt.Sprintf("it is that of line %d already", first.Line), "duplicate source name %q", s.Name)
		}
		used[s.Name] = node
	}
	for _, s := range unnamed {
		base := derivedName(s.Paths)
		s.Name = base
		for n := 2; used[s.Name] != nil; n++ {
			s.Name = fmt.Sprintf("%s-%d", base, n)
		}
		used[s.Name] = &yaml.Node{Line: s.Pos.Line}
	}
}

var sourceName = regexp.MustCompile(`^[a-z0-9_-]+$`)

// derivedName names a source after its first path: after the file, up to its
// extension or first wildcard, or where nothing is left of it after its folder.
func derivedName(paths []string) string {
	if len(paths) == 0 {
		return "logs"
	}
	for path := paths[0]; path != "/" && path != "." && path != ""; path = filepath.Dir(path) {
		base := filepath.Base(path)
		if i := strings.IndexAny(base, "*?[{\\"); i >= 0 {
			base = base[:i]
		}
		if path == paths[0] {
			base, _, _ = strings.Cut(base, ".")
		}
		name := strings.Trim(notName.ReplaceAllString(strings.ToLower(base), "-"), "-_")
		if name != "" {
			return name
		}
	}
	return "logs"
}

var notName = regexp.MustCompile(`[^a-z0-9_-]+`)

func (l *loader) readSource(o *object) *Source {
	s := &Source{Name: o.text("name", ""), Pos: Pos{o.node.Line, o.node.Column}}
	o.require("path")
	s.Paths = l.globs(o, "path", false)
	s.Exclude = l.globs(o, "exclude", true)
	s.StartAt = o.choice("start_at", "beginning", "end")
	s.Format = o.choice("format", "text", "json", "logfmt", "regexp")
	l.readPattern(o, s)
	if node := o.values["timestamp"]; node != nil {
		s.timestamp = l.readTimestamp(node, s)
	}
	return s
}

// globs are a key's patterns, made absolute, but for a base name to exclude.
func (l *loader) globs(o *object, key string, bare bool) []string {
	list, nodes := o.texts(key)
	for i, glob := range list {
		if !doublestar.ValidatePattern(glob) {
			hint := "close every [ and {"
			l.fail(nodes[i], hint, "%q is not a glob: %q", key, glob)
			continue
		}
		if bare && !strings.Contains(glob, "/") {
			continue
		}
		if strings.HasSuffix(glob, "/") {
			l.fail(nodes[i], fmt.Sprintf("name the files: %q", glob+"*.log"), "%q is a folder: %q", key, glob)
			continue
		}
		if abs, err := filepath.Abs(glob); err == nil {
			list[i] = abs
		}
	}
	return list
}

func (l *loader) readPattern(o *object, s *Source) {
	node := o.values["pattern"]
	switch {
	case s.Format != "regexp" && node != nil:
		l.fail(o.keys["pattern"], "write `format: regexp`", "\"pattern\" is only for format regexp")
	case s.Format == "regexp" && node == nil:
		l.fail(o.at("format"), "give one with named groups: '^(?P<ts>\\S+) (?P<msg>.*)'", "format regexp needs a \"pattern\"")
	case node != nil:
		if s.pattern = l.pattern(o, "pattern"); s.pattern != nil && len(groups(s.pattern)) == 0 {
			l.fail(node, "write (?P<name>...)", "\"pattern\" has no named groups, so there would be no fields")
		}
	}
}

// pattern compiles a key's regular expression. It returns nil after a problem.
func (l *loader) pattern(o *object, key string) *regexp.Regexp {
	text := o.text(key, "")
	if text == "" {
		return nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		node, offset := o.at(key), 0
		message := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		if m := quotedPart.FindStringSubmatch(message); m != nil {
			if i := strings.Index(text, m[1]); i > 0 {
				offset = utf8.RuneCountInString(text[:i])
			}
		}
		line, column := l.position(node, offset)
		l.failAt(line, column, "", "%q is not a regular expression: %s", key, message)
		return nil
	}
	return re
}

// quotedPart is the part of a regular expression that regexp complains of.
var quotedPart = regexp.MustCompile("`(.*)`$")

// groups are the names of a pattern's named groups.
func groups(re *regexp.Regexp) []string {
	var names []string
	for _, name := range re.SubexpNames() {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

func (l *loader) readTimestamp(node *yaml.Node, s *Source) *timestamp {
	o := l.object(node, "timestamp", timestampKeys)
	if o == nil {
		return nil
	}
	t := &timestamp{location: time.UTC}
	field, pattern := o.values["field"], o.values["pattern"]
	switch {
	case field == nil && pattern == nil:
		l.fail(o.node, "", "timestamp needs a \"field\" or a \"pattern\"")
	case field != nil && pattern != nil:
		l.fail(o.keys["pattern"], "keep one of them", "timestamp has both a \"field\" and a \"pattern\"")
	case field != nil:
		l.timestampField(o, s, t)
	default:
		if t.pattern = l.pattern(o, "pattern"); t.pattern != nil && t.pattern.NumSubexp() != 1 {
			l.fail(pattern, "put ( ) around the time, and (?: ) around other groups",
				"the timestamp's \"pattern\" must have one group, and it has %d", t.pattern.NumSubexp())
		}
	}
	o.require("layout")
	if t.layout = o.text("layout", ""); t.layout != "" {
		l.checkTimestampLayout(o.at("layout"), t)
	}
	if name := o.text("location", "UTC"); name != "UTC" {
		location, err := time.LoadLocation(name)
		switch {
		case name == "Local":
			l.fail(o.at("location"), "name the zone, such as Europe/Berlin", "the machine's zone is not available: the same line must always count the same")
		case err != nil:
			l.fail(o.at("location"), "use a name such as Europe/Berlin", "unknown location %q", name)
		default:
			t.location = location
		}
	}
	return t
}

func (l *loader) timestampField(o *object, s *Source, t *timestamp) {
	name := o.text("field", "")
	if name == "" {
		return
	}
	switch s.Format {
	case "text":
		l.fail(o.at("field"), "use \"pattern\", or another format", "format text has no fields")
	case "regexp":
		if s.pattern != nil && !slices.Contains(groups(s.pattern), name) {
			l.fail(o.at("field"), oneOf(name, groups(s.pattern)), "the pattern has no group %q", name)
		}
		t.path = []step{{name, -1}}
	case "json":
		for _, key := range strings.Split(name, ".") {
			t.path = append(t.path, step{key, -1})
		}
	default:
		t.path = []step{{name, -1}}
	}
	if t.path != nil {
		t.slot = l.config.slots.slot(t.path)
	}
}

func (l *loader) checkTimestampLayout(node *yaml.Node, t *timestamp) {
	switch t.layout {
	case "rfc3339", "unix", "unix_ms":
		return
	}
	var missing string
	if t.hasYear, missing = checkLayout(t.layout); missing == "" {
		return
	}
	hint := didYouMean(t.layout, []string{"rfc3339", "unix", "unix_ms"})
	if hint == "" {
		hint = "write the time 2006-01-02 15:04:05 the way the log would, or use rfc3339, unix or unix_ms"
	}
	l.fail(node, hint, "the layout %q does not tell %s", t.layout, missing)
}

func (l *loader) readRules(top *object) {
	for _, item := range top.list("rules") {
		o := l.object(item, "a rule", ruleKeys)
		if o == nil {
			continue
		}
		r := l.readRule(o)
		r.index = len(l.config.Rules)
		l.config.Rules = append(l.config.Rules, r)
	}
}

func (l *loader) readRule(o *object) *Rule {
	o.require("name", "when", "sku_id")
	r := &Rule{Pos: Pos{o.node.Line, o.node.Column}, constant: 1, QuantityText: "1"}
	r.ProductID = l.config.ProductID
	r.SKU = l.id(o, "sku_id")
	if r.Name = o.text("name", ""); r.Name != "" {
		node := o.at("name")
		switch first := l.rules[r.Name]; {
		case strings.ContainsFunc(r.Name, func(c rune) bool { return c < ' ' }) || strings.TrimSpace(r.Name) != r.Name:
			l.fail(node, "", "a rule cannot be named %q", r.Name)
		case first != nil:
			l.fail(node, fmt.Sprintf("it is that of line %d already", first.Line), "duplicate rule name %q", r.Name)
		default:
			l.rules[r.Name] = node
		}
	}
	l.readRuleSources(o, r)
	if node := o.values["when"]; node != nil {
		r.WhenText = node.Value
		r.when = l.expression(node, "when", l.config.slots.compileWhen)
		l.checkFields(node, r, r.when)
	}
	if node := o.values["quantity"]; node != nil {
		r.QuantityText = node.Value
		l.readQuantity(node, r)
		l.checkFields(node, r, r.quantity)
	}
	r.Per = 1
	if node := o.values["per"]; node != nil {
		n, ok := wholeNumber(node)
		switch {
		case !ok:
			l.fail(node, "", "\"per\" must be a whole number, not %s", valueOf(node))
		case n < 1:
			l.fail(node, "", "\"per\" must be at least 1: %s", node.Value)
		default:
			r.Per = n
		}
	}
	return r
}

// wholeNumber is a scalar that YAML takes for an integer.
func wholeNumber(node *yaml.Node) (int64, bool) {
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" {
		return 0, false
	}
	var n int64
	err := node.Decode(&n)
	return n, err == nil
}

// valueOf shows a node's value, for messages.
func valueOf(node *yaml.Node) string {
	if node.Kind == yaml.ScalarNode && node.Value != "" {
		return strconv.Quote(clip(node.Value, 40))
	}
	return describe(node)
}

func (l *loader) readRuleSources(o *object, r *Rule) {
	names, nodes := o.texts("source")
	var known []string
	for _, s := range l.config.Sources {
		if s.Name != "" {
			known = append(known, s.Name)
		}
	}
	if o.values["source"] == nil {
		r.Sources = known
		return
	}
	for i, name := range names {
		switch {
		case !slices.Contains(known, name):
			l.fail(nodes[i], oneOf(name, known), "unknown source %q", name)
		case slices.Contains(r.Sources, name):
			l.fail(nodes[i], "", "source %q stands twice", name)
		default:
			r.Sources = append(r.Sources, name)
		}
	}
}

func (l *loader) readQuantity(node *yaml.Node, r *Rule) {
	if node.Kind == yaml.ScalarNode {
		switch node.ShortTag() {
		case "!!int":
			n, ok := wholeNumber(node)
			switch {
			case !ok:
				l.fail(node, "", "\"quantity\" does not fit 63 bits: %s", node.Value)
			case n < 0:
				l.fail(node, "", "\"quantity\" must not be negative: %s", node.Value)
			}
			r.constant = n
			return
		case "!!float":
			l.fail(node, "with `per`, several make one unit", "\"quantity\" must be a whole number: %s", node.Value)
			return
		}
	}
	r.quantity = l.expression(node, "quantity", l.config.slots.compileQuantity)
}

// expression compiles a scalar. A boolean or number that stands there as such
// is an expression, too.
func (l *loader) expression(node *yaml.Node, key string, compile func(string) (*expression, *expressionError)) *expression {
	switch {
	case node.Kind != yaml.ScalarNode:
		l.fail(node, "put an expression that begins with [ or { in quotes", "%q must be an expression, not %s", key, describe(node))
		return nil
	case node.ShortTag() == "!!null":
		l.fail(node, "", "%q has no value", key)
		return nil
	}
	e, problem := compile(node.Value)
	if problem != nil {
		line, column := l.position(node, problem.offset)
		l.failAt(line, column, problem.hint, "%s: %s", key, problem.message)
		return nil
	}
	return e
}

// checkFields refuses an expression that names fields which no source of its
// rule has, or takes them for numbers where they can only be strings. It says
// nothing where one of the sources is JSON, in which any may be.
func (l *loader) checkFields(node *yaml.Node, r *Rule, e *expression) {
	if e == nil || len(r.Sources) == 0 {
		return
	}
	fail := func(p expressionError) {
		line, column := l.position(node, p.offset)
		l.failAt(line, column, p.hint, "%s", p.message)
	}
	allText, anyLogfmt := true, false
	var known []string
	for _, name := range r.Sources {
		s := l.config.Source(name)
		switch {
		case s.Format == "json" || s.Format == "regexp" && s.pattern == nil:
			return
		case s.Format == "logfmt":
			anyLogfmt = true
		case s.Format == "regexp":
			known = append(known, groups(s.pattern)...)
		}
		allText = allText && s.Format == "text"
	}
	if allText && (e.wholeField || len(e.slots) > 0) {
		offset := e.wholeAt
		if len(e.slotAt) > 0 {
			offset = e.slotAt[0]
		}
		fail(expressionError{offset, "format text has no fields", "use line and extract, or give the source a `format` that has fields"})
		return
	}
	for i, slot := range e.slots {
		key := l.config.slots.paths[slot][0].key
		if !anyLogfmt && !slices.Contains(known, key) {
			fail(expressionError{e.slotAt[i], fmt.Sprintf("the source's pattern has no group %q", key), oneOf(key, known)})
		}
	}
	mistake := numberMistake{slots: &l.config.slots}
	ast.Walk(&e.root, &mistake)
	if mistake.found != nil {
		fail(*mistake.found)
	}
}

func (l *loader) readDelivery(top *object) {
	d := &l.config.Delivery
	*d = Delivery{Endpoint: defaultEndpoint, Transport: "rest", Timeout: defaultTimeout}
	node := top.values["delivery"]
	if node == nil {
		return
	}
	o := l.object(node, "delivery", deliveryKeys)
	if o == nil {
		return
	}
	d.Endpoint = l.endpoint(o, "endpoint", defaultEndpoint)
	d.Transport = o.choice("transport", "rest", "grpc")
	if d.Timeout = o.duration("timeout", defaultTimeout); d.Timeout <= 0 {
		l.fail(o.at("timeout"), "", "\"timeout\" must be above 0: %s", o.at("timeout").Value)
	}
}

// endpoint is a key's base URL, without a slash at its end.
func (l *loader) endpoint(o *object, key, absent string) string {
	text := o.text(key, absent)
	u, err := url.Parse(text)
	node := o.at(key)
	switch {
	case err != nil:
		l.fail(node, "write https://host or https://host:port", "%q is not a URL: %q", key, text)
	case u.Scheme != "https" && u.Scheme != "http":
		l.fail(node, "write https://host or https://host:port", "%q must begin with https:// or http://: %q", key, text)
	case u.Hostname() == "":
		l.fail(node, "write https://host or https://host:port", "%q has no host: %q", key, text)
	case u.User != nil:
		l.fail(node, "see `auth`", "%q must not hold a user or a password", key)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		l.fail(node, fmt.Sprintf("write %q; meterlog knows the rest", u.Scheme+"://"+u.Host), "%q must end with the host: %q", key, text)
	}
	return strings.TrimRight(text, "/")
}

func (l *loader) readAuth(top *object) {
	a := &l.config.Auth
	*a = Auth{Method: "metadata", IAMEndpoint: defaultIAMEndpoint}
	node := top.values["auth"]
	if node == nil {
		return
	}
	o := l.object(node, "auth", authKeys)
	if o == nil {
		return
	}
	a.Method = o.choice("method", "metadata", "key", "token")
	a.KeyFile = o.text("key_file", "")
	a.TokenFile = o.text("token_file", "")
	a.IAMEndpoint = l.endpoint(o, "iam_endpoint", defaultIAMEndpoint)
	switch {
	case a.Method == "key" && o.values["key_file"] == nil:
		l.fail(o.at("method"), "", "auth by key needs a \"key_file\"")
	case a.Method == "token" && o.values["token_file"] == nil && os.Getenv(TokenVariable) == "":
		l.fail(o.at("method"), "", "auth by token needs a \"token_file\" or the variable %s", TokenVariable)
	}
	for key, method := range map[string]string{"key_file": "key", "token_file": "token"} {
		if o.keys[key] != nil && a.Method != method {
			l.fail(o.keys[key], fmt.Sprintf("write `method: %s`, or remove it", method), "%q is not used with method %s", key, a.Method)
		}
	}
}

// TokenVariable is the environment variable that may hold the token of
// `method: token`.
const TokenVariable = "METERLOG_IAM_TOKEN"

func (l *loader) checkListen(node *yaml.Node, listen string) {
	_, port, err := net.SplitHostPort(listen)
	if err == nil {
		if n, e := strconv.Atoi(port); e != nil || n < 0 || n > 65535 {
			err = errors.New("not a port")
		}
	}
	if err != nil {
		l.fail(node, "write it like 127.0.0.1:9273", "\"listen\" must be host:port: %q", listen)
	}
}

func (l *loader) readTests(top *object) {
	for _, item := range top.list("tests") {
		o := l.object(item, "a test", testKeys)
		if o == nil {
			continue
		}
		o.require("lines", "expect")
		t := Test{Name: o.text("name", ""), Pos: Pos{o.node.Line, o.node.Column}, Expect: map[string]int64{}}
		if o.values["name"] == nil {
			t.Name = fmt.Sprintf("test in line %d", o.node.Line)
		}
		t.Source = l.testSource(o)
		t.Lines = []byte(o.text("lines", ""))
		l.readExpect(o, t.Expect)
		l.config.Tests = append(l.config.Tests, t)
	}
}

func (l *loader) testSource(o *object) string {
	var known []string
	for _, s := range l.config.Sources {
		known = append(known, s.Name)
	}
	switch name := o.text("source", ""); {
	case name != "":
		if !slices.Contains(known, name) {
			l.fail(o.at("source"), oneOf(name, known), "unknown source %q", name)
		}
		return name
	case o.values["source"] == nil && len(known) == 1:
		return known[0]
	case o.values["source"] == nil && len(known) > 1:
		l.fail(o.node, "use one of "+strings.Join(known, ", "), "there are several sources, so a test needs a \"source\"")
	}
	return ""
}

func (l *loader) readExpect(o *object, expect map[string]int64) {
	node := o.values["expect"]
	if node == nil {
		return
	}
	if node.Kind != yaml.MappingNode {
		l.fail(node, "write {rule: quantity}, or {} where nothing must count", "\"expect\" must be a mapping, not %s", describe(node))
		return
	}
	pairs := l.object(node, "expect", nil)
	var known []string
	for _, r := range l.config.Rules {
		known = append(known, r.Name)
	}
	for name, value := range pairs.values {
		n, ok := wholeNumber(value)
		switch {
		case !slices.Contains(known, name):
			l.fail(pairs.keys[name], oneOf(name, known), "unknown rule %q", name)
		case !ok || n < 0:
			l.fail(value, "", "rule %q: a quantity must be a whole number ≥ 0, not %s", name, valueOf(value))
		}
		expect[name] = n
	}
}
