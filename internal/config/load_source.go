package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/remedy"
	"github.com/meterlog/meterlog/internal/rules"
	"gopkg.in/yaml.v3"
)

func (l *loader) readSources(top *object) {
	var unnamed []*rules.Source
	used := map[string]*yaml.Node{}
	for _, item := range top.list("sources") {
		o := l.object(item, "a source", sourceKeys)
		if o == nil {
			continue
		}
		s := l.readSource(o)
		l.config.AddSource(s)
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
			l.fail(node, fmt.Sprintf("line %d has it already", first.Line), "duplicate source name %q", s.Name)
		}
		used[s.Name] = node
	}
	for _, s := range unnamed {
		base := DerivedName(s.Paths)
		switch {
		case s.Every > 0:
			base = "every-" + shortSpan(s.Every)
		case s.Journal != nil:
			base = journalName(s.Journal)
		}
		s.Name = base
		for n := 2; used[s.Name] != nil; n++ {
			s.Name = fmt.Sprintf("%s-%d", base, n)
		}
		used[s.Name] = &yaml.Node{Line: s.Pos.Line}
	}
}

var sourceName = regexp.MustCompile(`^[a-z0-9_-]+$`)

// DerivedName names a source after its first path: after the file, up to its
// extension or first wildcard. If that leaves it empty, its folder gives the name.
func DerivedName(paths []string) string {
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

func (l *loader) readSource(o *object) *rules.Source {
	s := &rules.Source{Name: o.text("name", ""), Pos: rules.Pos{Line: o.node.Line, Column: o.node.Column}}
	l.warnOfPlain(o)
	switch kind := l.sourceKind(o); kind {
	case "every":
		l.readEvery(o, s)
		return s
	case "journal":
		s.Journal = l.readJournal(o.values["journal"])
	}
	s.Paths = l.globs(o, "path", false)
	s.Exclude = l.globs(o, "exclude", true)
	s.StartAt = o.choice("start_at", "beginning", "end")
	s.Format = l.readFormat(o)
	l.readPattern(o, s)
	l.readPrefix(o, s)
	if node := o.values["timestamp"]; node != nil {
		s.Timestamp = l.readTimestamp(node, s)
	}
	if s.LateRead = o.choice("late", "own", "read") == "read"; s.LateRead && !s.Timed() {
		l.fail(o.keys["late"], "add `timestamp:`, or remove it", "late: read needs the event's own time")
	}
	return s
}

// sourceKinds are the keys that say what a source reads. Each has keys that go
// with it.
var sourceKinds = map[string][]string{
	"path":    {"path", "exclude", "format", "pattern", "prefix", "timestamp", "start_at", "late"},
	"journal": {"journal", "format", "pattern", "prefix", "timestamp", "start_at", "late"},
	"every":   {"every"},
}

// sourceKind returns the key that says what the source reads. It refuses keys
// that do not go with it.
func (l *loader) sourceKind(o *object) (kind string) {
	for _, key := range []string{"path", "journal", "every"} {
		switch {
		case o.values[key] == nil:
		case kind != "":
			l.fail(o.keys[key], "make two sources of them", "a source has both %q and %q", kind, key)
		default:
			kind = key
		}
	}
	if kind == "" {
		o.require("path")
		return "path"
	}
	for _, key := range slices.Sorted(maps.Keys(o.keys)) {
		if !slices.Contains(sourceKinds[kind], key) && key != "name" && sourceKinds[key] == nil {
			l.fail(o.keys[key], "remove it", "%q does not go with %q", key, kind)
		}
	}
	return kind
}

// longestEvery is the longest stretch of a source of the clock.
const longestEvery = 24 * time.Hour

// readEvery reads a source of the clock. Its lines are times.
func (l *loader) readEvery(o *object, s *rules.Source) {
	every := o.duration("every", time.Minute)
	if every < time.Second || every > longestEvery || every%time.Second != 0 {
		l.fail(o.at("every"), "write it like 1m or 1h", "\"every\" must be whole seconds, from 1s to 24h: %s", o.at("every").Value)
		every = time.Minute
	}
	s.SetEvery(every)
}

// shortSpan writes a time span without the parts that are zero.
func shortSpan(d time.Duration) string {
	text := d.String()
	text = strings.TrimSuffix(text, "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// globs returns a key's patterns. They are absolute, except a base name to exclude.
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

func (l *loader) readPattern(o *object, s *rules.Source) {
	node := o.values["pattern"]
	switch {
	case s.Format != "regexp" && node != nil:
		if format := o.values["format"]; format == nil || format.Value == s.Format { // a wrong format was reported already
			l.fail(o.keys["pattern"], "write `format: regexp`", "\"pattern\" is only for format regexp")
		}
	case s.Format == "regexp" && node == nil:
		l.fail(o.at("format"), "give one with named groups: '^(?P<ts>\\S+) (?P<msg>.*)'", "format regexp needs a \"pattern\"")
	case node != nil:
		if s.Pattern = l.pattern(o, "pattern"); s.Pattern != nil && len(s.Pattern.Names()) == 0 {
			hint := "write (?P<name>...)"
			if g := grokName.FindStringSubmatch(node.Value); g != nil {
				hint = fmt.Sprintf("the names of grok are not known here: write (?P<%s>\\S+) for %s", g[1], g[0])
			}
			l.fail(node, hint, "\"pattern\" has no named groups, so there would be no fields")
			s.Pattern = nil
		}
	}
}

// readPrefix reads the pattern of the text before the part for the format. It must
// match from the beginning of the line.
func (l *loader) readPrefix(o *object, s *rules.Source) {
	if o.values["prefix"] == nil {
		return
	}
	re := l.pattern(o, "prefix")
	switch {
	case re == nil:
		return
	case re.MatchString(""):
		l.fail(o.at("prefix"), "write what every line begins with, such as '^\\S+ \\S+ [FP] '", "\"prefix\" matches an empty text, so every line has it")
	default:
		s.Prefix = regexp.MustCompile(`^(?:` + re.String() + `)`)
	}
}

var grokName = regexp.MustCompile(`%\{\w+:(\w+)\}`)

// foreignFormats are names of other programs for formats.
var foreignFormats = map[string]string{
	"jsonl": "json", "ndjson": "json", "jsonlines": "json", "docker": "json", "plain": "text", "raw": "text", "line": "text", "none": "text", "key=value": "logfmt", "kv": "logfmt", "keyvalue": "logfmt",
	"nginx": "regexp", "apache": "regexp", "combined": "regexp", "common": "regexp", "syslog": "regexp", "csv": "regexp", "grok": "regexp", "regex": "regexp", "pattern": "regexp",
}

// readFormat reads what the lines are.
func (l *loader) readFormat(o *object) string {
	formats := []string{"text", "json", "logfmt", "regexp"}
	node := o.values["format"]
	if node == nil {
		return formats[0]
	}
	const anyFields = "json" // with a wrong format nobody can tell which fields there are
	if foreignFormats[strings.ToLower(node.Value)] == "" {
		if format := o.choice("format", formats...); format == node.Value {
			return format
		}
		return anyFields
	}
	meant := foreignFormats[strings.ToLower(node.Value)]
	hint := fmt.Sprintf("write format: %s", meant)
	if meant == "regexp" {
		hint += ", and a pattern: see the examples for nginx and postfix"
	}
	l.fail(node, hint, "unknown format %q", node.Value)
	return anyFields
}

// pattern compiles a key's regular expression. It returns nil after a problem.
func (l *loader) pattern(o *object, key string) *fields.Pattern {
	text := o.text(key, "")
	if text == "" {
		return nil
	}
	re, err := fields.Compile(text)
	if err != nil {
		node, offset := o.at(key), 0
		message := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		if m := quotedPart.FindStringSubmatch(message); m != nil {
			if i := strings.Index(text, m[1]); i > 0 {
				offset = utf8.RuneCountInString(text[:i])
			}
		}
		line, column := l.position(node, offset)
		message, hint := remedy.Pattern(message)
		message = strings.Replace(message, "the pattern", "it", 1)
		l.failAt(line, column, hint, "%s: %s", key, message)
		return nil
	}
	if part := remedy.DoubledBackslash(text); part != "" {
		line, column := l.position(o.at(key), utf8.RuneCountInString(text[:strings.Index(text, part)]))
		l.warnAt(line, column, "write "+part[1:], "%s: it looks for a backslash: %s is one, and then the letter", key, part)
	}
	return re
}

// quotedPart is the part of a regular expression that regexp complains of.
var quotedPart = regexp.MustCompile("`(.*)`$")

func (l *loader) readTimestamp(node *yaml.Node, s *rules.Source) *fields.Timestamp {
	o := l.object(node, "timestamp", timestampKeys)
	if o == nil {
		return nil
	}
	t := &fields.Timestamp{Location: time.UTC}
	field, pattern := o.values["field"], o.values["pattern"]
	switch {
	case field == nil && pattern == nil:
		l.fail(o.node, "", "timestamp needs a \"field\" or a \"pattern\"")
	case field != nil && pattern != nil:
		l.fail(o.keys["pattern"], "keep one of them", "timestamp has both a \"field\" and a \"pattern\"")
	case field != nil:
		l.timestampField(o, s, t)
	default:
		if t.Pattern = l.pattern(o, "pattern"); t.Pattern != nil && t.Pattern.Groups() != 1 {
			l.fail(pattern, "put ( ) around the time, and (?: ) around other groups",
				"the timestamp's \"pattern\" must have one group, and it has %d", t.Pattern.Groups())
		}
	}
	if o.values["layout"] == nil && !slices.Contains(o.meant, `did you mean "layout"?`) {
		l.fail(o.node, "write layout: rfc3339, iso8601 or unix, or the time 2006-01-02 15:04:05 the way the log would", "timestamp has no \"layout\"")
	}
	texts, nodes := o.texts("layout")
	for i, text := range texts {
		if text != "" {
			t.Layouts = append(t.Layouts, l.layout(nodes[i], text))
		}
	}
	t.Location = l.location(o)
	return t
}

// location returns the zone of the key with this name, by default UTC.
func (l *loader) location(o *object) *time.Location {
	name := o.text("location", "UTC")
	if name == "UTC" {
		return time.UTC
	}
	location, err := time.LoadLocation(name)
	switch {
	case name == "Local":
		l.fail(o.at("location"), "name the zone, such as Europe/Berlin", "the machine's zone is not available: the same line must always count the same")
	case err != nil:
		l.fail(o.at("location"), remedy.Zone(name), "unknown location %q", name)
	default:
		return location
	}
	return time.UTC
}

func (l *loader) timestampField(o *object, s *rules.Source, t *fields.Timestamp) {
	if node := o.values["field"]; node.Kind == yaml.SequenceNode && s.Format == "json" {
		keys, _ := o.texts("field") // ["event.created"], without quotes around it
		for _, key := range keys {
			t.Path = append(t.Path, fields.Step{Key: key, Index: -1})
		}
		return
	}
	name := o.text("field", "")
	if name == "" {
		return
	}
	if plain, ok := strings.CutPrefix(name, "fields."); ok && s.Format != "text" {
		line, column := l.position(o.at("field"), 0)
		l.warnAt(line, column, "write field: "+plain, "a field is named without \"fields.\" here: %q would be within an object of that name", name)
	}
	switch s.Format {
	case "text":
		l.fail(o.at("field"), "use \"pattern\", or another format", "format text has no fields")
	case "regexp":
		if s.Pattern != nil && !slices.Contains(s.Pattern.Names(), name) {
			l.fail(o.at("field"), remedy.OneOf(name, s.Pattern.Names()), "the pattern has no group %q", name)
		}
		t.Path = []fields.Step{{Key: name, Index: -1}}
	case "json":
		path, ok := fields.ParsePath(name)
		if !ok {
			l.fail(o.at("field"), `write a.b, and a key with a dot in it as ["a.b"]`, "%q is not a field: %q", "field", name)
		}
		t.Path = path
	default:
		t.Path = []fields.Step{{Key: name, Index: -1}}
	}
}

// layout reads one layout of a timestamp.
func (l *loader) layout(node *yaml.Node, text string) fields.Layout {
	layout, problem, hint := fields.NewLayout(text)
	if problem == "" {
		return layout
	}
	if like := remedy.DidYouMean(text, fields.LayoutNames); like != "" {
		hint = like
	}
	if meant := remedy.Layout(text); meant != "" {
		hint = meant
	}
	if hint == "" {
		hint = "write the time 2006-01-02 15:04:05 the way the log would, or use rfc3339, iso8601, unix or unix_ms"
	}
	l.fail(node, hint, "the layout %q %s", text, problem)
	return layout
}
