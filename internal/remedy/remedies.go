package remedy

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
)

// Explain makes a mistake of what expr says about an expression. Where it knows
// what was meant, the hint is what to write instead.
func Explain(text string, err error) *Mistake {
	var at *file.Error
	if !errors.As(err, &at) {
		message, _, _ := strings.Cut(err.Error(), "\n")
		m := &Mistake{Message: message}
		if kind, ok := strings.CutPrefix(message, "expected bool, but got "); ok {
			m.Message = "a condition must be true or false, and this is " + kindWord(kind)
			m.Hint = "compare it with something"
			if kind == "string" && strings.Trim(text, "\"'`") != text {
				m.Hint = "write line contains " + text
			}
		}
		return m
	}
	m := &Mistake{Offset: at.From, Message: strings.TrimSpace(strings.ReplaceAll(at.Message, "\n", " "))}
	s := source{text: []rune(text), at: min(at.From, utf8.RuneCountInString(text))}
	s.masked = []rune(mask(text))
	if name, offset := functionAsValue(string(s.masked)); name != "" && strings.Contains(m.Message, "func(interface {}") {
		m.Message, m.Offset, s.at = "unknown name "+name, offset, offset
	}
	for _, remedy := range remedies {
		if remedy(s, m) {
			break
		}
	}
	return m
}

// Own are the functions that expressions have beside those of expr. Package program
// holds what they do.
var Own = []string{"extract", "items", "bytes", "seconds"}

var uncalled = regexp.MustCompile(`(?:^|[^.\w])(` + strings.Join(Own, "|") + `)\b\s*(?:[^(\s]|$)`)

// functionAsValue returns the name of a function that an expression does not
// call, with its place: somebody means a field.
func functionAsValue(text string) (name string, offset int) {
	at := uncalled.FindStringSubmatchIndex(text)
	if at == nil {
		return "", 0
	}
	return text[at[2]:at[3]], utf8.RuneCountInString(text[:at[2]])
}

// kindWord names a type of Go for people.
func kindWord(kind string) string {
	switch kind {
	case "string":
		return "a text"
	case "int", "float64":
		return "a number"
	case "map[string]interface {}":
		return "a map"
	}
	return kind
}

// source is an expression with the place where expr gave up.
type source struct {
	text   []rune
	masked []rune // text with blanks between its quotes
	at     int    // in both
}

// mask replaces the characters between quotes by blanks, one by one.
func mask(text string) string {
	var b strings.Builder
	var quote rune
	escaped := false
	for _, r := range text {
		switch {
		case quote == 0 && (r == '"' || r == '\'' || r == '`'):
			quote = r
			b.WriteRune(r)
		case quote == 0:
			b.WriteRune(r)
		case escaped:
			escaped = false
			b.WriteRune(' ')
		case r == '\\' && quote != '`':
			escaped = true
			b.WriteRune(' ')
		case r == quote:
			quote = 0
			b.WriteRune(r)
		default:
			b.WriteRune(' ')
		}
	}
	return b.String()
}

// find returns the first part of the masked text that the pattern matches and
// that covers the place, or ends right before it, with its groups as they are
// written. It returns nil if no part does.
func (s source) find(pattern *regexp.Regexp) (groups []string, from int) {
	masked := string(s.masked)
	for _, m := range pattern.FindAllStringSubmatchIndex(masked, -1) {
		from, to := utf8.RuneCountInString(masked[:m[0]]), utf8.RuneCountInString(masked[:m[1]])
		if from > s.at || to < s.at {
			continue
		}
		for i := 0; i < len(m); i += 2 {
			group := ""
			if m[i] >= 0 {
				a, b := utf8.RuneCountInString(masked[:m[i]]), utf8.RuneCountInString(masked[:m[i+1]])
				group = string(s.text[a:b])
			}
			groups = append(groups, group)
		}
		return groups, from
	}
	return nil, 0
}

// word returns the word that begins at the place, and whether a "(" follows.
func (s source) word() (word string, called bool) {
	rest := string(s.masked[s.at:])
	word = wordPattern.FindString(rest)
	return word, strings.HasPrefix(strings.TrimLeft(rest[len(word):], " "), "(")
}

var wordPattern = regexp.MustCompile(`^[\pL_$][\pL\pN_$]*`)

// remedies know mistakes that are made often. Each changes the mistake and
// returns true if it is one of them. The first that does has the last word.
var remedies = []func(s source, m *Mistake) bool{
	dashedField, specialField, numberedField, slashedPattern, badPattern, tilde, oddEquals, inRound, comparedByIs, foreignCondition,
	typographicQuotes, comment, openQuote, foreignOperator, notCompared, notBefore, foreignFunction, method, foreignName, textInText, foreignChoice, capitals, escapes,
	halfCondition, severalTexts, elements, foreignArrow, everyElement, wrongWord, calledField, oneArgument, strayBracket, strayNumber, arguments, tooShort, unexpected,
}

var (
	dashed      = regexp.MustCompile(`\bfields((?:\.\w+)*)\.([A-Za-z_]\w*(?:-[A-Za-z_]\w*)+)`)
	special     = regexp.MustCompile(`\bfields((?:\.\w+)*)\.(@[\w.@-]*)`)
	numbered    = regexp.MustCompile(`\b(fields(?:\.\w+)+)\.(\d+)`)
	slashed     = regexp.MustCompile(`(?:matches|=~|~)\s*(/([^/\s]+)/)`)
	tildes      = regexp.MustCompile(`=~|~=?`)
	equals      = regexp.MustCompile(`===|!==|=`)
	round       = regexp.MustCompile(`\bin\s*\(([^()]*,[^()]*)\)`)
	isPattern   = regexp.MustCompile(`(?i)\bis\s+(not\s+)?(\w+)`)
	ifThenElse  = regexp.MustCompile(`^\s*if\s+(.+?)\s+then\s+(.+?)\s+else\s+(.+?)\s*$`)
	ifCall      = regexp.MustCompile(`^\s*(?i:if|iif)\s*\((.+?),(.+?),(.+)\)\s*$`)
	elseOnly    = regexp.MustCompile(`\b(?i:if|then|else|elif|case|when|return)\b`)
	bangWord    = regexp.MustCompile(`!\s*(contains|startsWith|endsWith|matches|in)\b`)
	parserToken = regexp.MustCompile(`unexpected token (?:[A-Z]\w*)\("(.*)"\)`)
)

func dashedField(s source, m *Mistake) bool {
	return oddField(s, m, dashed, "holds a -, which would be a minus here")
}

func specialField(s source, m *Mistake) bool {
	return oddField(s, m, special, "holds a character that a name cannot have here")
}

// oddField finds a field whose name must be written in brackets.
func oddField(s source, m *Mistake, pattern *regexp.Regexp, why string) bool {
	groups, from := s.find(pattern)
	if groups == nil {
		return false
	}
	m.Offset = from
	m.Message = fmt.Sprintf("the name %q %s", groups[2], why)
	m.Hint = fmt.Sprintf("write fields%s[%q]", groups[1], groups[2])
	return true
}

func numberedField(s source, m *Mistake) bool {
	groups, _ := s.find(numbered)
	if groups == nil {
		return false
	}
	m.Message = "an element of a list is named in brackets"
	m.Hint = fmt.Sprintf("write %s[%s]", groups[1], groups[2])
	return true
}

func slashedPattern(s source, m *Mistake) bool {
	text := string(s.masked)
	i := slashed.FindStringSubmatchIndex(text)
	if i == nil || utf8.RuneCountInString(text[:i[0]]) > s.at {
		return false
	}
	m.Offset = utf8.RuneCountInString(text[:i[2]])
	m.Message = "a regular expression is written in backticks, not between slashes"
	m.Hint = "write matches `" + text[i[4]:i[5]] + "`"
	return true
}

// badPattern names what the regular expressions of Go do not have.
func badPattern(s source, m *Mistake) bool {
	problem, found := strings.CutPrefix(m.Message, "error parsing regexp: ")
	if !found {
		return false
	}
	part := ""
	if i := strings.Index(problem, ": `"); i >= 0 {
		part = strings.TrimSuffix(problem[i+3:], "`")
	}
	if i := strings.Index(string(s.text[s.at:]), part); part != "" && i >= 0 {
		m.Offset = s.at + utf8.RuneCountInString(string(s.text[s.at:])[:i])
	}
	m.Message, m.Hint = Pattern(problem)
	return true
}

// Pattern returns what is wrong with a regular expression, from what Go says
// about it, and what to write instead, "" where that is not known.
func Pattern(problem string) (message, hint string) {
	problem = strings.TrimPrefix(problem, "error parsing regexp: ")
	has := func(part string) bool {
		return strings.HasSuffix(problem, "`"+part+"`") || strings.Contains(problem, "`"+part)
	}
	switch {
	case has("(?!"), has("(?="), has("(?<"):
		if strings.Contains(problem, "invalid named capture") && !has("(?<=") && !has("(?<!") {
			break
		}
		return "the pattern looks ahead or behind, (?= (?! (?<= (?<!, which regular expressions here do not have",
			"leave it out of the pattern; a condition can be split: line matches `one` and not (line matches `other`)"
	case has("(?>"), strings.Contains(problem, "invalid nested repetition operator"):
		return "the pattern holds (?> or a possessive ++ *+ ?+, which regular expressions here do not have", "write the simple form: none of them runs away here"
	case backReference.MatchString(problem):
		return "the pattern refers back to a group, which regular expressions here cannot", "extract both parts and compare them: extract(line, `a=(\\w+)`) == extract(line, `b=(\\w+)`)"
	case strings.Contains(problem, "missing argument to repetition operator"):
		return "in the pattern, " + quoted(problem) + " repeats nothing", "write \\* \\+ or \\? for the character itself"
	case strings.Contains(problem, "missing closing"), strings.Contains(problem, "unexpected )"):
		return "the pattern has a bracket too many or too few: " + problem, "give each ( its ) and each [ its ], and write \\( or \\[ for the character itself"
	}
	return "the pattern is not a regular expression: " + problem, ""
}

// quoted returns what regexp complains of.
func quoted(problem string) string {
	if i := strings.Index(problem, "`"); i >= 0 {
		return problem[i:]
	}
	return "an operator"
}

var backReference = regexp.MustCompile("invalid escape sequence: `\\\\[1-9k]")

func tilde(s source, m *Mistake) bool {
	groups, from := s.find(tildes)
	if groups == nil {
		return false
	}
	m.Offset, m.Message, m.Hint = from, fmt.Sprintf("there is no operator %s here", groups[0]), "write matches, and the pattern in backticks: line matches `email`"
	return true
}

var assignment = regexp.MustCompile(`^\s*(?:let\s+)?[a-z]\w*\s*=[^=]*$`)

func oddEquals(s source, m *Mistake) bool {
	groups, from := s.find(equals)
	if groups == nil || !strings.Contains(m.Message, `Operator("=")`) && !strings.Contains(m.Message, `Operator("==")`) {
		return false
	}
	m.Offset, m.Message, m.Hint = from, fmt.Sprintf("there is no operator %s here", groups[0]), "compare with =="
	switch masked := string(s.masked); {
	case groups[0] == "!==":
		m.Hint = "compare with !="
	case strings.Contains(masked, "=<"):
		m.Message, m.Hint = "there is no operator =< here", "write <="
	case strings.Contains(masked, "=>") && !lambda.MatchString(masked):
		m.Message, m.Hint = "there is no operator => here", "write >="
	case strings.Contains(masked, "=>"):
		m.Hint = "in a loop # is the element, and the YAML needs quotes: 'any(fields.list, # == 1)'"
	case assignment.MatchString(masked):
		m.Hint = "compare with ==; nothing is assigned here"
	}
	return true
}

func inRound(s source, m *Mistake) bool {
	groups, from := s.find(round)
	if groups == nil {
		return false
	}
	m.Offset, m.Message, m.Hint = from, "a list is written in square brackets", fmt.Sprintf("write in [%s]", groups[1])
	return true
}

func comparedByIs(s source, m *Mistake) bool {
	groups, _ := s.find(isPattern)
	if word, _ := s.word(); groups == nil || strings.ToLower(word) != "is" {
		return false
	}
	operator, value := "==", groups[2]
	if groups[1] != "" {
		operator = "!="
	}
	if foreign, ok := foreignNames[strings.ToLower(value)]; ok {
		value = foreign
	}
	m.Message, m.Hint = "there is no operator is here", fmt.Sprintf("write %s %s", operator, value)
	return true
}

// foreignCondition turns the choices of other languages into `? :`.
func foreignCondition(s source, m *Mistake) bool {
	if strings.HasPrefix(m.Message, "unknown name") {
		return false
	}
	text := string(s.text)
	for _, pattern := range []*regexp.Regexp{ifThenElse, ifCall} {
		if g := pattern.FindStringSubmatch(text); g != nil {
			m.Offset, m.Message = 0, "a choice is written with ? and :"
			m.Hint = fmt.Sprintf("write it in quotes: '%s ? %s : %s'", strings.TrimSpace(g[1]), strings.TrimSpace(g[2]), strings.TrimSpace(g[3]))
			return true
		}
	}
	return false
}

func foreignChoice(s source, m *Mistake) bool {
	i := elseOnly.FindStringIndex(string(s.masked))
	if i == nil || !strings.HasPrefix(m.Message, "unexpected token") {
		return false
	}
	word := string(s.masked)[i[0]:i[1]]
	m.Offset = utf8.RuneCountInString(string(s.masked)[:i[0]])
	m.Message, m.Hint = "a choice is written with ? and :", "write it in quotes: 'condition ? value : other value'"
	if word == "return" {
		m.Message, m.Hint = "there is no return here: an expression is its value", "leave it out"
	}
	return true
}

func typographicQuotes(s source, m *Mistake) bool {
	if s.at >= len(s.text) || !strings.ContainsRune("“”„‟«»‘’‚", s.text[s.at]) {
		return false
	}
	m.Message, m.Hint = fmt.Sprintf("%c is not a quote that is known here", s.text[s.at]), `write plain quotes: "text"`
	return true
}

func comment(s source, m *Mistake) bool {
	if m.Message != `unexpected token Operator("#")` {
		return false
	}
	m.Message, m.Hint = "# is the element of a loop here, and begins no comment", "write a comment as /* text */, or in a line of its own in the YAML"
	return true
}

// Messages about a text that ends before its expression does begin like this.
const (
	endsOpen  = "the expression ends"
	quoteOpen = "a quote is opened and never closed"
)

// Unfinished reports whether the text ends before its expression does.
func (m *Mistake) Unfinished() bool {
	return strings.HasPrefix(m.Message, endsOpen) || m.Message == quoteOpen
}

func openQuote(s source, m *Mistake) bool {
	if m.Message != "literal not terminated" {
		return false
	}
	m.Message, m.Hint = quoteOpen, "close it with the same quote"
	masked := string(s.masked)
	if i := strings.LastIndexAny(masked, "\"'`"); i >= 0 {
		m.Offset = utf8.RuneCountInString(masked[:i])
	}
	return true
}

// operators stand between two values.
var operators = []string{"contains", "startsWith", "endsWith", "matches", "in", "not", "and", "or"}

// foreignOperators are words of other languages for them.
var foreignOperators = map[string]string{
	"includes": "contains", "include": "contains", "contain": "contains", "has": "contains", "like": "contains", "ilike": "contains", "containing": "contains",
	"beginswith": "startsWith", "begins": "startsWith", "starts": "startsWith", "hasprefix": "startsWith", "startingwith": "startsWith",
	"ends": "endsWith", "hassuffix": "endsWith", "match": "matches", "regexp": "matches", "regex": "matches", "rlike": "matches", "similar": "matches",
	"equals": "==", "equal": "==", "eq": "==", "ne": "!=", "neq": "!=", "gt": ">", "gte": ">=", "ge": ">=", "lt": "<", "lte": "<=", "le": "<=",
	"mod": "%", "div": "/", "xor": "!=", "isnt": "!=",
}

// meantOperator returns the operator that somebody means by a word, or "".
func meantOperator(word string) string {
	plain := strings.ToLower(strings.ReplaceAll(word, "_", ""))
	for _, o := range operators {
		if strings.ToLower(o) == plain {
			return o
		}
	}
	if o := foreignOperators[plain]; o != "" {
		return o
	}
	return nearest(word, operators[:4])
}

func foreignOperator(s source, m *Mistake) bool {
	switch m.Message {
	case `unexpected token Operator("&")`:
		m.Message, m.Hint = "there is no operator & here", "write and, or &&"
		return true
	case `unexpected token Operator("^")`:
		m.Message, m.Hint = "there is no operator ^ here", "write ** for a power, != for one of two"
		return true
	}
	before := strings.TrimRight(string(s.masked[:s.at]), " \t\n")
	if strings.HasSuffix(before, "<") && s.at < len(s.text) && s.text[s.at] == '>' {
		m.Message, m.Hint = "there is no operator <> here", "write !="
		m.Offset = s.at - 1
		return true
	}
	if i := strings.LastIndex(string(s.masked[:s.at]), " | "); i >= 0 && strings.HasPrefix(m.Message, "unexpected token") && !strings.Contains(string(s.masked[i+3:s.at]), "(") {
		m.Offset = utf8.RuneCountInString(string(s.masked)[:i+1])
		m.Message, m.Hint = "| does not join two conditions here", "write or, or ||"
		return true
	}
	word, called := s.word()
	if word == "" || before == "" || !strings.HasPrefix(m.Message, "unexpected token Identifier") {
		return false
	}
	if word == "between" {
		m.Message, m.Hint = "there is no operator between here", "write two conditions: fields.n >= 1 and fields.n <= 5"
		return true
	}
	meant := meantOperator(word)
	if meant == "" || called && strings.HasSuffix(before, "(") || slices.Contains([]string{"and", "or", "not"}, meant) {
		return false
	}
	m.Message, m.Hint = fmt.Sprintf("unknown operator %q", word), fmt.Sprintf("did you mean %q?", meant)
	return true
}

// notCompared finds a comparison with the negation of a value alone.
func notCompared(s source, m *Mistake) bool {
	if g := mismatched.FindStringSubmatch(m.Message); g == nil || !slices.Contains([]string{"==", "!=", "<", ">", "<=", ">="}, g[1]) {
		return false
	}
	groups, from := s.find(negated)
	if groups == nil {
		return false
	}
	m.Offset, m.Message = from, "the negation takes "+groups[1]+" alone, and not the comparison"
	m.Hint = fmt.Sprintf("put the comparison in brackets: not (%s %s …)", groups[1], groups[2])
	return true
}

var negated = regexp.MustCompile(`(?:\bnot\s+|!\s*)([\w.]+(?:\[[^\]]*\])*)\s*([=!]=|[<>]=?)`)

func notBefore(s source, m *Mistake) bool {
	if groups, from := s.find(bangWord); groups != nil && strings.HasPrefix(m.Message, `unexpected token Operator("!")`) {
		m.Offset, m.Message, m.Hint = from, "! is written before a whole condition, not before an operator", "write not "+groups[1]
		return true
	}
	if strings.HasPrefix(m.Message, "invalid operation: !") || strings.HasPrefix(m.Message, "invalid operation: not") {
		rest := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(string(s.text[s.at:]), "!"), "not"))
		m.Message, m.Hint = "the negation takes what follows it alone, and that is not true or false", "put the condition in brackets: not ("+rest+")"
		return true
	}
	return false
}

// halfCondition explains a side of `and` or `or` that is a mere value.
func halfCondition(s source, m *Mistake) bool {
	g := mismatched.FindStringSubmatch(m.Message)
	if g == nil {
		return false
	}
	types := m.Message
	switch g[1] {
	case "and", "&&", "or", "||":
		m.Message = "each side of " + g[1] + " must be a condition of its own, and one is not"
		m.Hint = `write both in full: line contains "a" or line contains "b"`
		if strings.Contains(string(s.masked), "==") {
			m.Hint = `write in: fields.a in ["x", "y"]`
		}
		if strings.HasSuffix(types, "and int)") {
			m.Hint = "a default is written with ??: fields.n ?? 0"
		}
	case "contains", "startsWith", "endsWith", "matches":
		m.Message, m.Hint = g[1]+" takes one text", fmt.Sprintf(`write line %s "a" or line %s "b"`, g[1], g[1])
		if strings.HasSuffix(types, "string and int)") {
			m.Hint = "write it in quotes"
		}
	case "==", "!=", "<", ">", "<=", ">=":
		return textAndNumber(m, g[1])
	case "*", "/", "-", "%", "+":
		if !strings.Contains(types, "string and int)") {
			return false
		}
		m.Message, m.Hint = g[1]+" takes two numbers, and the left one is a text", "convert it with int(), as in int(extract(line, `size=(\\d+)`)) "+g[1]+" 2"
	default:
		return false
	}
	return true
}

// textAndNumber finds a comparison of a text with a number or a boolean.
func textAndNumber(m *Mistake, operator string) bool {
	number := textAndOther.FindStringSubmatch(m.Message)
	switch {
	case number == nil:
		return false
	case number[1] == "bool" || number[2] == "bool":
		m.Message, m.Hint = operator+" compares a text with true or false", `write the text in quotes: == "true"`
	default:
		m.Message, m.Hint = operator+" compares a text with a number", `write the number in quotes, as in == "5", or convert the text with int()`
	}
	return true
}

var textAndOther = regexp.MustCompile(`\((?:mismatched types )?(?:string and (int|float64|bool)|(int|float64|bool) and string)\)`)

var mismatched = regexp.MustCompile(`^invalid operation: (\S+) \(mismatched types`)

// severalTexts finds a list where one text must be, or a number with commas.
func severalTexts(s source, m *Mistake) bool {
	if m.Message != `unexpected token Operator(",")` {
		return false
	}
	masked := string(s.masked)
	if g := inBraces.FindStringSubmatchIndex(masked); g != nil {
		text := string(s.text)
		m.Message, m.Hint = "a list is written in square brackets", "write in ["+strings.TrimSpace(text[g[2]:g[3]])+"]"
		return true
	}
	if g := commaNumber.FindString(masked); g != "" {
		m.Message, m.Hint = "a number has no commas here", "write "+strings.ReplaceAll(g, ",", "")
		return true
	}
	if g := ofSeveral.FindStringSubmatch(masked); g != nil {
		m.Message, m.Hint = g[1]+" takes one text", fmt.Sprintf(`write line %s "a" or line %s "b"`, g[1], g[1])
		return true
	}
	return false
}

var (
	inBraces    = regexp.MustCompile(`\bin\s*\{([^{}]*)\}`)
	commaNumber = regexp.MustCompile(`\b\d{1,3}(?:,\d{3})+\b`)
	ofSeveral   = regexp.MustCompile(`\b(contains|startsWith|endsWith|matches)\s*\(`)
	arrow       = regexp.MustCompile(`\b(fields|line|file)(?:->|::?)(\w+)`)
	dateNumber  = regexp.MustCompile(`\b\d{4}-\d{2}-\d{2}\b`)
)

// elements finds a character of a text, by its number.
func elements(s source, m *Mistake) bool {
	if m.Message != "type string[int] is undefined" {
		return false
	}
	m.Message, m.Hint = "a text has no elements", "write a part of it, such as line[0:1], or split(line, \" \")[0]"
	return true
}

// foreignArrow finds -> or :: before a name.
func foreignArrow(s source, m *Mistake) bool {
	g := arrow.FindStringSubmatch(string(s.masked))
	if g == nil || !strings.HasPrefix(m.Message, "unexpected token") {
		return false
	}
	m.Message, m.Hint = "a field is named with a point", fmt.Sprintf("write %s.%s", g[1], g[2])
	return true
}

var (
	lambda      = regexp.MustCompile(`[(,]\s*\(?\w+\)?\s*=>`)
	libraryCall = regexp.MustCompile(`^\w+\.(\w+)\(`)
	inLoop      = regexp.MustCompile(`\b(?:all|any|none|one|map|filter|find|findLast|findIndex|count|sum|groupBy|sortBy)\([^()]+,[^,()]*$`)
	everyOne    = regexp.MustCompile(`(?:\b(\w+)\()?(\b[\w.]+)\[\*?\]\.(\w+)`)
	postfix     = regexp.MustCompile(`([\w.]+)\s+(?:exists|as\s+(int|integer|float|string))\b`)
)

// everyElement is a field of all elements, as other languages write it.
func everyElement(s source, m *Mistake) bool {
	g, from := s.find(everyOne)
	if g == nil {
		return false
	}
	m.Offset, m.Message = from, "a field of every element is written with map"
	m.Hint = fmt.Sprintf("write map(%s, .%s)", g[2], g[3])
	if g[1] != "" {
		m.Hint = fmt.Sprintf("write %s(map(%s, .%s))", g[1], g[2], g[3])
	}
	return true
}

// wrongWord is a word of another language behind a value.
func wrongWord(s source, m *Mistake) bool {
	g := postfix.FindStringSubmatch(string(s.masked))
	word, _ := s.word()
	switch {
	case g == nil || word != "exists" && word != "as":
		return false
	case word == "exists":
		m.Message, m.Hint = "there is no operator exists here", "write "+g[1]+" != nil"
	default:
		m.Message, m.Hint = "there is no operator as here", fmt.Sprintf("write %s(%s)", strings.TrimSuffix(g[2], "eger"), g[1])
	}
	return true
}

// calledField is a field that is asked for as a function is.
func calledField(s source, m *Mistake) bool {
	if !strings.HasSuffix(m.Message, "is not callable") || !strings.HasPrefix(m.Message, "map[") {
		return false
	}
	m.Message, m.Hint = "fields is no function", "write fields.event, or fields[\"event\"]"
	return true
}

// oneArgument is a loop without its condition.
func oneArgument(s source, m *Mistake) bool {
	if m.Message != "expected at least 2 arguments" {
		return false
	}
	m.Message, m.Hint = "a loop takes a list and a condition", `write any(fields.items, .name == "x")`
	return true
}

// strayBracket closes what was not opened.
func strayBracket(s source, m *Mistake) bool {
	for _, pair := range []string{"()", "[]"} {
		if m.Message == fmt.Sprintf("unexpected token Bracket(%q)", pair[1:]) && strings.Count(string(s.masked), pair[:1]) < strings.Count(string(s.masked), pair[1:]) {
			m.Message, m.Hint = "a "+pair[1:]+" closes here, and nothing was opened", "take it away, or write the "+pair[:1]+" that is missing"
			return true
		}
	}
	return false
}

// strayNumber finds a number with a unit, or a character that begins no name.
func strayNumber(s source, m *Mistake) bool {
	switch {
	case strings.HasPrefix(m.Message, "bad number syntax"):
		m.Message, m.Hint = "a number has no unit here", "write it out: 10 MB is 10000000, 10 MiB is 10485760"
	case strings.HasPrefix(m.Message, "unrecognized character: U+0040"):
		rest := string(s.masked[min(s.at+1, len(s.masked)):])
		m.Message, m.Hint = "a name cannot begin with @ here", fmt.Sprintf("write fields[%q]", "@"+wordPattern.FindString(rest))
	default:
		return false
	}
	return true
}

// functions are what a call may name.
var functions = slices.Concat(Own, builtin.Names)

// foreignFunctions are names of other languages, with what to write for them.
var foreignFunctions = map[string]string{
	"length": "len", "size": "len", "strlen": "len", "len_": "len", "char_length": "len", "tolower": "lower", "lowercase": "lower", "tolowercase": "lower", "downcase": "lower", "lcase": "lower",
	"toupper": "upper", "uppercase": "upper", "touppercase": "upper", "upcase": "upper", "ucase": "upper",
	"parseint": "int", "toint": "int", "to_int": "int", "integer": "int", "atoi": "int", "number": "int", "tonumber": "int", "to_number": "int", "num": "int", "int64": "int", "long": "int", "bigint": "int",
	"parsefloat": "float", "tofloat": "float", "to_float": "float", "double": "float", "decimal": "float", "str": "string", "tostring": "string", "to_string": "string", "text": "string",
	"strip": "trim", "average": "mean", "avg": "mean", "ceiling": "ceil", "json": "fromJSON", "parsejson": "fromJSON", "parse_json": "fromJSON", "json_decode": "fromJSON",
	"capture": "extract", "regexp_extract": "extract", "regex_extract": "extract", "regexextract": "extract", "group": "extract", "find_all": "extract", "search": "extract", "parse": "extract",
}

// nearest returns the candidate that a misspelt word is closest to, or "".
func nearest(word string, candidates []string) string {
	hint := DidYouMean(word, candidates)
	if hint == "" {
		return ""
	}
	name, _ := strconv.Unquote(strings.TrimSuffix(strings.TrimPrefix(hint, "did you mean "), "?"))
	return name
}

// foreignFunction explains the call of an unknown function.
func foreignFunction(s source, m *Mistake) bool {
	word, called := s.word()
	if !called {
		return false
	}
	unknown := strings.HasPrefix(m.Message, "unknown name ")
	operator := strings.HasPrefix(m.Message, "unexpected token Operator(") && slices.Contains(operators[:4], word)
	if !unknown && !operator {
		return false
	}
	m.Message = fmt.Sprintf("unknown function %q", word)
	plain, args := strings.ToLower(word), s.call()
	switch meant := meantOperator(word); {
	case operator || meant == word:
		m.Message, m.Hint = word+" is an operator, not a function", fmt.Sprintf("write %s %s %s", args[0], word, args[1])
	case foreignFunctions[plain] != "":
		m.Hint = fmt.Sprintf("did you mean %q?", foreignFunctions[plain])
	case plain == "if" || plain == "iif":
		m.Message, m.Hint = "a choice is written with ? and :", "write it in quotes: 'condition ? value : other value'"
	case slices.Contains([]string{"isnull", "is_null", "isnil", "isempty", "exists", "defined", "isset", "present", "has"}, plain):
		operator := "!="
		if strings.HasPrefix(plain, "is") && plain != "isset" {
			operator = "=="
		}
		m.Hint = fmt.Sprintf("write %s %s nil", s.subject(), operator)
	case slices.Contains([]string{"coalesce", "ifnull", "nvl", "default"}, plain):
		m.Hint = "write ??: fields.n ?? 0"
	case slices.Contains([]string{"substr", "substring", "slice", "left", "mid"}, plain):
		m.Hint = "write line[0:5]"
	case slices.Contains([]string{"today", "time", "clock", "timestamp", "current_timestamp", "uptime", "rand", "random", "uuid"}, plain):
		m.Message, m.Hint = word+" is not available: the same line must always count the same", "take what the line has, and give the source a `timestamp`"
	case plain == "not" || plain == "and" || plain == "or":
		m.Hint = "write " + plain + " in small letters, with a blank behind it"
	case nearest(word, functions) != "":
		m.Hint = DidYouMean(word, functions)
	case meant != "":
		m.Hint = fmt.Sprintf("write %s %s %s", args[0], meant, args[1])
	default:
		m.Hint = "see docs/rules.md for the functions that there are"
	}
	return true
}

var methodMessage = regexp.MustCompile(`^type (\S+) has no (method|field) (\S+)$`)

var lastPath = regexp.MustCompile(`[\pL\pN_.$]*$`)

// call returns the arguments of the call that follows the place, as they are
// written, or what could stand there.
func (s source) call() []string {
	g := simpleCall.FindStringSubmatch(string(s.text[s.at:]))
	if g == nil {
		return []string{"line", `"text"`}
	}
	if g[2] == "" {
		return []string{"line", g[1]}
	}
	return []string{g[1], g[2]}
}

// subject returns the first argument of the call that follows the place, or what
// could stand there.
func (s source) subject() string {
	if g := simpleCall.FindStringSubmatch(string(s.text[s.at:])); g != nil {
		return g[1]
	}
	return "fields.name"
}

var simpleCall = regexp.MustCompile("^\\w+\\s*\\(\\s*([\\w.]+|\"[^\"]*\"|'[^']*'|`[^`]*`)\\s*(?:,\\s*(\"[^\"]*\"|'[^']*'|`[^`]*`)\\s*)?\\)")

// method finds something called on a text that texts do not have.
func method(s source, m *Mistake) bool {
	g := methodMessage.FindStringSubmatch(m.Message)
	if g == nil || g[1] != "string" {
		return false
	}
	subject := lastPath.FindString(strings.TrimRight(string(s.masked[:s.at]), ". "))
	if subject == "" {
		subject = "line"
	}
	m.Message = fmt.Sprintf("a text has no %s %q", g[2], g[3])
	plain := strings.ToLower(g[3])
	switch operator := meantOperator(g[3]); {
	case foreignFunctions[plain] != "" && g[2] == "method" || plain == "length" || plain == "size" || plain == "len":
		function := foreignFunctions[plain]
		if function == "" {
			function = "len"
		}
		m.Hint = fmt.Sprintf("write %s(%s)", function, subject)
	case operator != "":
		m.Hint = fmt.Sprintf("write %s %s %s", subject, operator, s.call()[1])
	case slices.Contains(functions, plain) && simpleCall.MatchString(string(s.text[s.at:])):
		m.Hint = fmt.Sprintf("write %s(%s, %s)", plain, subject, s.call()[1])
	case slices.Contains(functions, plain):
		m.Hint = fmt.Sprintf("write %s(%s)", plain, subject)
	case g[2] == "field" && subject == "line":
		m.Hint = "write fields." + g[3] + ", and give the source a `format` that has fields"
	}
	return true
}

// foreignNames are names of other languages.
var foreignNames = map[string]string{
	"null": "nil", "none": "nil", "undefined": "nil", "nothing": "nil", "empty": "nil", "missing": "nil",
	"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false",
	"message": "line", "msg": "line", "log": "line", "text": "line", "raw": "line", "_raw": "line", "filename": "file", "path": "file",
}

// foreignName finds a name that nothing has.
func foreignName(s source, m *Mistake) bool {
	name, ok := strings.CutPrefix(m.Message, "unknown name ")
	if !ok {
		return false
	}
	m.Message = fmt.Sprintf("unknown name %q", name)
	field := "a field is named fields." + name + ", a text is written in quotes"
	meant := foreignNames[strings.ToLower(name)]
	near := DidYouMean(name, []string{"line", "fields", "entry", "file"})
	switch {
	case meant == "line":
		m.Hint = "the whole line is named line; " + field
	case meant == "file":
		m.Hint = "the file's path is named file; " + field
	case meant != "":
		m.Hint = "write " + meant
	case strings.HasPrefix(name, "$"):
		m.Hint = "a field is named fields." + strings.Trim(name, "$.") + "; the whole line is named line"
		if name == "$" {
			m.Hint = "write fields in the place of $"
		}
	case slices.Contains([]string{"Math", "math", "String", "strings", "Number"}, name) && libraryCall.MatchString(string(s.masked[s.at:])):
		g := libraryCall.FindStringSubmatch(string(s.masked[s.at:]))
		m.Message, m.Hint = "functions belong to no library here", "see docs/rules.md for the functions that there are"
		if function := cmp.Or(foreignFunctions[strings.ToLower(g[1])], nearest(g[1], functions)); function != "" {
			m.Hint = fmt.Sprintf("write %s(…)", function)
		}
	case inLoop.MatchString(string(s.masked[:s.at])):
		m.Hint = "a field of the element begins with a point in a loop; write ." + name
	case s.at > 0 && s.masked[s.at-1] == '[':
		m.Hint = fmt.Sprintf("a name in brackets is written in quotes: [%q]", name)
	case near != "":
		m.Hint = near
	default:
		m.Hint = field
	}
	return true
}

var textIn = regexp.MustCompile(`("[^"]*"|'[^']*')\s+in\s+([\w.]+)`)

func textInText(s source, m *Mistake) bool {
	if !strings.HasPrefix(m.Message, "invalid operation: in (mismatched types string and string") {
		return false
	}
	m.Message, m.Hint = "in looks into a list, and this is a text", `write line contains "text"`
	if g := textIn.FindStringSubmatch(string(s.text)); g != nil {
		m.Hint = fmt.Sprintf("write %s contains %s", g[2], g[1])
	}
	return true
}

func capitals(s source, m *Mistake) bool {
	before := strings.Fields(string(s.masked[:s.at]))
	if last := len(before) - 1; last >= 0 && strings.HasPrefix(m.Message, "unexpected token") {
		switch before[last] {
		case "NOT", "Not":
			m.Message, m.Hint = before[last]+" is not known here", "write not in small letters"
			return true
		case "exists", "EXISTS":
			path := regexp.MustCompile(`^[\w.]+`).FindString(string(s.masked[s.at:]))
			m.Message, m.Hint = "there is no operator exists here", "write "+path+" != nil"
			return true
		}
	}
	for _, word := range []string{"AND", "OR", "NOT", "And", "Or", "Not", "IN"} {
		if strings.HasSuffix(m.Message, `Identifier("`+word+`")`) {
			m.Message, m.Hint = fmt.Sprintf("%s is not known here", word), "write and, or, not, in in small letters"
			return true
		}
	}
	return false
}

func escapes(s source, m *Mistake) bool {
	if !strings.Contains(m.Message, "invalid char escape") && !strings.Contains(m.Message, "unable to unescape") {
		return false
	}
	m.Message = "a backslash in quotes begins an escape, and this is not one"
	m.Hint = "write a regular expression in backticks: they take backslashes as they are"
	return true
}

func arguments(s source, m *Mistake) bool {
	name, _ := s.word()
	if !strings.HasPrefix(m.Message, "not enough arguments") && !strings.HasPrefix(m.Message, "too many arguments") {
		return false
	}
	switch name {
	case "extract":
		m.Message, m.Hint = "extract takes a text and a pattern", "write extract(line, `size=(\\d+)`)"
	case "bytes":
		m.Message, m.Hint = "bytes takes one text with its unit", `write bytes("1.5 GiB"); where the line has no unit, multiply: fields.size * 1000000`
	case "seconds":
		m.Message, m.Hint = "seconds takes one text with its units", `write seconds("1h2m3.5s")`
	case "items":
		m.Message, m.Hint = "items takes one value, and returns how many it is", "write items(fields.recipients)"
	default:
		return false
	}
	return true
}

func tooShort(s source, m *Mistake) bool {
	if m.Message != "unexpected token EOF" {
		return false
	}
	masked := string(s.masked)
	switch {
	case strings.Count(masked, "(") > strings.Count(masked, ")"):
		m.Message, m.Hint = endsOpen+", and a ( is still open", "write the ) that is missing"
	case strings.Count(masked, "[") > strings.Count(masked, "]"):
		m.Message, m.Hint = endsOpen+", and a [ is still open", "write the ] that is missing"
	default:
		m.Message, m.Hint = endsOpen+" too early: something must follow", "write what is missing behind its last word"
	}
	return true
}

// unexpected says without the words of a parser what it did not expect.
func unexpected(s source, m *Mistake) bool {
	g := parserToken.FindStringSubmatch(m.Message)
	if g == nil {
		return false
	}
	token, masked := strings.ReplaceAll(g[1], `\"`, `"`), string(s.masked)
	m.Message = fmt.Sprintf("%s is not expected here", token)
	switch {
	case decimalComma.MatchString(masked):
		g := decimalComma.FindStringSubmatch(masked)
		m.Message, m.Hint = "a number is written with a point, and without a comma", "write "+g[1]+"."+g[2]+"; a quantity with a fraction needs `decimals: "+strconv.Itoa(len(g[2]))+"` at its rule"
	case strings.Contains(masked, "{{"):
		m.Message, m.Hint = "{{ }} is not known here: the whole is an expression", "leave the braces out"
	case token == ":":
		m.Hint = "compare with =="
	case cast.MatchString(masked):
		c := cast.FindStringSubmatch(masked)
		m.Hint = fmt.Sprintf("write %s(%s)", c[1], c[2])
	case strings.Contains(g[0], "Identifier(") && s.at > 0:
		m.Hint = `join conditions with and, or; a text is written in quotes: line contains "email sent"`
	case strings.Contains(g[0], "Operator(") && s.at == 0:
		m.Hint = "begin with what is looked at, such as line or fields.name"
	}
	return true
}

var decimalComma = regexp.MustCompile(`^\s*(\d+),(\d+)\s*$`)

var cast = regexp.MustCompile(`\((int|float|string)\)\s*([\w.]+)`)
