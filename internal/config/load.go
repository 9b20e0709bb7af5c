package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"gopkg.in/yaml.v3"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
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

// StateOf returns what a configuration says of the state folder, "" where it says
// nothing. It does so even where the rest is wrong.
func StateOf(path string) string {
	text, err := os.ReadFile(path)
	if err != nil || len(text) > maxFile {
		return ""
	}
	if g := stateLine.FindSubmatch(text); g != nil {
		return string(g[1])
	}
	return ""
}

// Salvage returns the sources of a wrong configuration, if their names and paths can be
// read. It returns nothing if the file cannot be read as YAML.
func Salvage(path string) (sources []*rules.Source) {
	text, err := os.ReadFile(path)
	if err != nil || len(text) > maxFile {
		return nil
	}
	l := newLoader(path)
	if root := l.parse(text); root != nil {
		if top := l.object(root, "the configuration", topKeys); top != nil {
			l.readSources(top)
		}
	}
	for _, s := range l.config.Sources {
		known := slices.ContainsFunc(sources, func(other *rules.Source) bool { return other.Name == s.Name })
		wrong := slices.ContainsFunc(slices.Concat(s.Paths, s.Exclude), func(glob string) bool { return !doublestar.ValidatePattern(glob) })
		if s.Name != "" && (len(s.Paths) > 0 || s.Stream() != "") && !known && !wrong {
			sources = append(sources, s)
		}
	}
	return sources
}

var stateLine = regexp.MustCompile(`(?m)^state:[ \t]+["']?([^"'\s#]+)`)

// CheckEndpoint returns a base URL of an API without a slash at its end. It returns
// an error if the text is something else.
func CheckEndpoint(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", errors.New("write https://host or http://host:port")
	}
	return strings.TrimRight(text, "/"), nil
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
	sourceKeys    = []string{"name", "path", "exclude", "format", "pattern", "prefix", "timestamp", "start_at", "late", "journal", "every"}
	timestampKeys = []string{"field", "pattern", "layout", "location"}
	ruleKeys      = []string{"name", "source", "when", "sku_id", "quantity", "decimals", "per", "max", "product_id", "once", "peak"}
	onceKeys      = []string{"key", "each", "within", "location"}
	peakKeys      = []string{"each", "key", "location"}
	tableKeys     = []string{"by", "map", "else"}
	deliveryKeys  = []string{"endpoint", "transport", "timeout", "ca_file"}
	authKeys      = []string{"method", "key_file", "token_file", "iam_endpoint"}
)

// Parse checks a configuration. Its error is [Problems], with name as
// the file. Relative paths are taken from the working directory.
func Parse(name string, text []byte) (*Config, error) {
	l := newLoader(name)
	if root := l.parse(text); root != nil {
		l.read(root)
	}
	if len(l.problems) > 0 {
		problems := l.problems.sorted()
		if l.more > 0 {
			problems = append(problems, Problem{File: name, Message: fmt.Sprintf("and %d more mistakes", l.more)})
		}
		return nil, problems
	}
	l.config.warnings, l.config.lines = l.warnings, l.lines
	return l.config, nil
}

// loader builds a configuration from its document.
type loader struct {
	document
	config *Config
	names  map[string]*yaml.Node // of rules, with their places
}

func newLoader(name string) *loader {
	return &loader{
		document: document{name: name},
		config:   &Config{Path: name},
		names:    map[string]*yaml.Node{},
	}
}

func (l *loader) read(root *yaml.Node) {
	o := l.object(root, "the configuration", topKeys)
	if o == nil {
		return
	}
	o.require("product_id", "sources", "rules")
	l.warnOfPlain(o)
	c := l.config
	c.ProductID = l.id(o, "product_id")
	l.readSources(o)
	l.readRules(o)
	c.Interval = o.duration("interval", defaultInterval)
	switch {
	case c.Interval > meter.LongestWindow:
		l.fail(o.at("interval"), "write 30m or less: the API takes usage of the last hour only", "\"interval\" must be from 1s to 30m: %s", o.at("interval").Value)
	case c.Interval < time.Second:
		l.fail(o.at("interval"), "write 1s or more", "\"interval\" must be from 1s to 30m: %s", o.at("interval").Value)
	case c.Interval%time.Second != 0:
		l.fail(o.at("interval"), "", "\"interval\" must be whole seconds: %s", o.at("interval").Value)
	}
	l.readDelivery(o)
	l.readAuth(o)
	c.State = o.text("state", "")
	if node := o.values["listen"]; node != nil && node.ShortTag() == "!!int" {
		l.fail(node, "write listen: 127.0.0.1:"+node.Value, "\"listen\" must be host:port, not a port alone")
	} else {
		c.Listen = o.text("listen", "")
	}
	if c.Listen != "" {
		l.checkListen(o.at("listen"), c.Listen)
	}
	c.Retention = o.duration("retention", defaultRetention)
	if c.Retention <= 0 {
		l.fail(o.at("retention"), "", "\"retention\" must be above 0: %s", o.at("retention").Value)
	}
	l.readTests(o)
}

// id returns a product's or SKU's identifier.
func (l *loader) id(o *object, key string) string {
	s := o.text(key, "")
	node := o.at(key)
	switch {
	case s == "":
	case utf8.RuneCountInString(s) > maxID:
		l.fail(node, "", "%q has %d characters, and the API takes at most %d", key, utf8.RuneCountInString(s), maxID)
	case !isOneLine(s):
		l.fail(node, "", "%q must have no white space at its ends, and no control characters: %q", key, s)
	}
	return s
}

// isOneLine reports whether a name is free of control characters, and of white
// space at its ends.
func isOneLine(s string) bool {
	return strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
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
	l.warnOfPlain(o)
	d.Endpoint = l.endpoint(o, "endpoint", defaultEndpoint)
	d.Transport = o.choice("transport", "rest", "grpc")
	if d.Timeout = o.duration("timeout", defaultTimeout); d.Timeout <= 0 {
		l.fail(o.at("timeout"), "", "\"timeout\" must be above 0: %s", o.at("timeout").Value)
	}
	d.CAFile = o.text("ca_file", "")
}

// endpoint returns a key's base URL, without a slash at its end.
func (l *loader) endpoint(o *object, key, absent string) string {
	text := o.text(key, absent)
	u, err := url.Parse(text)
	node := o.at(key)
	switch {
	case err != nil:
		l.fail(node, "write https://host or https://host:port", "%q is not a URL: %q", key, text)
	case u.Scheme != "https" && u.Scheme != "http" && !strings.Contains(text, "://"):
		l.fail(node, "write https://"+text, "%q must begin with https:// or http://: %q", key, text)
	case u.Scheme != "https" && u.Scheme != "http":
		l.fail(node, "write https://host or https://host:port", "%q must begin with https:// or http://: %q", key, text)
	case u.Hostname() == "":
		l.fail(node, "write https://host or https://host:port", "%q has no host: %q", key, text)
	case u.User != nil:
		l.fail(node, "see `auth`", "%q must not hold a user or a password", key)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		l.fail(node, fmt.Sprintf("write %q; meterlog knows the rest", u.Scheme+"://"+u.Host), "%q must end with the host: %q", key, text)
	case u.Scheme == "http":
		l.warnOfPlainHTTP(node, key, u)
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
	l.warnOfPlain(o)
	a.Method = o.choice("method", "metadata", "key", "token")
	a.KeyFile = o.text("key_file", "")
	a.TokenFile = o.text("token_file", "")
	a.IAMEndpoint = l.endpoint(o, "iam_endpoint", defaultIAMEndpoint)
	switch {
	case a.Method == "key" && o.values["key_file"] == nil:
		l.fail(o.at("method"), "write key_file: /etc/meterlog/key.json", "auth by key needs a \"key_file\"")
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
		return
	}
	l.warnOfOpenListener(node, listen)
}
